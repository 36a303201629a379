"""`ab serve`: a test of two models on the web."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.abtest.log.database import Address
from lexitrain.abtest.observation_file import read_planned
from lexitrain.abtest.ranges import LONGEST_WAIT, require_between, require_ratio
from lexitrain.abtest.service.consent import own_consent, read_consent
from lexitrain.abtest.service.settings import GuardrailLimits, RequestLimits, ServiceSettings
from lexitrain.errors import InputError, MissingExtra
from lexitrain.serving import host_and_port, host_name, is_loopback, require_free, taken
from lexitrain.storage import user_path

if TYPE_CHECKING:
    from lexitrain.abtest.service.service import Service

TOKEN_VARIABLE = "LEXITRAIN_AB_TOKEN"
_SHORTEST_TOKEN = 16
_LONGEST_NAME = 64
_NAME = re.compile(r"[\w.-]+|\[[0-9a-f:.]+\]")


def serve_ab(
    a: str,
    b: str,
    *,
    data: str | Path = "ab.db",
    experiment: str = "ab",
    ratio: tuple[float, float] = (1.0, 1.0),
    plan: str | Path | None = None,
    tasks: Sequence[str] = (),
    host: str = "127.0.0.1",
    port: int = 8090,
    names: Sequence[str] = (),
    proxies: str = "",
    token_file: str | Path | None = None,
    title: str = "English tutor",
    consent: str | Path | None = None,
    keep_texts: bool = False,
    json_schema: bool = False,
    seconds: float = 60.0,
    slots: int = 4,
    threads: int | None = None,
    custom_tasks: Sequence[str] = (),
    limits: RequestLimits | None = None,
    guardrails: GuardrailLimits | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve a test of two models until the process is told to end.

    Args:
        a, b: a run, an adapter, a merged folder or a base; a GGUF file, or `BASE.gguf+ADAPTER.gguf`; an address such as
            `http://localhost:8000/v1#model`. `a` is what `b` is compared with.
        data: SQLite file, made where there is none, or `postgresql://user:password@host/name`.
        experiment: name of the test; a database may hold several.
        ratio: in which learners are assigned.
        plan: what `ab plan --json` wrote: kept with the test, and read by its report.
        tasks: short names to offer; none: all that both models know.
        host, port: where it listens.
        names: under which it is asked for from outside, as in a browser's address.
        proxies: addresses of reverse proxies whose word on a client's address is taken.
        token_file: with the team's token; else it is `LEXITRAIN_AB_TOKEN`, else drawn and told.
        title: of the learners' page.
        consent: text that learners agree to, see `read_consent`; by default the product's own.
        keep_texts: keep sentences and answers too.
        json_schema: hold answers to the task's schema.
        seconds: longest wait for an answer.
        slots: prompts that llama.cpp answers together.
        threads: that compute for one model; by default one a core.
        custom_tasks: `path.py` or `module:attribute` of tasks of your own. Their code is executed.
        limits, guardrails: see there.
        tell: called with sentences on what goes on.

    Raises:
        InputError: a setting cannot be, the port is taken, the database cannot be used or has the test otherwise.
        ModelError, RunError, TaskError: a model cannot be had, or a task is unknown to one.
        MissingExtra: a package is not installed.
    """
    _require_packages()
    share = _share(ratio)
    _require_settings(experiment, title)
    _require_numbers(seconds, slots, threads)
    require_free(host, port)
    settings = ServiceSettings(
        token=_token(token_file, tell, f"http://{host_and_port(host, port)}/team"),
        title=title,
        consent=own_consent(keep_texts=keep_texts) if consent is None else read_consent(consent),
        keep_texts=keep_texts,
        names=_names(host, names),
        limits=limits or RequestLimits(),
        guardrails=guardrails or GuardrailLimits(),
    )
    from lexitrain.abtest.engines.open_engine import EngineSettings, arms_of
    from lexitrain.abtest.service.service import Service

    address = Address(data)
    asked = EngineSettings(
        json_schema, seconds, settings.limits.at_once, slots, threads, tuple(custom_tasks), tell
    )
    arms = arms_of(a, b, tasks, asked)
    service = Service(address, str(data), experiment, share, _plan(plan), arms, settings, tell)
    if not is_loopback(host):
        tell(
            f"Others can reach {host} without encryption: put a reverse proxy with TLS before it, as docs/ab.md shows."
        )
    if os.name == "posix" and os.geteuid() == 0:
        tell("This runs as root and needs no such rights: take an ordinary user.")
    _run(service, host, port, proxies, tell)


def _run(service: Service, host: str, port: int, proxies: str, tell: Callable[[str], None]) -> None:
    from lexitrain.abtest.service.server import server

    # One run each: what a signal cancels is not what tidies up after it.
    with asyncio.Runner() as runner:
        try:
            application = runner.run(service.open())
            address = f"http://{host_and_port(host, port)}"
            tell(f"Learners: {address}/   Team: {address}/team")
            try:
                runner.run(server(application, host, port, proxies).serve())
            except SystemExit:
                raise taken(host, port, "it was taken meanwhile") from None
        finally:
            runner.run(service.close())


def _require_packages() -> None:
    for package in ("fastapi", "uvicorn", "httpx", "jinja2"):
        if find_spec(package) is None:
            raise MissingExtra(package, "ab")


def _share(ratio: tuple[float, float]) -> float:
    """The share of learners that arm a gets."""
    require_ratio(ratio)
    return ratio[0] / sum(ratio)


def _require_numbers(seconds: float, slots: int, threads: int | None) -> None:
    require_between(seconds, 0.1, LONGEST_WAIT, "--timeout", "longest wait in seconds")
    require_between(slots, 1, 64, "--slots", "number of prompts together")
    if threads is not None:
        require_between(threads, 1, 1024, "--threads", "number of threads")


def _require_settings(experiment: str, title: str) -> None:
    for option, name in (("--experiment", experiment), ("--title", title)):
        if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
            raise InputError(
                f"This is no name: {name[:80]!r}.",
                where=option,
                fix=f"Give 1 to {_LONGEST_NAME} letters.",
            )


def _names(host: str, given: Sequence[str]) -> frozenset[str]:
    """The names under which the service may be asked for; any where it listens to others and none was given.

    A page of the web may let its own name point to this machine (DNS rebinding).
    """
    found = {host_name(name): name for name in given}
    for name, typed in found.items():
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{typed!r} is no name of a machine.",
                where="--name",
                fix="Give it as in ab.example.org.",
            )
    names = set(found)
    if is_loopback(host):
        names |= {"localhost", "127.0.0.1", "[::1]", host_name(host)}
    return frozenset(names)


def _token(file: str | Path | None, tell: Callable[[str], None], address: str) -> str:
    """The team's token."""
    where: object = TOKEN_VARIABLE
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if file is not None:
        where = user_path(file)
        try:
            token = user_path(file).read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The token cannot be read ({error}).", where=where) from None
    elif not token:
        token = secrets.token_urlsafe(24)
        tell(f"The team's page, with a token for this time: {address}#token={token}")
        return token
    if len(token) < _SHORTEST_TOKEN or not all(33 <= ord(letter) < 127 for letter in token):
        raise InputError(
            f"This token is too short, or has letters that none can have: take {_SHORTEST_TOKEN} or more of a-z, 0-9.",
            where=where,
            fix='Draw one: python -c "import secrets; print(secrets.token_urlsafe(24))"',
        )
    return token


def _plan(file: str | Path | None) -> str:
    """What was planned, as JSON; empty without a plan."""
    if file is None:
        return ""
    return json.dumps(asdict(read_planned(Path(file))), sort_keys=True)
