"""Addresses as they are typed, asked for and printed."""

from __future__ import annotations

import pytest

from lexitrain.errors import InputError
from lexitrain.serving import host_and_port, host_name, is_loopback, taken


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ab.example.org", "ab.example.org"),
        ("AB.example.org:8443", "ab.example.org"),
        (" ab.example.org. ", "ab.example.org"),
        ("ab.example.org.:80", "ab.example.org"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("[::1]:8443", "[::1]"),
        ("[::1]", "[::1]"),
        ("::1", "[::1]"),
        ("FE80::1", "[fe80::1]"),
        ("host:name", "host:name"),
        ("", ""),
        ("[", "[]"),
    ],
)
def test_a_name_has_no_port(text: str, name: str) -> None:
    assert host_name(text) == name


def test_an_ipv6_address_has_brackets_where_a_port_follows() -> None:
    assert host_and_port("::1", 80) == "[::1]:80"
    assert host_and_port("127.0.0.1", 80) == "127.0.0.1:80"
    refused = taken("::1", 80, "taken")
    assert isinstance(refused, InputError)
    assert "[::1]:80" in str(refused)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True), ("LOCALHOST", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True),
        ("[::1]", True), ("0.0.0.0", False), ("::", False), ("localhost.example.org", False), ("", False),
        ("[]", False),
    ],
)  # fmt: skip
def test_who_reaches_it(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
