"""The adapter in one buffer, its gradient in another: what a step fills and an update moves."""
