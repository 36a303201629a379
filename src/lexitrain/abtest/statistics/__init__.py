"""The statistics of a test: effects by learner, intervals for one look and for many, and what must not get worse."""

from __future__ import annotations
