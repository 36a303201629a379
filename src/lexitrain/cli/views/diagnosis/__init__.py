"""How `lexitrain doctor` shows what it found."""
