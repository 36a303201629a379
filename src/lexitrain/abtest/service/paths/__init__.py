"""What can be asked for, below `/v1`."""
