"""URLs of databases: which are taken, and that no password comes to light."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from lexitrain.errors import InputError, MissingExtra, Stopped
from lexitrain.tuning.study import address
from lexitrain.tuning.study.address import address_of
from lexitrain.tuning.study.study import Study


def test_without_a_url_it_is_a_file_of_the_folder(tmp_path: Path) -> None:
    odd = tmp_path / "100% a?b#c {0}"
    odd.mkdir()
    where = address_of(None, odd)
    assert where.shown == str(odd / "study.db")
    study = Study(where, "s", {}, 1)
    assert study.facts == {}
    study.close()
    assert (odd / "study.db").is_file()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_is_asked_by_the_driver_that_is_there(scheme: str, tmp_path: Path) -> None:
    where = address_of(f"{scheme}://me:p%40ss%2Fword@host/db?sslpassword=other", tmp_path)
    assert where.url.startswith("postgresql+psycopg://me:")
    assert "p%40ss" not in where.shown
    assert "other" not in where.shown
    told = "FATAL: p@ss/word, p%40ss%2Fword and other are wrong\nmore"
    assert where.hidden(told) == "FATAL: ***, *** and *** are wrong"


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("study", "no URL"),
        ("postgresql://me:secret@host:port/db", "no URL"),
        ("redis://me:secret@host", "of the kind 'redis'"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
    ],
)
def test_other_urls_are_refused_without_their_password(url: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=what) as caught:
        address_of(url, tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(
    any(find_spec(name) for name in ("pymysql", "MySQLdb", "mysql")), reason="a driver is installed"
)
def test_mysql_needs_a_driver(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No driver for MySQL"):
        address_of("mysql://me:secret@host/db", tmp_path)


def test_postgresql_without_a_driver_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        address, "find_spec", lambda name: None if name.startswith("psycopg") else find_spec(name)
    )
    with pytest.raises(MissingExtra, match=r"psycopg[\s\S]*lexitrain\[tune\]"):
        address_of("postgresql://me:secret@host/db", tmp_path)


def test_a_server_that_is_not_there_is_an_error_of_the_user(tmp_path: Path) -> None:
    where = address_of("postgresql://me:secret@127.0.0.1:9/db", tmp_path)
    study = Study(where, "s", {}, 1)
    with pytest.raises(InputError, match="cannot be used") as caught, where.errors(begun=False):
        study.progress()
    assert "secret" not in str(caught.value)
    with pytest.raises(Stopped, match="does not answer"), where.errors(begun=True):
        study.progress()


def test_a_file_that_is_no_database_is_an_error_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("no database at all, but long enough to be read as one" * 40)
    where = address_of(None, tmp_path)
    with pytest.raises(InputError, match="not a database"), where.errors(begun=False):
        Study(where, "s", {}, 1).progress()
