"""Ids that only this service can have given out: HMAC-SHA-256 over what they are for.

A learner's id is his own and says nothing of him. An exposure's id is signed together with its learner and its test:
one that is made up, or another learner's, is told at once. Neither says which arm it belongs to.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

_ID = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
_LONGEST = 200


class Signatures:
    """Args:
    secret: of the database; all its servers share it.
    experiment: name of the test.
    """

    def __init__(self, secret: bytes, experiment: str) -> None:
        self._secret = secret
        self._experiment = experiment

    @staticmethod
    def new_id() -> str:
        """22 random letters (128 bits)."""
        return secrets.token_urlsafe(16)

    def learner(self, learner: str) -> str:
        """What a learner shows to be himself."""
        return f"{learner}.{self._mark('learner', learner)}"

    def read_learner(self, shown: str) -> str | None:
        """The learner's id; None where it was not given out here."""
        return self._read(shown, "learner")

    def exposure(self, exposure: str, learner: str) -> str:
        """What a learner shows to say something of an answer."""
        return f"{exposure}.{self._mark('exposure', exposure, learner, self._experiment)}"

    def read_exposure(self, shown: str, learner: str) -> str | None:
        """The exposure's id; None where it was not given to this learner in this test."""
        return self._read(shown, "exposure", learner, self._experiment)

    def _read(self, shown: str, kind: str, *parts: str) -> str | None:
        if len(shown) > _LONGEST or not shown.isascii():
            return None
        name, _, mark = shown.partition(".")
        if not hmac.compare_digest(mark.encode(), self._mark(kind, name, *parts).encode()):
            return None
        return name if _ID.fullmatch(name) else None

    def _mark(self, *parts: str) -> str:
        said = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        mark = hmac.digest(self._secret, said, hashlib.sha256)[:18]
        return base64.urlsafe_b64encode(mark).decode()
