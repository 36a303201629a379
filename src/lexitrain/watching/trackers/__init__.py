"""Experiment trackers, each in a process of its own that tells it what the run's journals say."""
