"""Taking in raw data: chunks of a source become tidy lines and the hashes that every later decision is made from.

This is where the time of `data prepare` goes (parsing, normalizing, checking, hashing: about 60 microseconds a
record), so it runs in worker processes, in the order of the input, with a bounded number of chunks under way. What
comes back is small: the lines as bytes, and about 50 bytes of numbers a record.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lexitrain.errors import LexiTrainError
from lexitrain.preparation.duplicates import SHORTEST, Hashes, band_keys
from lexitrain.records.normalization import emptiness, loose_words, tidy_record
from lexitrain.records.record import BadRecord, Record
from lexitrain.records.rows import BadRow
from lexitrain.records.sources import Chunk

_UNDER_WAY = 3  # chunks a worker, so that none waits and memory stays bounded
_WORTH_WORKERS = 16 << 20  # bytes
_MOST_WORKERS = 4  # more would only wait for the one process that reads and writes
_DISTINCT_LOSSES = 200
_DIGEST_BYTES = 8

Loss = tuple[str, str]  # task, reason


def only_input(record: Record) -> tuple[str, str]:
    """The input, twice: for tasks whose prompt shows nothing else of a record."""
    return record.input, record.input


@dataclass(frozen=True, slots=True)
class Rules:
    """What makes a row a record worth keeping.

    Attributes:
        aliases: every accepted name of a task and its short name.
        check: the reason why a record's output is no answer to its task, or None.
        task: the task of rows that name none.
        minimum_characters: letters and digits an input must have.
        asked: all that the prompt shows of a record, and the words in it that are the learner's (of a dialogue, the
            turns before included). Records of a task with equal prompts are exact duplicates; near duplicates, and
            the records that one side of a split keeps together, are found by the words.
    """

    aliases: Mapping[str, str]
    check: Callable[[Record], str | None]
    task: str | None = None
    minimum_characters: int = 1
    asked: Callable[[Record], tuple[str, str]] = only_input

    def tasks(self) -> list[str]:
        """Short names in a stable order; a record's task is written as its place here."""
        return sorted(set(self.aliases.values()))


@dataclass(frozen=True, slots=True)
class Intake:
    """One chunk, taken in. Arrays have one entry a kept record.

    Attributes:
        lines: the kept records, normalized, one JSON line each.
        lengths: bytes of each line.
        tasks: task of each record, as a place in `Rules.tasks()`.
        keys: hash of task and prompt: equal for exact duplicates.
        answers: hash of what is learnt (output or assistant turns).
        texts: hash of the learner's words without case, spaces and punctuation, whatever the task.
        openings: the same hash of every proper beginning of a text of several lines (the turns of a conversation),
            shortest first, one text after the other; `beginnings` says how many each text has.
        groups: hash of `metadata.group`, 0 without one.
        long: places of the records that are compared for near duplicates.
        bands: [long, BANDS] their buckets.
        dropped: how often each loss occurred; `examples` has the place of its first one.
    """

    file: str
    size: int
    rows: int
    lines: bytes
    lengths: NDArray[np.int64]
    tasks: NDArray[np.int64]
    keys: Hashes
    answers: Hashes
    texts: Hashes
    openings: Hashes
    beginnings: NDArray[np.int64]
    groups: Hashes
    long: NDArray[np.int64]
    bands: Hashes
    bad: list[BadRecord]
    dropped: Counter[Loss]
    examples: dict[Loss, str]


def take_in(chunk: Chunk, rules: Rules) -> Intake:
    """Parse, normalize, check and hash one chunk. Nothing here depends on any other chunk."""
    kept = _Kept(rules)
    bad: list[BadRecord] = []
    dropped: Counter[Loss] = Counter()
    examples: dict[Loss, str] = {}
    rows = 0
    for number, row in chunk.parsed():
        rows += 1
        try:
            if isinstance(row, str):
                raise BadRow(row)
            record, line = tidy_record(row, rules.aliases, rules.task)
        except BadRow as error:
            bad.append(BadRecord(chunk.file, number, str(error)))
            continue
        words = loose_words(record.input)
        reason = emptiness(record, words, rules.minimum_characters) or _invalid(record, rules)
        if reason is None:
            prompt, said = rules.asked(record)
            kept.add(record, line, prompt, said, words if said == record.input else None)
            continue
        loss = counted(dropped, (record.task, reason))
        dropped[loss] += 1
        examples.setdefault(loss, f"{chunk.file}:{number}")
    return kept.intake(chunk, rows, bad, dropped, examples)


def counted(dropped: Counter[Loss], loss: Loss) -> Loss:
    """The name under which a loss is counted: reasons quote values, and their number must stay bounded."""
    if loss in dropped or len(dropped) < _DISTINCT_LOSSES:
        return loss
    return loss[0], "invalid: other reasons"


def _invalid(record: Record, rules: Rules) -> str | None:
    reason = rules.check(record)
    return None if reason is None else f"invalid: {reason}"


