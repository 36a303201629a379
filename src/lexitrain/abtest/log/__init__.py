"""The log of a test: what was shown to whom, and what was said of it, in SQLite or PostgreSQL."""
