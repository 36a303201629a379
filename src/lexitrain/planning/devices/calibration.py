"""What was measured on a device, kept in the user's configuration folder, and the rates that follow from it.

`lexitrain plan --calibrate` writes it (`measurement.py`); every later plan for that device uses it and says so.
Reading needs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.planning.devices.catalogue import named_like
from lexitrain.planning.devices.processor import processor
from lexitrain.planning.devices.rates import Curve, Rates
from lexitrain.storage import configuration_folder, write_json

if TYPE_CHECKING:
    from lexitrain.planning.devices.catalogue import Gpu

BAND = {"low": 0.87, "expected": 1.0, "high": 1.15}
"""Time on a measured device against its prediction: within 15 % either way, as it was for nine of ten configurations
in benchmarks/results/foresight.json."""

_FORMAT = 1


@dataclass(frozen=True)
class Calibration:
    """Measured speed of one device.

    Attributes:
        device: the driver's name of a GPU, or the processor's model and threads.
        kind: `cpu` or `cuda`.
        precision: of the products that were measured.
        date: when, ISO 8601.
        torch: version.
        matrix, attention, bandwidth: points (size of one operation, rate).
        launch: seconds to start one operation.
        factors: kind of work -> correction that the real steps gave.
        steps: the real steps: {"what", "measured", "predicted"}, seconds.
    """

    device: str
    kind: str
    precision: str
    date: str
    torch: str
    matrix: tuple[tuple[float, float], ...]
    attention: tuple[tuple[float, float], ...]
    bandwidth: tuple[tuple[float, float], ...]
    launch: float
    factors: Mapping[str, float]
    steps: tuple[Mapping[str, Any], ...]

    def rates(self) -> Rates:
        """The rates of the device as measured."""
        return Rates(
            matrix=Curve(self.matrix),
            attention=Curve(self.attention),
            bandwidth=Curve(self.bandwidth),
            launch=self.launch,
            overlapped=self.kind != "cpu",
            factors=self.factors,
        )


def calibration_folder() -> Path:
    """Where measurements are kept: the platform's folder for a user's settings."""
    return configuration_folder("devices")


def save_calibration(calibration: Calibration) -> Path:
    """Keep it, in place of an older one of the same device and precision; returns the file."""
    path = calibration_folder() / _file_name(calibration.device, calibration.precision)
    write_json(path, {"format": _FORMAT, **asdict(calibration)})
    return path


def find_calibration(gpu: Gpu, precision: str) -> Calibration | None:
    """The measurement to plan with: of a GPU of this name, or of this very processor. None: there is none."""
    folder = calibration_folder()
    if not folder.is_dir():
        return None
    for path in sorted(folder.glob("*.json")):
        found = _read(path)
        if found is not None and found.precision == precision and _is_of(found, gpu):
            return found
    return None


def _is_of(found: Calibration, gpu: Gpu) -> bool:
    if gpu.is_cpu:
        return found.kind == "cpu" and found.device == processor()
    like = named_like(found.device)
    return found.kind == "cuda" and like is not None and like.name == gpu.name


def _file_name(device: str, precision: str) -> str:
    plain = "".join(letter if letter.isalnum() else "-" for letter in device.lower())
    return f"{'-'.join(filter(None, plain.split('-')))}-{precision}.json"


def _read(path: Path) -> Calibration | None:
    """None for a file that is not one of this version: it is measured anew then."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != _FORMAT:
            return None
        for name in ("matrix", "attention", "bandwidth"):
            content[name] = tuple((float(size), float(rate)) for size, rate in content[name])
        content["steps"] = tuple(content["steps"])
        return Calibration(**content)
    except (OSError, ValueError, KeyError, TypeError):
        return None
