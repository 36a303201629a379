"""How a call of `train` ended, and what its validation losses say."""
