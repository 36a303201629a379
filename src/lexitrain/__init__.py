"""LexiTrain plans, trains, proves and ships a small tutor model on a budget GPU."""

__version__ = "0.1.0"
