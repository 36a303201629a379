"""Merging: base and adapter become one set of weights, and a folder that transformers loads."""
