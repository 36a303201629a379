"""Where a study is kept: the URL of a database, with the driver that is installed, and without its password in words.

What a database says passes through `Address.hidden`: a password must not come to light.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from lexitrain.errors import InputError, MissingExtra, Stopped
from lexitrain.storage import database_url, user_path

FILE = "study.db"
_EXTRA = "tune"
_FULL = "disk is full"  # SQLite's words
_DRIVERS = {
    "postgresql": (("psycopg", "psycopg"), ("psycopg2", "psycopg2")),
    "mysql": (("pymysql", "pymysql"), ("mysqlclient", "MySQLdb"), ("mysqlconnector", "mysql.connector")),
    "sqlite": (("pysqlite", "sqlite3"),),
}  # fmt: skip
"""Kind of database -> (name of the driver in a URL, the module that it is), the first that is there being taken."""
_NAMES = {"postgres": "postgresql", "mariadb": "mysql"}
_SHOWN = "Write sqlite:///study.db, postgresql://user:password@host/name or mysql://user:password@host/name."


class Address:
    """The URL of a study's database.

    Attributes:
        url: complete, with its driver and its password.
        shown: without the password.

    Args:
        url: as above.
        shown: in its place, where it is a file.
    """

    def __init__(self, url: str, shown: str | None = None) -> None:
        self._known = database_url(url)
        self.url = url
        self.shown = self._known.shown if shown is None else shown

    def hidden(self, text: object) -> str:
        """The first line of a text, with no secret in it."""
        return self._known.hidden(text)

    @contextmanager
    def errors(self, *, begun: bool) -> Generator[None]:
        """Say what a database cannot do.

        Args:
            begun: whether trials may have been run: the same command then goes on later.

        Raises:
            Stopped: its disk is full, or it does not answer any more.
            InputError: it cannot be reached, or is no database of studies.
        """
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (StorageInternalError, SQLAlchemyError) as error:
            cause = error.__cause__ if isinstance(error, StorageInternalError) else error
            reason = self.hidden(getattr(cause, "orig", None) or cause or error)
            if _FULL in reason:
                raise Stopped(
                    "The disk is full.",
                    where=self.shown,
                    fix="Make room, then run the same command again: it goes on from there.",
                ) from None
            if begun:
                raise Stopped(
                    f"The study's database does not answer any more: {reason}",
                    where=self.shown,
                    fix="Runs that are finished are in the folder. Once it answers, give the same command again.",
                ) from None
            raise InputError(
                f"The study's database cannot be used: {reason}",
                where=self.shown,
                fix="Check that it runs and that address, name, user and password are right.",
            ) from None
        except RuntimeError as error:  # optuna's word for tables of another version of it
            if "optuna" not in str(error):
                raise
            raise InputError(self.hidden(error), where=self.shown) from None


def address_of(url: str | None, folder: Path) -> Address:
    """The address that the user gave, or the file in the study's folder.

    Raises:
        InputError: it is no URL of a database that studies can be kept in, or no driver for it is installed.
        MissingExtra: optuna, or psycopg for PostgreSQL, is not installed.
    """
    require_optuna()
    from sqlalchemy.engine import URL, make_url
    from sqlalchemy.exc import ArgumentError

    if url is None:
        path = (folder / FILE).absolute()
        own = URL.create("sqlite", database=str(path))
        return Address(own.render_as_string(), str(path))
    try:
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError):  # its message may hold the password
        raise InputError("This is no URL of a database.", where="--storage", fix=_SHOWN) from None
    kind, _, driver = parsed.drivername.partition("+")
    kind = _NAMES.get(kind, kind)
    if kind not in _DRIVERS:
        raise InputError(
            f"Studies cannot be kept in a database of the kind '{kind}'.",
            where="--storage",
            fix=_SHOWN,
        )
    parsed = parsed.set(drivername=f"{kind}+{driver or _driver(kind)}")
    if kind == "sqlite":
        if parsed.database in {None, "", ":memory:"}:
            raise InputError(
                "A study in memory would be gone with the command.", where="--storage", fix=_SHOWN
            )
        parsed = parsed.set(database=str(user_path(str(parsed.database)).absolute()))
    return Address(parsed.render_as_string(hide_password=False))


def require_optuna() -> None:
    """Raises MissingExtra where optuna is not installed."""
    if find_spec("optuna") is None:
        raise MissingExtra("optuna", _EXTRA)


def _driver(kind: str) -> str:
    for name, module in _DRIVERS[kind]:
        if find_spec(module.partition(".")[0]) is not None:
            return name
    if kind == "postgresql":
        raise MissingExtra("psycopg", _EXTRA)
    raise InputError(
        "No driver for MySQL is installed.",
        where="--storage",
        fix="Install one: pip install pymysql",
    )
