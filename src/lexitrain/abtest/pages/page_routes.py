"""The pages and their files. All are read once, when the service starts: no path of a request is one of the disk."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from lexitrain.abtest.pages.languages import LANGUAGES
from lexitrain.storage import json_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lexitrain.abtest.service.settings import ServiceSettings

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_KEPT = "public, max-age=31536000, immutable"
"""For files whose name in a page has the hash of their content."""


def page_routes(settings: ServiceSettings, tasks: Sequence[str], consent_version: str) -> APIRouter:
    """The paths of the pages."""
    routes = APIRouter(include_in_schema=False)
    pages = _Pages(settings, tasks, consent_version)

    @routes.api_route("/", methods=["GET", "HEAD"])
    async def learner(request: Request) -> Response:
        return pages.page("learner", request)

    @routes.api_route("/team", methods=["GET", "HEAD"])
    async def team(request: Request) -> Response:
        return pages.page("team", request)

    @routes.api_route("/files/{name}", methods=["GET", "HEAD"])
    async def file(name: str) -> Response:
        return pages.file(name)

    return routes


class _Pages:
    def __init__(
        self, settings: ServiceSettings, tasks: Sequence[str], consent_version: str
    ) -> None:
        place = files("lexitrain.abtest.pages") / "files"
        self._files = {
            each.name: each.read_bytes()
            for each in place.iterdir()
            if each.name.rpartition(".")[2] in _TYPES
        }
        texts: dict[str, dict[str, Any]] = {
            language: json.loads((place / f"{language}.json").read_text(encoding="utf-8"))
            for language in LANGUAGES
        }
        environment = Environment(
            loader=PackageLoader("lexitrain.abtest.pages", "files"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._pages = {
            (page, language): environment.get_template(f"{page}.html.jinja").render(
                language=language,
                languages=LANGUAGES,
                say=texts[language],
                scripted=json_text(texts[language]["scripted"]),
                title=settings.title,
                tasks=tasks,
                consent=_paragraphs(settings.consent[language]),
                consent_version=consent_version,
                longest=settings.limits.text,
                keep_texts=settings.keep_texts,
                file=self._named,
            )
            for page in ("learner", "team")
            for language in LANGUAGES
        }

    def _named(self, name: str) -> str:
        """The address of a file, other than that of another version."""
        return f"files/{name}?v={hashlib.sha256(self._files[name]).hexdigest()[:12]}"

    def page(self, name: str, request: Request) -> Response:
        language = _language(request)
        headers = {"Content-Language": language, "Vary": "Accept-Language"}
        return Response(self._pages[name, language], media_type="text/html", headers=headers)

    def file(self, name: str) -> Response:
        content = self._files.get(name)
        if content is None:
            return Response("", 404)
        kind = _TYPES[name.rpartition(".")[2]]
        return Response(content, media_type=kind, headers={"Cache-Control": _KEPT})


def _paragraphs(text: str) -> list[str]:
    return [each.strip() for each in text.split("\n\n") if each.strip()]


def _language(request: Request) -> str:
    """The one that the address asks for, else the first one of the browser's that is there."""
    asked = request.query_params.get("lang")
    if asked in LANGUAGES:
        return str(asked)
    for each in request.headers.get("accept-language", "")[:200].split(","):
        tag = each.partition(";")[0].strip().lower().partition("-")[0]
        if tag in LANGUAGES:
            return tag
    return "en"
