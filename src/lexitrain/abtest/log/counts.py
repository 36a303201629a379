"""What a log holds of a test, counted in the database."""

from __future__ import annotations

from typing import Any, get_args

from lexitrain.abtest.assignment import ARMS
from lexitrain.abtest.log.database import Cursor, Database
from lexitrain.abtest.log.entries import State


def counts(database: Database, experiment: str) -> dict[str, Any]:
    """By the arm that learners belong to: learners, requests and how they ended, ratings, outcomes; and requests that
    were answered by the other arm, because their own was stopped."""
    cursor = database.begin()
    found: dict[str, Any] = {
        arm: {
            "learners": 0,
            "requests": 0,
            "elsewhere": 0,
            "states": dict.fromkeys(get_args(State), 0),
            "tasks": {},
            "rated": 0,
            "helpful": 0,
            "not_helpful": 0,
            "starred": 0,
            "stars": 0,
            "corrected": 0,
            "fixed": 0,
            "not_fixed": 0,
        }
        for arm in ARMS
    }
    for arm, learners in _rows(
        cursor,
        "SELECT assigned, COUNT(DISTINCT learner) FROM exposures WHERE experiment = ? GROUP BY assigned",
        experiment,
    ):
        found[arm]["learners"] = int(learners)
    for arm, task, state, requests, elsewhere in _rows(
        cursor,
        "SELECT assigned, task, state, COUNT(*), SUM(CASE WHEN served <> assigned THEN 1 ELSE 0 END)"
        " FROM exposures WHERE experiment = ? GROUP BY assigned, task, state",
        experiment,
    ):
        each = found[arm]
        each["requests"] += int(requests)
        each["elsewhere"] += int(elsewhere)
        each["states"][state] += int(requests)
        each["tasks"][task] = each["tasks"].get(task, 0) + int(requests)
    for arm, rated, helpful, answered, starred, stars, corrected in _rows(
        cursor,
        "SELECT e.assigned, COUNT(*), SUM(r.helpful), COUNT(r.helpful), COUNT(r.stars), SUM(r.stars),"
        " COUNT(r.corrected) FROM ratings r JOIN exposures e ON e.exposure = r.exposure"
        " WHERE e.experiment = ? GROUP BY e.assigned",
        experiment,
    ):
        found[arm] |= {
            "rated": int(rated),
            "helpful": int(helpful or 0),
            "not_helpful": int(answered) - int(helpful or 0),
            "starred": int(starred),
            "stars": int(stars or 0),
            "corrected": int(corrected),
        }
    for arm, fixed, told in _rows(
        cursor,
        "SELECT e.assigned, SUM(o.fixed), COUNT(*) FROM outcomes o JOIN exposures e ON e.exposure = o.exposure"
        " WHERE e.experiment = ? GROUP BY e.assigned",
        experiment,
    ):
        found[arm] |= {"fixed": int(fixed), "not_fixed": int(told) - int(fixed)}
    database.rollback()
    return found


def _rows(cursor: Cursor, statement: str, experiment: str) -> list[Any]:
    cursor.execute(statement, (experiment,))
    return cursor.fetchall()
