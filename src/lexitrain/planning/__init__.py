"""Foresight: what a recipe costs in memory, time and disk before it runs.

A *rehearsal* executes the product's own training step on fake tensors, which have shapes and no content: no weights,
no GPU, no network for the architectures whose shapes are built in. What it finds is exact for the step that runs
later, because it is the same code.
"""
