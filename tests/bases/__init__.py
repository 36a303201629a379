"""Bases of many families, each built tiny from its configuration; what the product does with each is proven here."""
