"""Where a study is kept: the URL of a database, with the driver that is installed, and without its password in words.

A password must not come to light in a message, a result or a log. Whatever a database says passes through
`Address.hidden`, which takes it out as it stands in the URL and as it is meant.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lexitrain.errors import InputError, MissingExtra, Stopped
from lexitrain.storage import user_path

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


@dataclass(frozen=True)
class Address:
    """The URL of a study's database.

    Attributes:
        url: complete, with its driver and its password.
        shown: without the password.
        secrets: what must not be shown.
    """

    url: str
    shown: str
    secrets: tuple[str, ...]

    def hidden(self, text: object) -> str:
        """The first line of a text, with no secret in it."""
        said = str(text).strip().partition("\n")[0]
        for secret in (self.url, *self.secrets):
            said = said.replace(secret, "***")
        return said

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
        return Address(own.render_as_string(), str(path), ())
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
    return Address(parsed.render_as_string(hide_password=False), _shown(parsed), _secrets(parsed))


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


def _shown(parsed: Any) -> str:
    hidden = {name: "***" for name in parsed.query if "pass" in name.lower()}
    return parsed.update_query_dict(hidden).render_as_string(hide_password=True)


def _secrets(parsed: Any) -> tuple[str, ...]:
    from urllib.parse import quote, quote_plus

    found = [str(parsed.password)] if parsed.password else []
    found += [str(value) for name, value in parsed.query.items() if "pass" in name.lower()]
    written = [spelt for each in found for spelt in (quote(each, safe=""), quote_plus(each), each)]
    return tuple(dict.fromkeys(each for each in written if each))
