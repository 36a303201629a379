"""In which form attention is computed, and the masks that a base's own code is given."""
