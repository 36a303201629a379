"""SQLite as a database that several processes may write to.

Taking a trial reads its state and then changes it. Other databases lock the row that is read (`SELECT … FOR UPDATE`);
SQLite has no such lock, and Python begins a transaction at the first change only. Two workers that read at the same
moment would then both have the trial. So every transaction here begins as one that writes (`BEGIN IMMEDIATE`), and the
others wait for it.
"""

from __future__ import annotations

from typing import Any


def write_at_once(engine: Any) -> None:
    """Let every transaction of an SQLite engine hold the file's write lock from its beginning.

    Args:
        engine: of SQLAlchemy; connections that it has so far are closed.
    """
    from sqlalchemy import event

    def leave_transactions_alone(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # Python's own BEGIN would come late

    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()
    event.listen(engine, "connect", leave_transactions_alone)
    event.listen(engine, "begin", begin)
