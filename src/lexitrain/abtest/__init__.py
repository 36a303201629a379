"""Learners decide: an A/B test of two models, from its plan to its verdict."""

from __future__ import annotations

from lexitrain.abtest.service.settings import GuardrailLimits, RequestLimits
from lexitrain.abtest.service.start import serve_ab

__all__ = ["GuardrailLimits", "RequestLimits", "serve_ab"]
