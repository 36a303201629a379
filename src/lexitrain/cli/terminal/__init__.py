"""What commands write to the terminal: tables, errors, JSON, progress."""
