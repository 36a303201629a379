"""`lexitrain ab serve` as a user types it: what it refuses, and how it begins and ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lexitrain.cli.main import run

pytest.importorskip("fastapi", reason="the extra ab is not installed")

ENGINE = "http://127.0.0.1:1/v1#m"


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """All that was printed, on one line."""
    return " ".join("".join(capsys.readouterr()).split())


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEXITRAIN_AB_TOKEN", raising=False)
    (tmp_path / "short.txt").write_text("short\n")
    (tmp_path / "token.txt").write_text("a-token-of-the-team-1\n")
    (tmp_path / "consent.json").write_text('{"en": "Only English."}')
    (tmp_path / "plan.json").write_text('{"planned": {"metric": "helpful"}}')
    (tmp_path / "text.db").write_text("no database " * 100)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ratio", "0:1"], "--ratio"),
        (["--ratio", "half"], "is no ratio"),
        (["--ratio", "nan:1"], "--ratio"),
        (["--token-file", "short.txt"], "too short"),
        (["--token-file", "none.txt"], "cannot be read"),
        (["--consent", "consent.json"], "consent.json"),
        (["--consent", "none.txt"], "cannot be read"),
        (["--plan", "plan.json"], "plan.json"),
        (["--experiment", ""], "--experiment"),
        (["--experiment", "a\nb"], "--experiment"),
        (["--name", "http://x/"], "no name of a machine"),
        (["--name", "x:port"], "no name of a machine"),
        (["--name", ":80"], "no name of a machine"),
        (["--name", "[x"], "no name of a machine"),
        (["--ratio", "1e300:1"], "at most 1000:1"),
        (["--timeout", "0"], "--timeout"),
        (["--timeout", "nan"], "Permitted is between 0.1 and 600"),
        (
            ["--max-errors", "5"],
            "--max-errors: The limit of a share is 5. Permitted is between 1e-06 and 0.95",
        ),
        (["--max-errors", "0.96"], "--max-errors"),
        (["--max-errors", "nan"], "--max-errors"),
        (["--max-errors", "-1"], "--max-errors"),
        (
            ["--max-invalid", "20"],
            "--max-invalid: The limit of a share is 20. Permitted is between 1e-06 and 0.95",
        ),
        (["--max-invalid", "0"], "--max-invalid"),
        (
            ["--max-p95", "nan"],
            "--max-p95: The limit in seconds is nan. Permitted is between 0.001 and 600",
        ),
        (["--max-p95", "inf"], "--max-p95"),
        (["--max-p95", "-1"], "--max-p95"),
        (["--per-learner", "10000000"], "--per-learner"),
        (["--per-address", "10000000"], "--per-address"),
        (["--threads", "5000"], "--threads"),
        (["--data", "mysql://u:hush@h/d"], "mysql"),
        (["--data", "text.db"], "not a database"),
        (["--data", "no/such/folder/t.db"], "cannot be written"),
        (["--task", "poetry"], "poetry"),
        (["--b", "none/such"], "none/such"),
        (["--b", "http://127.0.0.1:1/v1"], "does not answer"),
        (["--host", "300.1.1.1"], "cannot listen"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["ab", "serve", "--a", ENGINE, "--b", ENGINE, "--port", str(free_port()), *options]
    assert run(command) == 2
    told = said(capsys)
    assert words in told, told
    assert "hush" not in told
    assert "Traceback" not in told


def test_a_taken_port_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["ab", "serve", "--a", ENGINE, "--b", ENGINE, "--port", str(port)]) == 2
    assert "cannot listen" in said(capsys)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Command:
    """`lexitrain ab serve` in a process, both arms at a stub.

    Attributes:
        port: where it listens.
        told: what it said until then.
    """

    def __init__(self, engine: str, *options: str, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, free_port()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "lexitrain", "ab", "serve", "--a", f"{engine}#old"),
                *("--b", f"{engine}#new", "--port", str(self.port), *options),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.told = ""
        for line in self.process.stderr:
            self.told += line
            if line.startswith("Learners:"):
                break
        end = time.monotonic() + 30
        while True:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family) as probe:
                if probe.connect_ex((host, self.port)) == 0:
                    break
            assert time.monotonic() < end, self.told
            time.sleep(0.05)

    def call(
        self, method: str, path: str, content: object = None, who: str = ""
    ) -> tuple[int, dict]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        body = None if content is None else json.dumps(content)
        headers = {"Content-Type": "application/json"} if body else {}
        if who:
            headers["Authorization"] = f"Bearer {who}"
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        found = reply.status, json.loads(reply.read())
        connection.close()
        return found

    def end(self, kind: int) -> int:
        self.process.send_signal(kind)
        code = self.process.wait(30)
        assert self.process.stderr is not None
        self.told += self.process.stderr.read()
        self.process.stderr.close()
        return code


@pytest.fixture
def engine() -> Iterator[str]:
    stub = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stub_engine", "--wait", "0.01"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert stub.stdout is not None
    assert stub.stdin is not None
    yield stub.stdout.readline().strip()
    stub.stdin.close()
    stub.wait(10)
    stub.stdout.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_a_test_from_its_start_to_its_report(
    engine: str, kind: int, capsys: pytest.CaptureFixture[str]
) -> None:
    served = Command(engine, "--task", "grammar", "--token-file", "token.txt", "--ratio", "3:1")
    assert "token=" not in served.told
    status, consent = served.call("GET", "/v1/consent")
    assert status == 200
    for number in range(40):
        agreed = {"version": consent["version"], "agreed": True}
        _, welcome = served.call("POST", "/v1/consent", agreed)
        learner = welcome["learner"]
        asked = {"text": "She go to school."}
        status, answer = served.call("POST", "/v1/tutor/grammar", asked, learner)
        assert (status, answer["answer"]["corrected"]) == (200, "She goes to school.")
        rating = {"exposure": answer["exposure"], "helpful": number % 3 > 0}
        assert served.call("POST", "/v1/ratings", rating, learner)[0] == 200
    assert served.call("GET", "/v1/team", who="a-token-of-the-team-1")[0] == 200
    assert served.end(kind) == 130
    assert "Traceback" not in served.told
    assert "what was written before is whole" in served.told
    capsys.readouterr()
    code = run(["ab", "report", "ab.db", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code in {0, 3}
    assert (found["learners"], found["exposures"]) == (40, 40)
    assert found["experiment"]["arms"] == ["old", "new"]
    assert found["experiment"]["ratio"] == [0.75, 0.25]
    assert run(["ab", "report", "ab.db", "--experiment", "other"]) == 2
    assert "no test 'other'" in said(capsys)
    command = ["ab", "serve", "--a", f"{engine}#old", "--b", f"{engine}#new", "--port"]
    assert run([*command, str(free_port()), "--task", "grammar"]) == 2
    assert "was begun with 0.75" in said(capsys)


@pytest.mark.slow
def test_an_ipv6_address_is_printed_as_a_browser_takes_it(engine: str) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("there is no IPv6 here")
    served = Command(engine, "--host", "::1", host="::1")
    try:
        assert f"http://[::1]:{served.port}/team" in served.told
        assert served.call("GET", "/health")[0] == 200
    finally:
        served.end(signal.SIGINT)


@pytest.mark.slow
def test_what_a_user_should_know_is_told(engine: str) -> None:
    served = Command(engine, "--host", "0.0.0.0")
    try:
        assert "without encryption" in served.told
        assert "/team#token=" in served.told
        assert ("as root" in served.told) == (os.geteuid() == 0)
        assert served.call("GET", "/health")[0] == 200
    finally:
        served.end(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_serves_a_test(engine: str, tmp_path: Path) -> None:
    """Nothing but the folder of the log has to be writable."""
    setpriv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*setpriv, "true"], check=False).returncode:
        pytest.skip("setpriv is not there")
    readable = [*setpriv, sys.executable, "-c", "import lexitrain"]
    if subprocess.run(readable, check=False, capture_output=True).returncode:
        pytest.skip("this checkout cannot be read by others")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder != Path("/"):
            folder.chmod(0o777)
    port = free_port()
    process = subprocess.Popen(
        [
            *(*setpriv, sys.executable, "-m", "lexitrain", "ab", "serve", "--a", f"{engine}#a"),
            *("--b", f"{engine}#b", "--port", str(port), "--data", str(tmp_path / "own.db")),
        ],
        env={**os.environ, "HOME": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = ""
    for line in process.stderr:
        told += line
        if line.startswith("Learners:"):
            break
    assert "as root" not in told
    assert "Learners:" in told, told
    process.send_signal(signal.SIGINT)
    process.wait(30)
    process.stderr.close()
    assert (tmp_path / "own.db").stat().st_uid == 65534
