"""Which runs answer a question: a race over three settings, or a grid over fields that the user names."""
