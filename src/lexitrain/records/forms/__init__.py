"""The forms in which a row holds a conversation, and what in a row is not to be learnt."""
