"""What `ab serve` bears: requests at a fixed rate whatever comes back (open loop), and a kill in the middle.

    python -m benchmarks.ab_load [--seconds 60] [--rate 200] [--out FILE]

`lexitrain ab serve` runs as a user would start it, with both arms at an engine that answers after a fixed wait
(`benchmarks/stub_engine.py`), on this machine's loopback, beside the load itself. A request's time counts from the
moment at which it was to be sent, so that a service that falls behind cannot hide it; the engine's wait is taken off:
the rest is the service's own. One answer in four is rated. Afterwards the log is read: each request must stand there
once. Then the service is killed (SIGKILL) under load and started again: each rating that it acknowledged must be there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

RESULT = Path(__file__).parent / "results" / "ab-load.json"
LEARNERS = 500
WAIT = 0.05  # seconds that the engine takes
RATED = 4  # one answer in so many
KILL_AFTER = 5.0  # seconds
TOKEN = "a-token-for-the-load-test"


@dataclass
class Seen:
    """What the load has seen.

    Attributes:
        overhead: seconds of each answered request without the engine's, from when it was to be sent.
        rating: seconds of each acknowledged rating.
        exposures: ids of answers.
        rated: ids of answers whose rating was acknowledged, with the stars.
        failed: what came instead of an answer.
    """

    overhead: list[float] = field(default_factory=list)
    rating: list[float] = field(default_factory=list)
    exposures: list[str] = field(default_factory=list)
    rated: dict[str, int] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)


class Client:
    """Connections to the service, each used by one request at a time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = []

    async def post(self, path: str, content: object, learner: str = "") -> tuple[int, Any]:
        """Status and JSON of a reply."""
        reader, writer = await self._connection()
        body = json.dumps(content).encode()
        who = f"Authorization: Bearer {learner}\r\n" if learner else ""
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{who}"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        said = await reader.readexactly(length)
        if b"connection: close" in head.lower():
            writer.close()
        else:
            self._idle.append((reader, writer, time.monotonic()))
        return int(head.split(b" ", 2)[1]), json.loads(said)

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer, since = self._idle.pop()
            if (
                time.monotonic() - since < 3 and not reader.at_eof()
            ):  # the service closes them after 5
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)

    def close(self) -> None:
        for _, writer, _ in self._idle:
            writer.close()


async def learners(client: Client, count: int) -> list[str]:
    """Ids of learners who have agreed."""
    with_version = await _consent(client)
    found = []
    for _ in range(count):
        status, reply = await client.post("/v1/consent", with_version)
        assert status == 200, reply
        found.append(reply["learner"])
    return found


async def _consent(client: Client) -> dict[str, Any]:
    _, refused = await client.post("/v1/consent", {"version": "", "agreed": True})
    assert refused["error"]["code"] == "version"
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"GET /v1/consent HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).partition(b"\r\n\r\n")[2]
    writer.close()
    return {"version": json.loads(text)["version"], "agreed": True}


async def load(client: Client, known: list[str], rate: float, seconds: float, seen: Seen) -> int:
    """Requests at a fixed rate for a while; how many were sent. None waits for another one."""
    draw = random.Random(0)
    begun = time.perf_counter()
    under_way: set[asyncio.Task[None]] = set()
    sent = 0
    while (due := sent / rate) < seconds:
        now = time.perf_counter() - begun
        if now < due:
            await asyncio.sleep(due - now)
        task = asyncio.create_task(
            _one(client, draw.choice(known), begun + due, sent % RATED == 0, 1 + sent % 5, seen)
        )
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        sent += 1
    while under_way:
        await asyncio.sleep(0.05)
    return sent


async def _one(
    client: Client, learner: str, due: float, rates: bool, stars: int, seen: Seen
) -> None:
    try:
        status, reply = await client.post(
            "/v1/tutor/grammar", {"text": "She go to school."}, learner
        )
        if status != 200:
            seen.failed[reply["error"]["code"]] += 1
            return
        seen.overhead.append(time.perf_counter() - due - WAIT)
        exposure = reply["exposure"]
        seen.exposures.append(exposure.partition(".")[0])
        if not rates:
            return
        start = time.perf_counter()
        status, reply = await client.post(
            "/v1/ratings", {"exposure": exposure, "helpful": True, "stars": stars}, learner
        )
        if status == 200:
            seen.rating.append(time.perf_counter() - start)
            seen.rated[exposure.partition(".")[0]] = stars
        else:
            seen.failed["rating"] += 1
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        seen.failed[type(error).__name__] += 1


