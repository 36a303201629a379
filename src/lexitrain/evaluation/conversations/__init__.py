"""Conversations: their supervised turns, the loss of these, and how near a model's own turns come."""
