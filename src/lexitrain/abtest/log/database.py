"""A connection to the database of a log: SQLite in WAL mode, or PostgreSQL by URL.

Statements are written once, with `?` for each value. What is committed is on the disk (`synchronous=FULL`; PostgreSQL's
own default), and what is deleted is overwritten (`secure_delete`). SQLite's write-ahead log needs memory that processes
share, which drives of a network do not have: there it is refused, as a database that breaks weeks later is worse.
"""

from __future__ import annotations

import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast

from lexitrain.abtest.log.tables import TABLES, VERSION
from lexitrain.errors import InputError, MissingExtra
from lexitrain.storage import DatabaseUrl, database_url, user_path

_BUSY_SECONDS = 10
_NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre"),
        *("9p", "drvfs", "fuse.sshfs", "fuse.rclone", "fuse.gcsfuse", "fuse.s3fs", "fuse.drive"),
    }
)
"""Kinds of drives that are another machine's."""


class Cursor(Protocol):
    """What both kinds of databases give."""

    rowcount: int

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Unavailable(Exception):
    """The database does not answer or cannot be written; nothing of what was asked is in it."""


class Unreachable(InputError):
    """The database is as it must be, for all that is known, and does not let itself be read just now."""


class Address:
    """Where a log is kept: a file, or the URL of a PostgreSQL database.

    Attributes:
        shown: without a password.
        file: of SQLite; None of PostgreSQL.

    Raises:
        InputError: it is neither.
        MissingExtra: psycopg is not installed.
    """

    def __init__(self, name: str | Path) -> None:
        self._url = str(name)
        self.file: Path | None = None
        scheme = self._url.split("://", 1)[0] if "://" in self._url else ""
        if scheme in {"postgresql", "postgres"}:
            self._known = database_url(self._url)
            self.shown = self._known.shown
            if find_spec("psycopg") is None:
                raise MissingExtra("psycopg", "ab")
        elif scheme:
            raise InputError(
                f"A test cannot be kept in a database of the kind {scheme[:20]!r}.",
                where="--data",
                fix="Give a file, such as test.db, or postgresql://user:password@host/name.",
            )
        else:
            self.file = user_path(name)
            self.shown = str(self.file)
            self._known = DatabaseUrl(self.shown, self.shown, ())

    def hidden(self, error: object) -> str:
        """The first line of what a database says, without the password."""
        return self._known.hidden(error)

    def connected(self) -> Database:
        """A connection that writes; a file is made where there is none.

        Raises:
            InputError: it cannot be used; the message says why.
        """
        if self.file is None:
            return _PostgreSQL(self, self._url)
        _require_local(self.file)
        return _SQLite(self, self.file, read_only=False)

    def read(self) -> Database:
        """A connection that only reads.

        Raises:
            Unreachable: it does not answer.
            InputError: there is no log.
        """
        if self.file is None:
            found: Database = _PostgreSQL(self, self._url)
        elif not self.file.is_file():
            raise InputError(
                "There is no such database.",
                where=self.file,
                fix="`lexitrain ab serve --data FILE` makes one.",
            )
        else:
            found = _SQLite(self, self.file, read_only=True)
        found.require_version(empty_allowed=False)
        return found