class Served:
    """`lexitrain ab serve` in a process. A context manager."""

    def __init__(self, engine: str, data: Path, port: int) -> None:
        self._command = [
            *(sys.executable, "-m", "lexitrain", "ab", "serve", "--a", f"{engine}#a", "--b", f"{engine}#b"),
            *("--data", str(data), "--port", str(port), "--per-learner", "0", "--per-address", "0"),
        ]  # fmt: skip
        self.port = port

    def __enter__(self) -> Served:
        self.process = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "LEXITRAIN_AB_TOKEN": TOKEN},
        )
        assert self.process.stderr is not None
        said = []
        for line in self.process.stderr:
            said.append(line)
            if line.startswith("Learners:"):
                break
        else:
            raise SystemExit("".join(said))
        deadline = time.monotonic() + 30
        while not self._listens():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return self

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(30)

    def kill(self) -> None:
        """As a power cut of the process: nothing of it goes on."""
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def in_log(data: Path) -> tuple[Counter[str], Counter[str], dict[str, int]]:
    """Exposures by id, by state, and stars by id, as another program reads them."""
    with sqlite3.connect(f"file:{data}?mode=ro", uri=True) as log:
        exposures = log.execute("SELECT exposure, state FROM exposures").fetchall()
        ratings = log.execute("SELECT exposure, stars FROM ratings").fetchall()
    return (
        Counter(str(exposure) for exposure, _ in exposures),
        Counter(str(state) for _, state in exposures),
        {str(exposure): int(stars) for exposure, stars in ratings},
    )


def spread(seconds: list[float]) -> dict[str, float]:
    """Milliseconds at some percentiles."""
    found = sorted(seconds)
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {
        **{
            name: round(1e3 * found[min(len(found) - 1, int(share * len(found)))], 2)
            for name, share in at.items()
        },
        "max": round(1e3 * found[-1], 2),
    }


async def steady(served: Served, data: Path, rate: float, seconds: float) -> dict[str, Any]:
    """The load, and what the log has of it."""
    client, seen = Client(served.port), Seen()
    known = await learners(client, LEARNERS)
    await load(client, known, rate, 2, Seen())  # connections, caches
    before = sum(in_log(data)[0].values())
    process = psutil.Process(served.process.pid)
    worked = sum(process.cpu_times()[:2])
    begun = time.perf_counter()
    sent = await load(client, known, rate, seconds, seen)
    took = time.perf_counter() - begun
    worked = sum(process.cpu_times()[:2]) - worked
    await asyncio.sleep(1)
    client.close()
    exposures, states, ratings = in_log(data)
    return {
        "rate": rate,
        "seconds": seconds,
        "sent": sent,
        "sent_in_seconds": round(took, 2),
        "answered": len(seen.exposures),
        "failed": dict(seen.failed),
        "cpu_ms_a_request": round(1e3 * worked / max(1, len(seen.exposures) + len(seen.rating)), 3),
        "exposures": sum(exposures.values()) - before,
        "lost": sum(each not in exposures for each in seen.exposures),
        "doubled": sum(count > 1 for count in exposures.values())
        + len(seen.exposures) - len(set(seen.exposures)),
        "states": dict(states),
        "ratings": len(seen.rated),
        "ratings_lost": sum(ratings.get(each) != stars for each, stars in seen.rated.items()),
        "overhead_ms": spread(seen.overhead),
        "rating_ms": spread(seen.rating),
    }  # fmt: skip


async def killed(served: Served, data: Path, engine: str, rate: float) -> dict[str, Any]:
    """The load, SIGKILL in the middle, a new start, and which acknowledged ratings are there."""
    client, seen = Client(served.port), Seen()
    known = await learners(client, 50)
    loading = asyncio.create_task(load(client, known, rate, 3 * KILL_AFTER, seen))
    await asyncio.sleep(KILL_AFTER)
    await asyncio.to_thread(served.kill)
    acknowledged = dict(seen.rated)
    loading.cancel()
    client.close()
    again = Served(engine, data, served.port)
    await asyncio.to_thread(again.__enter__)
    try:
        exposures, states, ratings = in_log(data)
        answering = Client(again.port)
        status, reply = await answering.post(
            "/v1/tutor/grammar", {"text": "She go to school."}, known[0]
        )
        answering.close()
    finally:
        await asyncio.to_thread(again.__exit__)
    return {
        "acknowledged": len(acknowledged),
        "lost": sum(ratings.get(each) != stars for each, stars in acknowledged.items()),
        "answered": len(seen.exposures),
        "answered_lost": sum(each not in exposures for each in seen.exposures),
        "doubled": sum(count > 1 for count in exposures.values()),
        "cut_off": states["open"],
        "answers_again": status == 200 and bool(reply["exposure"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    stub = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stub_engine", "--wait", str(WAIT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert stub.stdout is not None
    engine = stub.stdout.readline().strip()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "load.db"
        with Served(engine, data, free_port()) as served:
            found = asyncio.run(steady(served, data, arguments.rate, arguments.seconds))
        cut = Path(folder) / "killed.db"
        with Served(engine, cut, free_port()) as served:
            found_killed = asyncio.run(killed(served, cut, engine, arguments.rate))
    assert stub.stdin is not None
    stub.stdin.close()
    stub.wait(10)
    document = {
        "command": "python -m benchmarks.ab_load",
        "date": date.today().isoformat(),
        "cores": os.cpu_count(),
        "load_average_before": round(load_before, 2),
        "python": platform.python_version(),
        "versions": {
            name: version(name) for name in ("fastapi", "starlette", "uvicorn", "httpx", "h11")
        },
        "engine_wait_ms": 1e3 * WAIT,
        "steady": found,
        "killed": found_killed,
    }
    arguments.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
