"""Plots and reports: with `cli`, the only place that shows anything."""
