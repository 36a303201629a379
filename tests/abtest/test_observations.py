"""Exported tests: read as they were written, and refused where they would be silently wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexitrain import read_observations, read_planned
from lexitrain.abtest.observation_file import exported_lines
from lexitrain.abtest.observations import METRICS, Collector, Exposure, PlannedTest
from lexitrain.abtest.statistics.metrics import METRIC
from lexitrain.errors import DataError, InputError
from tests.abtest.worlds import DAY, START, collected, experiment, exposures, line

HEAD = line("experiment", name="tutor", arms=["old", "new"])
ROW = {"id": "e1", "learner": "a", "arm": "old", "task": "grammar", "time": "2026-11-01T00:00:00Z"}


def read(path: Path, *lines: str):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_observations(path)


def test_what_is_exported_is_read_again(tmp_path: Path):
    about = experiment(PlannedTest("helpful", 0.05, 500, 1700, 1.4), ratio=(2.0, 1.0))
    rows = exposures(40)
    learners = {"l0": (rows[0].arm, 0.25), "l1": ("new", None), "nobody": ("old", 1.5)}
    rows = [replace(row, arm="new") if row.learner == "l1" else row for row in rows]
    seen = read(tmp_path / "a.jsonl", *exported_lines(about, rows, learners))
    kept = collected(rows, about, learners)
    assert seen.experiment == about
    assert seen.learners == kept.learners
    for name in (
        "assigned",
        "pre",
        "learner",
        "arm",
        "task",
        "latency_ms",
        "helpful",
        "stars",
        "fixed",
    ):
        np.testing.assert_array_equal(getattr(seen, name), getattr(kept, name))
    np.testing.assert_allclose(seen.time, kept.time, atol=1e-5)
    assert seen.pre[seen.learners.index("l0")] == 0.25
    assert "nobody" in seen.learners, "assigned is assigned, shown or not"


def test_every_metric_is_known():
    assert tuple(METRIC) == METRICS


def test_moments_of_all_zones_are_one_time(tmp_path: Path):
    zones = ["2026-11-01T07:00:00+07:00", "2026-11-01T00:00:00Z", "2026-10-31T19:30:00-04:30"]
    seen = read(
        tmp_path / "a.jsonl",
        HEAD,
        *(line("exposure", **{**ROW, "id": str(n), "time": z}) for n, z in enumerate(zones)),
    )
    assert set(seen.time) == {1793491200.0}


def test_rows_that_are_there_twice_count_once(tmp_path: Path):
    row = line("exposure", **ROW, helpful=True)
    seen = read(tmp_path / "a.jsonl", HEAD, row, row, row)
    assert len(seen.time) == 1
    assert seen.repeated == 2


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([line("exposure", **ROW)], ":1.*no experiment"),
        ([HEAD, HEAD], ":2.*second experiment"),
        ([HEAD], "Nothing was shown"),
        ([HEAD, "{", ""], ":2.*no JSON"),
        ([HEAD, "[1]"], ":2.*no object"),
        ([HEAD, line("rating", exposure="e1", helpful=True)], ":2.*\n.*nobody knows of which"),
        ([HEAD, line("exposure", id="e1", helpful=True)], ":2.*no 'learner' and no 'arm'"),
        ([HEAD, line("exposure", **{**ROW, "arm": "third"})], ":2.*'third' is not one of"),
        ([HEAD, line("exposure", **ROW, helpfull=True)], ":2.*\n.*helpful"),
        ([HEAD, line("exposure", **ROW, helpful="true")], ":2.*true, false, null"),
        ([HEAD, line("exposure", **ROW, helpful=1)], ":2.*true, false, null"),
        ([HEAD, line("exposure", **ROW, stars=6)], ":2.*stars"),
        ([HEAD, line("exposure", **ROW, stars=2.5)], ":2.*stars"),
        ([HEAD, line("exposure", **ROW, stars=True)], ":2.*stars"),
        ([HEAD, line("exposure", **ROW, latency_ms=-1)], ":2.*latency_ms"),
        ([HEAD, line("exposure", **ROW, latency_ms=float("nan"))], ":2.*no JSON"),
        ([HEAD, line("exposure", **ROW, latency_ms=10**400)], ":2.*finite"),
        ([HEAD, line("exposure", **ROW, status="okay")], ":2.*status"),
        ([HEAD, line("exposure", **{**ROW, "time": "2026-11-01T00:00:00"})], ":2.*UTC"),
        ([HEAD, line("exposure", **{**ROW, "time": "yesterday"})], ":2.*no moment"),
        ([HEAD, line("exposure", **{**ROW, "time": 1793491200})], ":2.*no text"),
        ([HEAD, line("exposure", **{**ROW, "learner": ""})], ":2.*learner.*empty"),
        ([HEAD, line("exposure", **{**ROW, "learner": 17})], ":2.*learner.*no text"),
        (
            [HEAD, line("exposure", **ROW, helpful=True), line("exposure", **ROW, helpful=False)],
            ":3.*twice, and not alike.*:2",
        ),
        (
            [HEAD, line("learner", id="a", arm="old"), line("learner", id="a", arm="new")],
            ":3.*told twice.*:2",
        ),
        ([HEAD, line("learner", id="a", pre="much")], ":2.*pre.*finite"),
        ([HEAD, line("learner", id="a", pre=1e200)], ":2.*pre"),
        ([line("experiment", name="t", arms=["x", "x"])], ":1.*two different"),
        ([line("experiment", name="t", arms=["x"])], ":1.*two different"),
        ([line("experiment", name="t", arms=["x", "\x1b[2J"])], ":1.*cannot be printed"),
        ([line("experiment", name="t\ud800", arms=["x", "y"])], ":1.*cannot be printed"),
        ([HEAD, line("exposure", **{**ROW, "task": "a\u202eb"})], ":2.*cannot be printed"),
        ([line("experiment", name="t", arms=["x", "y"], ratio=[1, 0])], ":1.*ratio"),
        ([line("experiment", name="t", arms=["x", "y"], metrics=["helpfull"])], ":1.*\n.*helpful"),
        ([line("experiment", name="t", arms=["x", "y"], metrics=["stars", "stars"])], ":1.*twice"),
        (
            [line("experiment", name="t", arms=["x", "y"], plan={"metric": "stars"})],
            ":1.*no 'effect'",
        ),
        (
            [
                line("experiment", name="t", arms=["old", "new"], started="2026-11-02T00:00:00Z"),
                line("exposure", **ROW),
            ],
            ":2.*before the test began",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_with_its_line(tmp_path: Path, lines: list[str], told: str):
    with pytest.raises(DataError, match=told):
        read(tmp_path / "a.jsonl", *lines)


def test_a_file_that_is_none(tmp_path: Path):
    with pytest.raises(DataError, match="empty"):
        read(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        read_observations(tmp_path)
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe{}")
    with pytest.raises(DataError, match="UTF-8"):
        read_observations(tmp_path / "b.jsonl")


def test_a_plan_is_read(tmp_path: Path):
    path = tmp_path / "plan.json"
    said = {"metric": "helpful", "effect": 0.05, "learners": 100, "exposures": 300}
    for document in (said, {"planned": said, "weeks": 2}):
        path.write_text(json.dumps(document))
        assert read_planned(path) == PlannedTest("helpful", 0.05, 100, 300)
    for changed in (
        {"effect": 0},
        {"learners": 1.5},
        {"kind": "often"},
        {"alpha": 1},
        {"metric": "x"},
    ):
        path.write_text(json.dumps({**said, **changed}))
        with pytest.raises(DataError, match="no plan has"):
            read_planned(path)
    path.write_text("{")
    with pytest.raises(DataError, match="no JSON"):
        read_planned(path)


def test_who_was_assigned_counts_there_whatever_was_shown():
    rows = [
        Exposure("1", "a", "new", "grammar", START + 5),
        Exposure("2", "a", "old", "grammar", START + 1),
        Exposure("3", "b", "old", "grammar", START + 2),
    ]
    seen = collected(rows, learners={"b": ("new", None)})
    assert dict(zip(seen.learners, seen.assigned, strict=True)) == {"a": 0, "b": 1}
    assert list(seen.time) == sorted(seen.time)
    assert seen.time[-1] - START < DAY


def refusal(path: Path, *lines: str) -> InputError | None:
    try:
        read(path, *lines)
    except InputError as error:
        return error
    return None


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ROW, "stars", "pre", "x"]), inner),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["experiment", "learner", "exposure", "x"]), _JSON)
def test_no_line_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, kind: str, values: object
):
    path = tmp_path_factory.getbasetemp() / "hostile.jsonl"
    error = refusal(path, HEAD, line("exposure", **ROW), json.dumps({kind: values}))
    assert error is None or error.where


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["ratio", "started", "plan", "metrics", "arms"]),
        _JSON
        | st.lists(st.integers(1, 10**400), min_size=2, max_size=2)
        | st.dictionaries(
            st.sampled_from(["metric", "effect", "learners", "exposures", "kind", "alpha"]), _JSON
        ),
    )
)
def test_no_first_line_does(tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]):
    path = tmp_path_factory.getbasetemp() / "first.jsonl"
    head = {"name": "t", "arms": ["old", "new"], **values}
    error = refusal(path, line("experiment", **head), line("exposure", **ROW))
    assert error is None or error.where


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_do(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = tmp_path_factory.getbasetemp() / "bytes.jsonl"
    path.write_bytes(HEAD.encode() + b"\n" + content)
    with pytest.raises(DataError):
        read_observations(path)


def test_a_collector_refuses_what_a_file_cannot_hold():
    collector = Collector(experiment())
    for bad in (
        {"stars": 0},
        {"time": float("nan")},
        {"latency_ms": float("inf")},
        {"status": "?"},
    ):
        row = replace(Exposure("1", "a", "old", "grammar", START), **bad)
        with pytest.raises(DataError):
            collector.add(row)
    with pytest.raises(DataError, match="Nothing"):
        collector.observations()
