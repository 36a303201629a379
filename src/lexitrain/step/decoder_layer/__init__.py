"""A forward and backward pass of known decoder layers, in as few operators as they need."""
