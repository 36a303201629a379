"""Before a run: what would be refused, and what could be better."""
