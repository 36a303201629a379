"""All that a log has of one learner, for him to see."""

from __future__ import annotations

from typing import Any

from lexitrain.abtest.log.database import Database


def learner_data(database: Database, learner: str) -> dict[str, Any]:
    """Consent, requests with their ratings; of which arm they were is left out, as it would end the test for him."""
    cursor = database.begin()
    cursor.execute("SELECT consent, agreed FROM learners WHERE learner = ?", (learner,))
    agreed = cursor.fetchone()
    cursor.execute(
        "SELECT e.at, e.task, e.state, e.sentence, e.answer, r.helpful, r.stars, r.corrected, o.fixed"
        " FROM exposures e LEFT JOIN ratings r ON r.exposure = e.exposure"
        " LEFT JOIN outcomes o ON o.exposure = e.exposure WHERE e.learner = ? ORDER BY e.at",
        (learner,),
    )
    rows = cursor.fetchall()
    database.rollback()
    return {
        "learner": learner,
        "consent": None if agreed is None else {"version": agreed[0], "agreed": agreed[1]},
        "requests": [
            {
                "at": at,
                "task": task,
                "state": state,
                "sentence": sentence,
                "answer": answer,
                "helpful": None if helpful is None else bool(helpful),
                "stars": stars,
                "corrected": corrected,
                "fixed": None if fixed is None else bool(fixed),
            }
            for at, task, state, sentence, answer, helpful, stars, corrected, fixed in rows
        ],
    }
