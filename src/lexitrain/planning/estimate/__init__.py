"""Estimates: the data and the steps of a run that has not begun, what they cost, and which recipe to take."""
