"""Who is asked: a model found by its name and loaded here, or one behind an address."""
