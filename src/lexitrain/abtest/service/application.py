"""The service as one application: learners' paths, the team's, the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from lexitrain.abtest.log.database import Unavailable
from lexitrain.abtest.pages.page_routes import page_routes
from lexitrain.abtest.service.guarding.gate import Gate
from lexitrain.abtest.service.guarding.shield import Application, Shield
from lexitrain.abtest.service.live_report import LiveReport
from lexitrain.abtest.service.paths.bodies import Health
from lexitrain.abtest.service.paths.consent_paths import ConsentPaths
from lexitrain.abtest.service.paths.replies import (
    Broken,
    Refused,
    on_error,
    on_http,
    on_invalid,
    on_refused,
    on_unavailable,
    refusals,
)
from lexitrain.abtest.service.paths.team_paths import TeamPaths
from lexitrain.abtest.service.paths.tutor_paths import TutorPaths
from lexitrain.errors import InputError

if TYPE_CHECKING:
    from lexitrain.abtest.service.tutor import Tutor


_VERSION = "1"
"""Of the paths and what they take and give."""


def application(tutor: Tutor, report: LiveReport) -> Application:
    """What answers requests.

    Args:
        tutor: open.
        report: of the test, for the team.
    """
    found = framework(tutor, report)
    return Shield(cast("Application", found), tutor.settings.limits, tutor.settings.names)


def framework(tutor: Tutor, report: LiveReport) -> FastAPI:
    """The paths with their OpenAPI description; without what stands before them."""
    handlers: dict[Any, Any] = {
        Refused: on_refused,
        Unavailable: on_unavailable,
        InputError: Broken(tutor.tell),
        RequestValidationError: on_invalid,
        HTTPException: on_http,
        Exception: on_error,
    }
    found = FastAPI(
        title="LexiTrain A/B test",
        version=_VERSION,
        docs_url=None,  # their scripts come from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a redirect would be built from the header Host
        exception_handlers=handlers,
    )
    gate = Gate(tutor.settings, tutor.signatures)
    found.include_router(_health(tutor))
    found.include_router(ConsentPaths(tutor, gate).routes())
    found.include_router(TutorPaths(tutor, gate).routes())
    found.include_router(TeamPaths(tutor, gate, report).routes())
    found.include_router(page_routes(tutor.settings, tutor.tasks, tutor.consent_version))
    found.openapi_schema = _completed(found.openapi(), tutor)
    return found


def _health(tutor: Tutor) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/health", response_model=Health, responses={**refusals(), 503: {"model": Health}})
    async def health() -> Response:
        """Whether the log can be read and written."""
        try:
            await tutor.log.check()
        except (Unavailable, InputError):
            return JSONResponse({"status": "unavailable"}, 503)
        return JSONResponse({"status": "ok"})

    return routes


def _completed(schema: dict[str, Any], tutor: Tutor) -> dict[str, Any]:
    """The description with what the framework does not know: which key a path wants, what tasks there are, and how
    long a text may be."""
    schema["paths"]["/v1/tutor/{task}"]["post"]["parameters"][0]["schema"]["enum"] = tutor.tasks
    bodies = schema["components"]["schemas"]
    longest = {"maxLength": tutor.settings.limits.text}
    bodies["Asked"]["properties"]["text"] |= longest
    bodies["Rating"]["properties"]["corrected"]["anyOf"][0] |= longest
    schema["components"]["securitySchemes"] = {
        "learner": {"type": "http", "scheme": "bearer"},
        "team": {"type": "http", "scheme": "bearer"},
    }
    for path, methods in schema["paths"].items():
        for method in methods.values():
            if path.startswith("/v1/team"):
                method["security"] = [{"team": []}]
            elif "401" in method["responses"]:
                method["security"] = [{"learner": []}]
    return schema