class _Kept:
    """Collects what is kept of a chunk, in lists while it grows."""

    def __init__(self, rules: Rules) -> None:
        self._numbers = {task: number for number, task in enumerate(rules.tasks())}
        self._lines: list[bytes] = []
        self._tasks: list[int] = []
        self._keys, self._answers, self._texts, self._groups = (bytearray() for _ in range(4))
        self._openings = bytearray()
        self._beginnings: list[int] = []
        self._long: list[int] = []
        self._long_words: list[list[str]] = []

    def add(
        self, record: Record, line: bytes, prompt: str, said: str, words: list[str] | None
    ) -> None:
        """Keep a record: `prompt` and `said` as `Rules.asked` tells them, `words` of `said` where they are known."""
        if words is None:
            words = loose_words(said)
        if len(words) >= SHORTEST:
            self._long.append(len(self._lines))
            self._long_words.append(words)
        self._lines.append(line)
        self._tasks.append(self._numbers[record.task])
        self._keys += _digest(f"{record.task}\0{prompt}")
        self._answers += _digest(_learnt(record))
        self._texts += _digest("".join(words))
        openings = _openings(said) if "\n" in said else b""
        self._openings += openings
        self._beginnings.append(len(openings) // _DIGEST_BYTES)
        group = record.metadata.get("group")
        # An empty cell of a table names no group; taken as one, it would tie all its rows together.
        self._groups += bytes(8) if group in (None, "") else _digest(f"group\0{group}")

    def intake(
        self,
        chunk: Chunk,
        rows: int,
        bad: list[BadRecord],
        dropped: Counter[Loss],
        examples: dict[Loss, str],
    ) -> Intake:
        return Intake(
            chunk.file,
            chunk.size,
            rows,
            b"".join(self._lines),
            np.fromiter(map(len, self._lines), np.int64, len(self._lines)),
            np.array(self._tasks, np.int64),
            _hashes(self._keys),
            _hashes(self._answers),
            _hashes(self._texts),
            _hashes(self._openings),
            np.array(self._beginnings, np.int64),
            _hashes(self._groups),
            np.array(self._long, np.int64),
            band_keys(self._long_words),
            bad,
            dropped,
            examples,
        )


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


def _openings(said: str) -> bytes:
    """The hashes of all proper beginnings of a text of several lines; each equals that of a text which is no longer."""
    digest, found = blake2b(digest_size=_DIGEST_BYTES), bytearray()
    begun = False
    for line in said.split("\n"):
        words = "".join(loose_words(line))
        if words:
            if begun:
                found += digest.digest()
            digest.update(words.encode())
            begun = True
    return bytes(found)


def _hashes(digests: bytearray) -> Hashes:
    return np.frombuffer(bytes(digests), "<u8").astype(np.uint64)


def _learnt(record: Record) -> str:
    if record.messages is None:
        return json.dumps(record.output, sort_keys=True)
    return "\0".join(turn["content"] for turn in record.messages if turn["role"] == "assistant")


class Intakes:
    """Takes in chunks in order, in `workers` processes (0: in this one).

    A context manager; leaving it ends the workers. The rules must be picklable for workers to be used: rules that
    are not (a check defined inside a function) are applied in this process, slower and with the same result.
    """

    def __init__(self, rules: Rules, workers: int) -> None:
        self._rules = rules
        self._pool: ProcessPoolExecutor | None = None
        self._window = _UNDER_WAY * workers
        if workers and _picklable(rules):
            # "spawn": forking a process that runs threads (a progress display does) may deadlock.
            self._pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (rules,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def of(self, chunks: Iterable[Chunk]) -> Iterator[Intake]:
        """The intake of every chunk, in order.

        Raises:
            LexiTrainError: a worker was killed, usually because memory ran out.
        """
        if self._pool is None:
            yield from (take_in(chunk, self._rules) for chunk in chunks)
            return
        under_way: deque[Future[Intake]] = deque()
        try:
            for chunk in chunks:
                with _sigint_held():
                    under_way.append(self._pool.submit(_work, chunk))
                if len(under_way) >= self._window:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        except BrokenProcessPool:
            raise LexiTrainError(
                "A worker process was killed, usually because memory ran out.",
                fix="Free some memory and run the same command again.",
            ) from None


@contextmanager
def _sigint_held() -> Generator[None]:
    """Holds Ctrl-C back while a worker may be started: it inherits this, and the main process ends the workers. Else a
    worker that is still importing would answer with a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def workers_for(input_bytes: int) -> int:
    """How many workers an input deserves: none for a small one, since starting them takes half a second."""
    if input_bytes < _WORTH_WORKERS:
        return 0
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return min(_MOST_WORKERS, cores)


def _picklable(rules: Rules) -> bool:
    try:
        pickle.dumps(rules)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


_worker_rules: list[Rules] = []


def _start_worker(rules: Rules) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends the workers
    Thread(target=_end_with_parent, daemon=True).start()
    _worker_rules[:] = [rules]


def _end_with_parent() -> None:
    """A worker whose main process was killed would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(chunk: Chunk) -> Intake:
    return take_in(chunk, _worker_rules[0])
