"""Cuts that a GPU starts with one call: recorded as CUDA graphs over tensors that stay where they are."""
