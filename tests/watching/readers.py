"""What trackers have of a run, read by their own means: step -> name -> number."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from pathlib import Path
from typing import Any

Numbers = dict[int, dict[str, float]]
_BLOCK, _HEADER = 32_768, 7


def of_tensorboard(folder: Path) -> Numbers:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    found: Numbers = defaultdict(dict)
    for name in read.Tags()["scalars"]:
        points = read.Scalars(name)
        steps = [point.step for point in points]
        assert len(steps) == len(set(steps)), f"{name}: a step is there twice"
        for point in points:
            found[point.step][name] = point.value
    return dict(found)


def of_trackio(project: str) -> tuple[Numbers, list[str]]:
    """The only run of a project, and its alerts."""
    import trackio

    (run,) = trackio.Api().runs(project)
    from trackio.sqlite_storage import SQLiteStorage

    found: Numbers = defaultdict(dict)
    for row in SQLiteStorage.get_logs(project, run.name, run_id=run.id):
        for name, value in row.items():
            if name not in {"step", "timestamp"}:
                assert name not in found[row["step"]], (
                    f"{name} of step {row['step']} is there twice"
                )
                found[row["step"]][name] = value
    return dict(found), [each["title"] for each in run.alerts()]


def of_wandb(folder: Path) -> tuple[Numbers, dict[str, Any], dict[str, Any]]:
    """The history of the only offline file, its configuration and its summary."""
    (file,) = folder.glob("offline-run-*/run-*.wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    found: Numbers = {}
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    for content in _records(file.read_bytes()):
        record = Record()
        record.ParseFromString(content)
        for each in (*record.config.update, *record.run.config.update):
            config[each.key] = json.loads(each.value_json)
        for each in record.summary.update:
            summary["/".join(each.nested_key) or each.key] = json.loads(each.value_json)
        if record.WhichOneof("record_type") == "history":
            row = {
                "/".join(item.nested_key) or item.key: json.loads(item.value_json)
                for item in record.history.item
            }
            step = int(row.pop("_step"))
            assert step not in found, f"step {step} is there twice"
            found[step] = {k: v for k, v in row.items() if not k.startswith("_")}
    return found, config, summary


def _records(content: bytes) -> list[bytes]:
    """The records of a file in the log format of LevelDB that wandb's core writes: blocks of 32 KiB, pieces of records
    with checksum, length and kind (1 whole, 2 first, 3 middle, 4 last)."""
    found: list[bytes] = []
    place, part = _HEADER, b""
    while place + _HEADER <= len(content):
        left = _BLOCK - place % _BLOCK
        if left < _HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + _HEADER])
        if kind == 0:
            break
        part += content[place + _HEADER : place + _HEADER + length]
        if kind in {1, 4}:
            found.append(part)
            part = b""
        place += _HEADER + length
    return found


def of_mlflow(folder: Path) -> tuple[Numbers, Any]:
    """The only active run of a store, and the run."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiments = [each.experiment_id for each in client.search_experiments()]
    (run,) = client.search_runs(experiments)
    found: Numbers = defaultdict(dict)
    for name in run.data.metrics:
        for point in client.get_metric_history(run.info.run_id, name):
            assert name not in found[point.step], f"{name} of step {point.step} is there twice"
            found[point.step][name] = point.value
    return dict(found), run
