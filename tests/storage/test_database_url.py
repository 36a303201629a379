"""No password of a URL comes to light."""

from __future__ import annotations

import pytest

from lexitrain.storage import database_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hush@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:hu%40sh%2F@[::1]/db", "postgresql://me:***@[::1]/db"),
        ("postgresql://me:hu@sh@host/db", "postgresql://me:***@host/db"),
        (
            "postgresql:///db?host=x&password=hush&sslmode=require&sslpassword=hush2",
            "postgresql:///db?host=x&password=***&sslmode=require&sslpassword=***",
        ),
        ("mysql+pymysql://me:hush@host/db", "mysql+pymysql://me:***@host/db"),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
    ],
)
def test_a_url_is_shown_without_passwords(url: str, shown: str) -> None:
    assert database_url(url).shown == shown
    assert database_url(url).hidden(f"cannot open {url} now") == f"cannot open {shown} now"


def test_a_secret_is_hidden_in_every_spelling() -> None:
    known = database_url("postgresql://me:p%40ss%2Fword@host/db?sslpassword=a+b")
    told = 'FATAL: "p@ss/word", "p%40ss%2Fword", "a b", "a+b", "a%20b"\nmore'
    assert known.hidden(told) == 'FATAL: "***", "***", "***", "***", "***"'


def test_a_secret_that_holds_another_is_hidden_whole() -> None:
    known = database_url("postgresql://me:ab@host/db?sslpassword=xaby")
    assert known.hidden("xaby ab") == "*** ***"


def test_an_error_that_says_nothing_is_called_by_its_kind() -> None:
    assert database_url("postgresql://h/d").hidden(TimeoutError()) == "TimeoutError"


def test_what_is_no_url_is_not_shown() -> None:
    known = database_url("postgresql://me:hush@[host/db")
    assert "hush" not in known.shown
    assert "hush" not in known.hidden("postgresql://me:hush@[host/db is wrong")
