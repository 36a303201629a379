"""Rehearsals: one training step of the product's own code on fake tensors, and what it needed."""
