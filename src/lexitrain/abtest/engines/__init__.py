"""The two models of a test: each answers without holding up the service."""
