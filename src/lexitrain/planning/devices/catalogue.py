"""The GPUs that can be planned for, each figure with its source, and a user's own from a line of text.

Reading costs milliseconds; torch is not needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from lexitrain.errors import DeviceError, nearest
from lexitrain.models import compute_precision

Status = Literal["measured", "fitted", "catalogue"]

_OWN = "'name=My GPU tflops=40 bandwidth=500 memory=12'"
_MAKERS = {"nvidia", "tesla", "geforce", "gpu"}
"""Words of a driver's name that tell no device from another."""
_SAME_MEMORY = (0.88, 1.15)
"""A device reports so much of what it is sold with: error correction and the driver keep some, and a GB is sold as 2^30
bytes. One with more or less is sold under the same name, and has another speed, or is a part of a card."""
_GIVEN_LAUNCH = (0.6, 1.6)
"""Range of a launch that the user gives: what it takes varies from operation to operation."""
_APPLE = re.compile(r"(?:apple)?(?:m\d{1,2}(?:pro|max|ultra)?|mps|metal|silicon)")
ON_A_MAC = (
    "On a Mac the processor trains: no step of this product was ever run on Apple's GPU (MPS), and what is not shown "
    "to give the plain step's gradients is not used."
)
"""What is used on a Mac, and why."""
_OWN_FIELDS = ("name", "tflops", "bandwidth", "memory", "fp32", "capability", "launch", "price")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A device to plan for. A CPU is one too.

    Attributes:
        name: as the catalogue writes it.
        memory: GB, 10^9 bytes.
        tflops: precision -> dense peak of matrix products, 10^12 operations a second. A precision that is not there
            runs at the fp32 rate.
        bandwidth: of device memory, 10^9 bytes a second.
        capability: CUDA compute capability; None for a CPU.
        launch: expected microseconds to start one kernel.
        launch_factors: the shortest and the longest likely launch, as multiples of `launch`.
        fraction: low, expected and high share of `tflops` that matrix products reach.
        status: how `fraction` is known.
        price: dollars an hour, or None.
        card: its name in the catalogue; differs from `name` where there are several of them.
        count: cards, each with a process of its own that computes its share of every step. All figures are of one.
        exchange: low, expected and high 10^9 bytes a second at which the cards exchange gradients; None of one card.
        unknown: by how many times all work may take longer, or less, than these figures say: 1 of a known device.
        source: what says so, by figure: `figures`, `launch`, and where there are such figures `fraction` and `price`.
    """

    name: str
    memory: float
    tflops: Mapping[str, float]
    bandwidth: float
    capability: tuple[int, int] | None
    launch: float
    launch_factors: tuple[float, float]
    fraction: tuple[float, float, float]
    status: Status
    price: float | None
    source: Mapping[str, str]
    card: str = ""
    count: int = 1
    exchange: tuple[float, float, float] | None = None
    unknown: float = 1.0

    @property
    def is_cpu(self) -> bool:
        """True for the processor itself."""
        return self.capability is None

    def exchange_seconds(self, size: float, level: str) -> float:
        """Seconds in which the cards add up `size` bytes that each of them has: each sends and receives
        2 (n - 1) / n of it, in a ring (Patarasuk & Yuan 2009, doi:10.1016/j.jpdc.2008.09.002)."""
        if self.exchange is None:
            return 0.0
        slow, expected, fast = self.exchange
        rate = {"low": fast, "expected": expected, "high": slow}[level]
        return 2 * (self.count - 1) / self.count * size / (1e9 * rate)

    def peak(self, precision: str) -> float:
        """Operations a second of matrix products in `precision`."""
        return 1e12 * self.tflops.get(precision, self.tflops["fp32"])


def gpu_names() -> list[str]:
    """Names in the catalogue, in its order."""
    return list(_catalogue())


def find_gpu(text: str) -> Gpu:
    """The device that `--gpu` names.

    Args:
        text: a name of the catalogue (case and spaces do not matter), or a device of the user's own as
            `name=… tflops=… bandwidth=… memory=…`.

    Raises:
        DeviceError: the name is unknown, or the line is incomplete.
    """
    if "=" in text:
        return _own(text)
    wanted = _plain(text)
    if _APPLE.fullmatch(wanted):
        raise DeviceError(
            f"'{text}' is a GPU of Apple's, and nothing is trained on those (MPS).",
            where="--gpu",
            fix=f"{ON_A_MAC} Plan for it with --gpu CPU, after `lexitrain plan --calibrate` there.",
        )
    for gpu, spellings in _spellings().items():
        if wanted in spellings:
            return _catalogue()[gpu]
    names = gpu_names()
    known = {spelling: gpu for gpu, all_of in _spellings().items() for spelling in all_of}
    close = nearest(wanted, known)
    raise DeviceError(
        f"There is no GPU '{text}' in the catalogue.",
        where="--gpu",
        fix=(f"Did you mean {known[close]}? " if close else "")
        + f"Known: {', '.join(names)}; or describe yours: --gpu {_OWN}",
    )


def named_like(device: str, memory: float | None = None) -> Gpu | None:
    """The catalogue's entry for the name that a driver reports, such as `NVIDIA A100-SXM4-40GB`; None if there is none.

    All words of one of its spellings occur in the name, and what else occurs there is known to mean the same device:
    any other word makes it another (`Ti`, `Laptop`, `NVL`), or a part of a card (`MIG 1g.5gb`, `12Q`). The spelling
    with most words decides.

    Args:
        device: as the driver says it.
        memory: GB that it reports, where known.
    """
    words = set(_words(device))
    found = [
        (len(_words(spelling)), name)
        for name, entry in _entries().items()
        for spelling in (name, *entry.get("aliases", ()))
        if name != "CPU" and _means(set(_words(spelling)), words, entry)
    ]
    if not found:
        return None
    name = max(found)[1]
    sold = _entries()[name].get("memories", [_entries()[name]["memory"]])
    low, high = _SAME_MEMORY
    if memory is not None and not any(low <= memory / each <= high for each in sold):
        return None
    return _catalogue()[name]


def _means(spelling: set[str], words: set[str], entry: Mapping[str, Any]) -> bool:
    """Whether a name of these words is of the device that is spelled so."""
    return spelling <= words <= spelling | _MAKERS | set(entry.get("driver", ()))


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())


def _plain(text: str) -> str:
    return "".join(text.lower().replace("nvidia", "").replace("geforce", "").split()).replace(
        "_", "-"
    )


@cache
def _spellings() -> dict[str, set[str]]:
    return {
        name: {_plain(each) for each in (name, *entry.get("aliases", ()))}
        for name, entry in _entries().items()
    }


@cache
def _entries() -> dict[str, dict[str, Any]]:
    text = files("lexitrain.planning.devices").joinpath("gpus.yaml").read_text(encoding="utf-8")
    entries: dict[str, dict[str, Any]] = yaml.safe_load(text)
    shared = entries.pop("defaults")
    return {
        name: {**shared, **(entries[entry["card"]] if "card" in entry else {}), **entry}
        for name, entry in entries.items()
    }


@cache
def _catalogue() -> dict[str, Gpu]:
    return {
        name: Gpu(
            name=name,
            memory=float(entry["memory"]),
            tflops={key: float(value) for key, value in entry["tflops"].items()},
            bandwidth=float(entry["bandwidth"]),
            capability=None if entry["capability"] is None else tuple(entry["capability"]),
            **_launch(entry["launch"]),
            fraction=tuple(entry["fraction"]),
            status=entry["status"],
            price=entry.get("price"),
            source={**entry["source"], "launch": entry["launch_source"]},
            card=entry.get("card", name),
            count=entry.get("count", 1),
            exchange=tuple(entry["exchange"]) if "exchange" in entry else None,
        )
        for name, entry in _entries().items()
    }


def _launch(microseconds: tuple[float, float, float]) -> dict[str, Any]:
    """Low, expected and high as the fields of a device."""
    low, expected, high = microseconds
    return {"launch": float(expected), "launch_factors": (low / expected, high / expected)}


def _own(text: str) -> Gpu:
    """A device of the user's own. `tflops` is the 16-bit peak, `fp32` a quarter of it where not given."""
    given = _fields(text)
    missing = [key for key in ("tflops", "bandwidth", "memory") if key not in given]
    if missing:
        raise DeviceError(
            f"This GPU lacks {', '.join(missing)}.", where="--gpu", fix=f"Write --gpu {_OWN}"
        )
    like = _catalogue()["L4"]
    half = _positive(given, "tflops")
    capability = _capability(given.get("capability", "8.0"))
    precisions = {"fp16": half, "fp32": _positive(given, "fp32", half / 4)}
    if compute_precision("auto", capability) == "bf16":
        precisions["bf16"] = half
    return replace(
        like,
        name=given.get("name", "own GPU"),
        memory=_positive(given, "memory"),
        tflops=precisions,
        bandwidth=_positive(given, "bandwidth"),
        capability=capability,
        launch=_positive(given, "launch", like.launch),
        launch_factors=_GIVEN_LAUNCH if "launch" in given else like.launch_factors,
        price=_positive(given, "price") if "price" in given else None,
        card="",
        source={
            "figures": "given with --gpu",
            "launch": "given with --gpu" if "launch" in given else like.source["launch"],
        },
    )


