"""Of a run: where a step's time went, and what would give it back."""
