"""Learners decide: an A/B test of two models, from its plan to its verdict."""

from __future__ import annotations
