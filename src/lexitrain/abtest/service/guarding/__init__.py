"""Who may ask, how often and how much; and that nobody says something in another's name."""
