"""Whether an address can be listened at, and who can reach it."""

from __future__ import annotations

import ipaddress
import socket

from lexitrain.errors import InputError


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
        f"It cannot listen at {host}:{port} ({reason}).",
        where="--port",
        fix="Choose another port, or end the program that uses it.",
    )
