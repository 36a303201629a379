"""Metrics: the scores that tasks are built from, and their bootstrap intervals."""
