"""Measurements, each a script with a saved result: `python -m benchmarks.<name>`."""