class Database(ABC):
    """A connection. Used by one thread at a time."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._connection: Any = None

    errors: tuple[type[Exception], ...] = ()
    """What the driver raises."""
    passing: tuple[type[Exception], ...] = ()
    """Of these what may pass by itself: no connection, a lock, no memory or room."""

    @abstractmethod
    def begin(self) -> Cursor:
        """A cursor in a transaction."""

    def commit(self) -> None:
        """Returns when it is on the disk."""
        self._connection.commit()

    @abstractmethod
    def rollback(self) -> None:
        """Forget the transaction, and a connection that is broken."""

    def forget(self) -> None:  # noqa: B027 - PostgreSQL does it itself
        """Take what was deleted off the disk, where the database leaves that to us."""

    def close(self) -> None:
        """End it."""
        self._connection.close()

    def create(self) -> None:
        """The tables, where there are none.

        Raises:
            InputError: those of another version are there, or none can be made.
        """
        try:
            self.require_version(empty_allowed=True)
            cursor = self.begin()
            for table in TABLES:
                cursor.execute(table.format(number=self.number))
            cursor.execute(
                "INSERT INTO facts (name, value) VALUES ('version', ?) ON CONFLICT (name) DO NOTHING",
                (str(VERSION),),
            )
            self.commit()
        except self.errors as error:
            raise self.refused(error) from None

    number = ""
    """What counts rows up."""

    def require_version(self, *, empty_allowed: bool) -> None:
        """Raises InputError where the tables are of another version, or there are none."""
        cursor = self.begin()
        try:
            cursor.execute("SELECT value FROM facts WHERE name = 'version'")
            row = cursor.fetchone()
            found = None if row is None else str(row[0])
        except self.errors as error:
            if "facts" not in str(error):  # not even to be read as a database
                raise self.refused(error) from None
            found = None
        self.rollback()
        if found is None and not empty_allowed:
            raise InputError(
                "There is no A/B test in this database.",
                where=self.address.shown,
                fix="`lexitrain ab serve --data …` begins one.",
            )
        if found not in {None, str(VERSION)}:
            raise InputError(
                f"Its tables are of version {found}; this program knows version {VERSION}.",
                where=self.address.shown,
                fix="Use the lexitrain that wrote it, or another file.",
            )

    def refused(self, error: Exception) -> InputError:
        """The error for a database that cannot be used."""
        kind = Unreachable if isinstance(error, self.passing) else InputError
        return kind(
            f"The database cannot be used: {self.address.hidden(error)}",
            where=self.address.shown,
            fix="Check that it exists, may be written and is a database of `lexitrain ab`.",
        )


class _SQLite(Database):
    errors = (sqlite3.Error,)
    passing = (sqlite3.OperationalError,)
    number = "INTEGER PRIMARY KEY AUTOINCREMENT"

    def __init__(self, address: Address, file: Path, *, read_only: bool) -> None:
        super().__init__(address)
        # A transaction that begins by reading cannot always go on to write: the writer takes its place at once.
        self._begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        if not read_only:
            self._make(file)
        mode = "ro" if read_only else "rw"
        try:
            self._connection = sqlite3.connect(
                f"{file.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            if not read_only:
                self._prepare(file)
        except sqlite3.Error as error:
            raise self.refused(error) from None

    def _make(self, file: Path) -> None:
        """An empty file that nobody else may read: it has what learners wrote and the key of their signatures."""
        try:
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise InputError(
                f"This cannot be written: {error.strerror}.",
                where=file,
                fix="Choose another place with --data.",
            ) from None

    def _prepare(self, file: Path) -> None:
        mode = self._connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise InputError(
                "This drive does not carry SQLite's write-ahead log.",
                where=file,
                fix="Choose a local disk with --data, or PostgreSQL by its URL.",
            )
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA secure_delete=ON")

    def begin(self) -> Cursor:
        if not self._connection.in_transaction:
            self._connection.execute(self._begin)
        return cast("Cursor", self._connection.cursor())

    def commit(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def forget(self) -> None:
        # What was deleted still stands in the write-ahead log. A reader may be in the way: the next one does it then.
        self._connection.execute("PRAGMA busy_timeout=100")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")


class _PostgreSQL(Database):
    number = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"

    def __init__(self, address: Address, url: str) -> None:
        import psycopg

        super().__init__(address)
        self.errors, self.passing = (psycopg.Error,), (psycopg.OperationalError,)
        self._url = url
        try:
            self._connect()
        except psycopg.Error as error:
            raise self.refused(error) from None

    def _connect(self) -> None:
        import psycopg

        self._connection = psycopg.connect(
            self._url, connect_timeout=_BUSY_SECONDS, application_name="lexitrain"
        )

    def begin(self) -> Cursor:
        if self._connection.closed:
            self._connect()
        return cast("Cursor", _Spelt(self._connection.cursor()))

    def rollback(self) -> None:
        if self._connection.closed or self._connection.broken:
            self._connection.close()
        else:
            self._connection.rollback()


class _Spelt:
    """A cursor of psycopg's that takes `?` for a value."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        return int(self._cursor.rowcount)

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        return self._cursor.execute(statement.replace("?", "%s"), values)

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        return cast("list[Any]", self._cursor.fetchall())


def _require_local(file: Path) -> None:
    """Raises InputError where a file lies on a drive of a network."""
    kind = _kind_of_drive(file)
    if kind in _NETWORK:
        raise InputError(
            f"This drive ({kind}) is one of a network: SQLite's write-ahead log breaks there.",
            where=file,
            fix="Choose a local disk with --data, or PostgreSQL by its URL.",
        )


def _kind_of_drive(file: Path) -> str:
    """The file system's name by the system's list of mounts; empty where there is none."""
    try:
        lines = (
            Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        )
    except OSError:
        return ""
    place = file.absolute().parent.resolve()
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        mounted = Path(before.split()[4].replace("\\040", " "))
        if place.is_relative_to(mounted) and len(mounted.parts) >= best:
            best, kind = len(mounted.parts), after.split()[0]
    return kind
