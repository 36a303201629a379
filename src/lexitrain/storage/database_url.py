"""URLs of databases without what is secret in them.

A password must not come to light in a message, a result or a log. Whatever a database says passes through
`DatabaseUrl.hidden`, which takes it out as it stands in the URL and as it is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

_HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A URL.

    Attributes:
        url: complete.
        shown: without passwords: that of the user, and those of parameters such as `sslpassword`.
        secrets: what must not be shown, in every spelling, the longest first.
    """

    url: str
    shown: str
    secrets: tuple[str, ...]

    def hidden(self, text: object) -> str:
        """The first line of a text, with no secret in it; of an error that says nothing, its kind."""
        said = str(text).strip().partition("\n")[0]
        if not said and isinstance(text, BaseException):
            said = type(text).__name__
        said = said.replace(self.url, self.shown)
        for secret in self.secrets:
            said = said.replace(secret, _HIDDEN)
        return said


def database_url(url: str) -> DatabaseUrl:
    """A URL with its secrets known.

    Args:
        url: as in `postgresql://user:password@host/name?sslpassword=…`; anything else has no secrets.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # no URL; what is secret in it cannot be told
        return DatabaseUrl(url, _HIDDEN, (url,))
    user, at, host = parts.netloc.rpartition("@")
    name, colon, password = user.partition(":")
    written = [password] if password else []
    query: list[str] = []
    for pair in filter(None, parts.query.split("&")):
        key, equals, value = pair.partition("=")
        secret = "pass" in key.lower()
        query.append(f"{key}{equals}{_HIDDEN}" if secret else pair)
        written += [value, *(meant for _, meant in parse_qsl(pair))] if secret else []
    meant = [spelt for each in written for spelt in (each, unquote(each))]
    spellings = {
        way for each in meant for way in (each, quote(each, safe=""), quote_plus(each)) if way
    }
    secrets = tuple(sorted(spellings, key=lambda each: (-len(each), each)))
    # Not put together from its parts: that loses the slashes of a file, as in sqlite:////tmp/a.db.
    netloc = f"{name}{colon}{_HIDDEN if colon else ''}{at}{host}"
    shown = url.replace(f"//{parts.netloc}", f"//{netloc}", 1)
    if parts.query:
        shown = shown.replace(f"?{parts.query}", f"?{'&'.join(query)}", 1)
    return DatabaseUrl(url, shown, secrets)
