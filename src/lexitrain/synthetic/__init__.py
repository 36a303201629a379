"""The generator of synthetic tutor data: see `records` for what it makes and what it costs."""

from lexitrain.synthetic.records import PROPORTIONS, generate

__all__ = ["PROPORTIONS", "generate"]
