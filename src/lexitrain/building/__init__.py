"""The whole way in one call: records to a trained, proved and exported model, going on wherever it stopped."""

from __future__ import annotations

from lexitrain.building.build import BuildResult, build
from lexitrain.building.choices import Choices
from lexitrain.building.observer import BuildObserver
from lexitrain.building.outlook import BuildOutlook, outlook

__all__ = [
    "BuildObserver",
    "BuildOutlook",
    "BuildResult",
    "Choices",
    "build",
    "outlook",
]
