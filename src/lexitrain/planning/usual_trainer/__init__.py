"""The usual trainer as far as a plan needs it: which settings it follows, and which micro-batches it makes."""
