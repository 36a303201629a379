"""The tables of a log. Version 1; another version in a database is refused."""

from __future__ import annotations

VERSION = 1

#: Both SQLite and PostgreSQL understand these; `{number}` is what counts rows up there.
TABLES = (
    # `version` of the tables, and `secret`, by which learners' and exposures' ids are signed
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS experiments (experiment TEXT PRIMARY KEY, salt TEXT NOT NULL, a TEXT NOT NULL,"
    " b TEXT NOT NULL, ratio DOUBLE PRECISION NOT NULL, begun DOUBLE PRECISION NOT NULL, plan TEXT NOT NULL)",
    # the text that learners have agreed to, by its version
    "CREATE TABLE IF NOT EXISTS consents (version TEXT PRIMARY KEY, text TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS learners (learner TEXT PRIMARY KEY, consent TEXT NOT NULL,"
    " agreed DOUBLE PRECISION NOT NULL)",
    # one row a request: written before the model is asked, completed when it has answered or failed
    "CREATE TABLE IF NOT EXISTS exposures (exposure TEXT PRIMARY KEY, experiment TEXT NOT NULL,"
    " learner TEXT NOT NULL, task TEXT NOT NULL, assigned TEXT NOT NULL, served TEXT NOT NULL,"
    " at DOUBLE PRECISION NOT NULL, state TEXT NOT NULL, seconds DOUBLE PRECISION, sentence TEXT, answer TEXT)",
    "CREATE INDEX IF NOT EXISTS exposures_of_learner ON exposures (learner)",
    "CREATE INDEX IF NOT EXISTS exposures_in_order ON exposures (experiment, at)",
    "CREATE TABLE IF NOT EXISTS ratings (exposure TEXT PRIMARY KEY, helpful INTEGER, stars INTEGER, corrected TEXT,"
    " revision INTEGER NOT NULL, at DOUBLE PRECISION NOT NULL)",
    "CREATE TABLE IF NOT EXISTS outcomes (exposure TEXT PRIMARY KEY, fixed INTEGER NOT NULL,"
    " revision INTEGER NOT NULL, at DOUBLE PRECISION NOT NULL)",
    # what happened to the test itself: an arm stopped or resumed, a learner's data deleted
    "CREATE TABLE IF NOT EXISTS events (number {number}, experiment TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,"
    " kind TEXT NOT NULL, arm TEXT, details TEXT NOT NULL)",
)
