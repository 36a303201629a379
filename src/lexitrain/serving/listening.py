"""Whether an address can be listened at, and who can reach it."""

from __future__ import annotations

import ipaddress
import socket

from lexitrain.errors import InputError


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches what listens there; IPv6 with or without brackets."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def host_name(text: str) -> str:
    """The name in a `Host` header or in what a user typed: without its port, in small letters, IPv6 in brackets.

    Args:
        text: as in ab.example.org, AB.example.org:8443, [::1]:8443 or ::1.
    """
    name = text.strip().lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    if name.count(":") > 1:
        return f"[{name}]"
    head, colon, port = name.rpartition(":")
    return (head if colon and port.isdigit() else name).removesuffix(".")


def host_and_port(host: str, port: int) -> str:
    """As an address has them: IPv6 in brackets (RFC 3986)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def require_free(host: str, port: int) -> None:
    """Nothing, where a program can listen there.

    Raises:
        InputError: it cannot; the message says why.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise taken(host, port, str(reason)) from None


def taken(host: str, port: int, reason: str) -> InputError:
    """The error for an address that cannot be listened at."""
    return InputError(
        f"It cannot listen at {host_and_port(host, port)} ({reason}).",
        where="--port",
        fix="Choose another port, or end the program that uses it.",
    )
