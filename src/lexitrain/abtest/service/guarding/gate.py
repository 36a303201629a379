"""Who asks: a learner by his signed id, the team by its token; and how often each may."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from fastapi import Request

from lexitrain.abtest.service.guarding.rate_limits import RateLimit, address_group
from lexitrain.abtest.service.paths.replies import Refused

if TYPE_CHECKING:
    from lexitrain.abtest.service.guarding.signatures import Signatures
    from lexitrain.abtest.service.settings import ServiceSettings

COOKIE = "lexitrain_learner"
_WRONG_TOKENS = 10
"""A minute, of one address, whatever it may ask otherwise. Whoever shows the right token is let in all the same: others
at the team's address must not be able to keep the team out, and a token of 16 letters is not guessed."""
_SAID_PER_ANSWER = 4
"""Ratings and outcomes that a learner may send for each request that he may make."""


class Gate:
    """Args:
    settings: of the service.
    signatures: of learners' ids.
    """

    def __init__(self, settings: ServiceSettings, signatures: Signatures) -> None:
        self._token = settings.token.encode()
        self._signatures = signatures
        limits = settings.limits
        self._addresses = RateLimit(limits.address)
        self._asking = RateLimit(limits.learner)
        self._saying = RateLimit(_SAID_PER_ANSWER * limits.learner)
        self._wrong = RateLimit(_WRONG_TOKENS)

    def address(self, request: Request) -> None:
        """Raises Refused where this address has asked too often."""
        _require(self._addresses.wait(_address(request)))

    def learner(self, request: Request, *, asks: bool) -> str:
        """The learner's id.

        Args:
            asks: for an answer, and does not only say something of one.

        Raises:
            Refused: he shows none that was given out here, or asks too often.
        """
        self.address(request)
        learner = self.known(request)
        if learner is None:
            raise Refused(
                401, "learner", "No learner is known by this. Agree to the consent first."
            )
        _require((self._asking if asks else self._saying).wait(learner))
        return learner

    def known(self, request: Request) -> str | None:
        """The learner's id, where he shows one that was given out here."""
        shown = _bearer(request) or request.cookies.get(COOKIE, "")
        return self._signatures.read_learner(shown)

    def team(self, request: Request) -> None:
        """Raises Refused where the token is not the team's, or too many wrong ones came."""
        self.address(request)
        shown = _bearer(request).encode("latin-1")
        if hmac.compare_digest(shown, self._token):
            return
        if shown:  # nobody guesses with nothing
            _require(self._wrong.wait(_address(request)))
        raise Refused(401, "token", "This token is not the team's.")


def _bearer(request: Request) -> str:
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    return shown.strip() if scheme.lower() == "bearer" else ""


def _address(request: Request) -> str:
    return address_group(request.client.host if request.client else "")


def _require(wait: int) -> None:
    if wait:
        raise Refused(429, "too_often", f"Too many requests. Try again in {wait} s.", wait=wait)
