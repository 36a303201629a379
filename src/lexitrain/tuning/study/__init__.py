"""The study in its database: where it is, whose it is, which trials it holds."""
