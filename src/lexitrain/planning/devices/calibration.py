"""What was measured on a device, kept in the user's configuration folder, and the rates that follow from it.

`lexitrain plan --calibrate` writes it (`measurement.py`); every later plan for that device uses it and says so.
Reading needs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
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
    names = {found.device, found.device if like is None else like.name}
    return found.kind == "cuda" and gpu.card in names


def _file_name(device: str, precision: str) -> str:
    plain = "".join(letter if letter.isalnum() else "-" for letter in device.lower())
    return f"{'-'.join(filter(None, plain.split('-')))}-{precision}.json"


def damaged_calibrations() -> list[Path]:
    """Files of measurements that cannot be used: nothing but a new measurement brings back what they held."""
    return [path for path in sorted(calibration_folder().glob("*.json")) if _read(path) is None]


def _read(path: Path) -> Calibration | None:
    """None for a file that is not a measurement of this version: it is measured anew then."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.pop("format") != _FORMAT:
            return None
        for name in ("matrix", "attention", "bandwidth"):
            content[name] = _points(content[name])
        content["launch"] = _number(content["launch"])
        content["factors"] = {str(kind): _number(each) for kind, each in content["factors"].items()}
        content["steps"] = tuple(_step(each) for each in content["steps"])
        found = Calibration(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    texts = (found.device, found.kind, found.precision, found.date, found.torch)
    return found if all(isinstance(text, str) for text in texts) else None


def _points(content: Any) -> tuple[tuple[float, float], ...]:
    """The points of a curve; ValueError for what is none: no point, or sizes that do not ascend."""
    points = tuple((_number(size), _number(rate)) for size, rate in content)
    sizes = [size for size, _ in points]
    if not points or any(after <= before for before, after in pairwise(sizes)):
        raise ValueError(content)
    return points


def _step(content: Any) -> dict[str, Any]:
    return {
        "what": str(content["what"]),
        "measured": _number(content["measured"]),
        "predicted": _number(content["predicted"]),
    }


def _number(content: Any) -> float:
    """A number above 0; ValueError for any other."""
    value = float(content)
    if isinstance(content, bool | str) or not 0 < value < float("inf"):
        raise ValueError(content)
    return value
