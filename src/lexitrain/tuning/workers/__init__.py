"""The work of a study: one trial, a worker that takes one after the other, and several workers at once."""