def _fields(text: str) -> dict[str, str]:
    """`key=value` pairs; a word without `=` belongs to the value before it, so that a name may have spaces."""
    given: dict[str, str] = {}
    key = ""
    for word in text.replace(",", " ").split():
        name, equals, value = word.partition("=")
        if equals:
            key = name.lower()
            if key not in _OWN_FIELDS:
                close = nearest(key, _OWN_FIELDS)
                raise DeviceError(
                    f"A GPU has no field '{key}'.",
                    where="--gpu",
                    fix=f"Did you mean {close}?" if close else f"Fields: {', '.join(_OWN_FIELDS)}.",
                )
            given[key] = value
        elif key:
            given[key] += f" {word}"
        else:
            raise DeviceError(
                f"'{word}' is not a field of a GPU.", where="--gpu", fix=f"Write --gpu {_OWN}"
            )
    return given


def _positive(given: Mapping[str, str], key: str, otherwise: float | None = None) -> float:
    if key not in given and otherwise is not None:
        return otherwise
    try:
        value = float(given[key])
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise DeviceError(
            f"{key} must be a number above 0, not '{given[key]}'.",
            where="--gpu",
            fix=f"Write --gpu {_OWN}",
        )
    return value


def _capability(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    if not (major.isdecimal() and (minor or "0").isdecimal()):
        raise DeviceError(f"A compute capability looks like 7.5, not '{text}'.", where="--gpu")
    return int(major), int(minor or 0)
