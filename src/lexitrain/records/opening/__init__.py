"""Opening files: compressed or not, in any encoding that says which it is, and JSON in which nothing is lost."""
