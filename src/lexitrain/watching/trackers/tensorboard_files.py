"""TensorBoard: event files in the run's folder, written without TensorFlow or torch.

Each process writes a file of its own that begins with the whole history, and then removes the files of the processes
before it. Such a file opens with a session that starts at step 0, by which TensorBoard drops whatever it has read of
the folder so far: what an earlier process wrote, torn records included, is never shown twice.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexitrain.runs import Run
    from lexitrain.watching.trackers.telling import Losses, Point, Told


class TensorboardFiles:
    """The event files of one run.

    Args:
        run: the run.
        key: by which its files are known in a folder of several runs.
        folder: that the folder of the run is made in; empty: `tensorboard` in the run's own.
    """

    def __init__(self, run: Run, key: str, folder: str) -> None:
        self._key = f"lexitrain-{key}"
        self._folder = (
            self._own(Path(folder), run.path.name) if folder else run.path / "tensorboard"
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        self.place = str(self._folder)
        self._scores: dict[str, float] = {}
        self._events = 0
        self._old: list[Path] = []
        self._open()

    def told(self) -> dict[int, Losses]:
        """Nothing: the file is new."""
        return {}

    def start_again(self) -> None:
        """Go on in a new file, which takes the place of this one."""
        self._file.close()
        self._scores, self._events = {}, 0
        self._open()

    def settings(self, values: Mapping[str, str], recipe: str) -> None:
        """The recipe as text."""
        del values
        self._text("recipe", 0, time.time(), f"```yaml\n{recipe}```")

    def points(self, points: Sequence[Point]) -> None:
        """Scalars, named as in metrics.jsonl. They are kept in single precision."""

        for point in points:
            values = [
                _proto("summary").Summary.Value(tag=k, simple_value=v)
                for k, v in point.values.items()
            ]
            self._write(
                time.time(), step=point.step, summary=_proto("summary").Summary(value=values)
            )

    def events(self, events: Sequence[Told]) -> None:
        """Texts, one name for each kind of event."""
        for event in events[self._events :]:
            self._text(f"events/{event.name}", event.step, event.seconds, event.text)
        self._events = len(events)

    def scores(self, step: int, values: Mapping[str, float]) -> None:
        """Scalars at the run's last step."""

        new = [
            _proto("summary").Summary.Value(tag=k, simple_value=v)
            for k, v in values.items()
            if self._scores.get(k) != v
        ]
        self._write(time.time(), step=step, summary=_proto("summary").Summary(value=new))
        self._scores = dict(values)

    def flush(self) -> None:
        """Sync the file; then the older ones are needed no more."""
        self._file.flush()
        os.fsync(self._file.fileno())
        for path in self._old:
            path.unlink(missing_ok=True)
        self._old = []

    def finish(self, state: str) -> None:
        """Close the file."""
        del state
        self.flush()
        self._file.close()

    def _own(self, parent: Path, name: str) -> Path:
        """The run's folder; one with its key where another run of the same name has been there before."""
        taken = [*(parent / name).glob("events.out.tfevents.*")] if (parent / name).is_dir() else []
        mine = all(path.name.endswith(self._key) for path in taken)
        return parent / (name if mine else f"{name}-{self._key.removeprefix('lexitrain-')}")

    def _open(self) -> None:

        session = _proto("event").SessionLog
        self._old = sorted(self._folder.glob(f"events.out.tfevents.*.{self._key}"))
        # TensorBoard reads files in the order of their names, and a clock may have been set back.
        newest = max(
            (_number(path) for path in self._folder.glob("events.out.tfevents.*")), default=0
        )
        number = max(int(time.time()), newest + 1)
        name = f"events.out.tfevents.{number:010d}.{socket.gethostname()}.{os.getpid()}.{self._key}"
        self._file = (self._folder / name).open("xb")
        self._write(time.time(), file_version="brain.Event:2")
        self._write(time.time(), step=0, session_log=session(status=session.START))

    def _text(self, tag: str, step: int, seconds: float, text: str) -> None:

        plugin = _proto("summary").SummaryMetadata.PluginData(plugin_name="text")
        value = _proto("summary").Summary.Value(
            tag=tag,
            metadata=_proto("summary").SummaryMetadata(plugin_data=plugin),
            tensor=_proto("tensor").TensorProto(
                dtype=_proto("types").DT_STRING, string_val=[text.encode()]
            ),
        )
        self._write(seconds, step=step, summary=_proto("summary").Summary(value=[value]))

    def _write(self, seconds: float, **content: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        event = _proto("event").Event(wall_time=seconds, **content)

        RecordWriter(self._file).write(event.SerializeToString())


def _proto(name: str) -> Any:
    """One of TensorBoard's modules of messages, whose names come into being as it is imported."""
    return import_module(f"tensorboard.compat.proto.{name}_pb2")


def _number(path: Path) -> int:
    part = path.name.split(".")[3]
    return int(part) if part.isdecimal() else 0
