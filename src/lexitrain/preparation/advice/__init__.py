"""Advice: what in the data will explain a bad score, found while it is prepared."""
