"""The application: its routes, and the page for people."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from functools import partial
from importlib.resources import files
from typing import Annotated, Any

import anyio.to_thread
from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp

from lkgrag import __version__
from lkgrag.errors import LkgragError
from lkgrag.kg import MetaPath
from lkgrag.kg.naming import phrase_metapath
from lkgrag.service.answers import add_handlers, refusal
from lkgrag.service.bodies import StrictRoute, add_token
from lkgrag.service.engine import Answer, Job
from lkgrag.service.guard import OPEN, Guard
from lkgrag.service.metrics import TYPE
from lkgrag.service.schemas import (
    BatchBody,
    Error,
    Found,
    Info,
    Ranking,
    Rankings,
    RecommendBody,
    SearchQuery,
    State,
    bodies,
)
from lkgrag.service.served import Served
from lkgrag.service.state import Service
from lkgrag.service.warnings import divert_warnings
from lkgrag.utils.failures import shorten

log = logging.getLogger(__name__)

#: Files of the page by path, and their types.
PAGES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/drawing.js": ("drawing.js", "text/javascript"),
    "/docs": ("docs.html", "text/html"),
    "/docs.js": ("docs.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
#: Bodies that are checked at once, and the header of the ranker's warnings.
AT_ONCE, WARNINGS = 4, "X-Lkgrag-Warnings"
#: Warnings in that header, and characters of one and of all; a character beyond ASCII takes six or twelve.
MOST_TOLD, LONGEST_TOLD, LONGEST = 5, 300, 4000
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Error, "description": "an item, a user, a value or an option is unknown"},
    401: {"model": Error, "description": "the token is missing or wrong"},
    403: {"model": Error, "description": "a page from elsewhere asks"},
    404: {"model": Error, "description": "there is no such page"},
    405: {"model": Error, "description": "the method is not for this page"},
    408: {"model": Error, "description": "the body did not come in time"},
    413: {"model": Error, "description": "the body is too large"},
    415: {"model": Error, "description": "the body is not said to be JSON"},
    421: {"model": Error, "description": "the host is not this machine, and there is no token"},
    422: {
        "model": Error,
        "description": "no JSON, or a field is missing, unknown, misplaced, given twice, or of a wrong type or size",
    },
    431: {"model": Error, "description": "the headers are too large"},
    503: {"model": Error, "description": "busy or stopping; Retry-After says when to come again"},
    504: {"model": Error, "description": "no answer within the time of a request"},
}


def build_app(service: Service) -> ASGIApp:
    """The application of a service.

    Args:
        service: whose ranker answers.
    """
    divert_warnings()
    app = FastAPI(
        title="lkgrag",
        version=__version__,
        summary="Recommendations with their explanations",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=partial(_live, service),
    )
    app.router.route_class = StrictRoute
    add_handlers(app)
    _add_rankings(app, service)
    _add_catalogue(app, service)
    _add_state(app, service)
    _add_pages(app)
    if service.token is not None:
        add_token(app, OPEN)
    paths = [getattr(route, "path", "") for route in app.routes]
    return Guard(app, service, paths, PAGES)


@asynccontextmanager
async def _live(service: Service, app: FastAPI) -> AsyncIterator[None]:
    """Look for newer rankers while the application lives."""
    task = asyncio.create_task(_watch(service)) if service.watch else None
    yield
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(service: Service) -> None:
    while True:
        await asyncio.sleep(service.watch)
        try:
            await anyio.to_thread.run_sync(service.holder.look)
        except Exception as error:
            log.warning("the folder of the ranker cannot be looked at: %s", LkgragError(str(error)))


def _add_rankings(app: FastAPI, service: Service) -> None:
    limiter: list[anyio.CapacityLimiter] = []

    async def prepared(work: Callable[[], Any]) -> Any:
        if not limiter:
            # It belongs to the loop that runs it.
            limiter.append(anyio.CapacityLimiter(AT_ONCE))
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter[0])

    async def recommend(body: RecommendBody) -> Response:
        """Rank for a user of the data or for a history, and explain the ranking."""
        served = service.holder.current
        job = await prepared(lambda: service.preparer.prepare(served, body))
        service.engine.submit([job])
        answer: Answer = await asyncio.wrap_future(job.future)
        return _answer(answer.body, answer.warnings)

    async def recommend_batch(body: BatchBody) -> Response:
        """Make several rankings; one that cannot be made is named, and none is made."""
        served = service.holder.current

        def prepare() -> list[Job]:
            jobs = []
            for place, one in enumerate(body.requests):
                try:
                    jobs.append(service.preparer.prepare(served, one))
                except LkgragError as error:
                    raise type(error)(f"requests[{place}]: {error}") from error
            return jobs

        jobs = await prepared(prepare)
        service.engine.submit(jobs)
        answers = await asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs))
        warnings = [f"requests[{n}]: {w}" for n, a in enumerate(answers) for w in a.warnings]
        return _answer(b'{"results": [' + b", ".join(a.body for a in answers) + b"]}", warnings)

    # The limits are those of this service, which only its own models know.
    recommend.__annotations__["body"], recommend_batch.__annotations__["body"] = bodies(
        service.limits
    )
    ranked: dict[int | str, dict[str, Any]] = {200: {"model": Ranking}, **REFUSALS}
    app.post("/recommend", responses=ranked)(recommend)
    several: dict[int | str, dict[str, Any]] = {200: {"model": Rankings}, **REFUSALS}
    app.post("/recommend/batch", responses=several)(recommend_batch)


def _answer(body: bytes, warnings: list[str]) -> Response:
    headers = {WARNINGS: _told(warnings)} if warnings else {}
    return Response(body, 200, headers, "application/json")


def _told(warnings: list[str]) -> str:
    """Warnings for a header, which is short, in one line and in ASCII: a JSON list of texts."""
    lines = [shorten(str(LkgragError(w)), LONGEST_TOLD) for w in warnings]
    shown: list[str] = []
    for line in lines[:MOST_TOLD]:
        while len(json.dumps([*shown, line])) > LONGEST - LONGEST_TOLD and line:
            line = line[: len(line) // 2]
        if line:
            shown.append(line)
    left = len(lines) - len(shown)
    return json.dumps([*shown, *([f"and {left} more"] if left else [])])


def _add_catalogue(app: FastAPI, service: Service) -> None:
    found: dict[int | str, dict[str, Any]] = {200: {"model": Found}, **REFUSALS}

    @app.get("/items", responses=found)
    async def items(query: Annotated[SearchQuery, Query()]) -> Response:
        """Search items by title, in any case and without accents, or by id."""
        served = service.holder.current
        total, indices = await anyio.to_thread.run_sync(served.titles.find, query.q, query.k)
        catalogue = served.ranker.context.catalogue
        rows = [{"item": catalogue.ids[n], "title": catalogue.titles[n]} for n in indices]
        return _json({"total": total, "items": rows})

    @app.get("/info", responses={200: {"model": Info}, **REFUSALS})
    async def info() -> Response:
        """What is served, and its limits."""
        return _json(_describe(service, service.holder.current))


def _describe(service: Service, served: Served) -> dict[str, Any]:
    context = served.ranker.context
    try:
        attributes = context.attributes.names
    except LkgragError:
        attributes = []
    return {
        "lkgrag": __version__,
        "run": service.name,
        "ranker": served.digest,
        "users": len(context.users),
        "items": len(context.catalogue),
        "language_model": True in served.by_lm,
        "default_lm": served.default,
        "without_lm": False in served.by_lm,
        "requests": context.requests is not None,
        "attributes": attributes,
        "kinds": {_kind(m): phrase_metapath(m) for m in context.graph.metapaths},
        "limits": asdict(service.limits),
    }


def _kind(metapath: MetaPath) -> str:
    """The types and relations of a meta-path, as the page finds them in a path."""
    return " ".join([metapath[0][0], *(f"{edge[1]} {edge[2]}" for edge in metapath)])


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", responses={200: {"model": State}})
    async def healthz() -> Response:
        """Whether the process answers."""
        return _json({"status": "ok"})

    @app.get("/readyz", responses={200: {"model": State}, 503: {"model": State}})
    async def readyz(request: Request) -> Response:
        """Whether requests are taken; a newer ranker that is broken is named, and the old one ranks."""
        state: dict[str, Any] = {"status": "stopping" if service.is_stopping else "ready"}
        if service.token is None:
            # Names of files are for those with the token, who find them in /reload.
            state |= {"ranker": service.holder.current.digest, "error": service.holder.error}
        elif service.holder.error is not None:
            state["error"] = "a newer ranker cannot be loaded; the log says why"
        return _json(state, 503 if service.is_stopping else 200)

    @app.get("/metrics", response_class=PlainTextResponse, responses=_some(401, 404, 405, 421, 431))
    async def metrics() -> Response:
        """Counts, as text of Prometheus."""
        return Response(service.metrics.text(), headers={"Content-Type": TYPE})

    # One at a time: others wait here, and not in a thread that a search could use.
    turn = asyncio.Lock()

    @app.post(
        "/reload",
        responses={
            200: {"model": State},
            409: {"model": Error, "description": "the newer ranker is broken"},
            **_some(401, 403, 404, 405, 421, 422, 431, 503),
        },
    )
    async def reload() -> Response:
        """Load the ranker in the run's folder anew; where it is broken, the old one stays in service."""
        async with turn:
            is_loaded = await anyio.to_thread.run_sync(service.holder.reload)
        if not is_loaded:
            return refusal(409, f"{service.holder.error}; the old ranker stays in service")
        return _json({"status": "ready", "ranker": service.holder.current.digest, "error": None})


def _some(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Some of the refusals."""
    return {status: REFUSALS[status] for status in statuses}


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value), status, media_type="application/json")


def _add_pages(app: FastAPI) -> None:
    folder = files("lkgrag.service") / "pages"
    for path, (name, kind) in PAGES.items():
        content = (folder / name).read_bytes()

        def page(request: Request, content: bytes = content, kind: str = kind) -> Response:
            return Response(content, headers={"Cache-Control": "no-cache"}, media_type=kind)

        app.add_route(path, page, include_in_schema=False)
