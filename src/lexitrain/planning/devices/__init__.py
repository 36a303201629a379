"""Devices: the catalogue, the machine at hand, how fast each does what kind of work, and measuring that."""
