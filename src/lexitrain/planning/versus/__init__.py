"""Two recipes side by side: each change alone, each change's own share, and what is claimed of them."""
