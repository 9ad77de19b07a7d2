"""Refusals: every one is JSON with one line, whatever went wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from lkgrag.data.cleaning.texts import clean
from lkgrag.errors import AssetError, ConfigError, DataError, LkgragError, nearest
from lkgrag.service.engine import TooBusyError
from lkgrag.service.limits import RETRY_AFTER
from lkgrag.service.schemas import RecommendBody
from lkgrag.utils.failures import explain, shorten

log = logging.getLogger(__name__)

#: Characters of a line.
LONGEST = 1500
#: Parts of a place that pydantic adds to a field's: where the field is, and the members of a union.
_SOURCES, _TAGS = ("body", "query"), ("str", "int", "float", "bool", "constrained-str")
#: What a value must be, by the error that says that it is not.
_TYPES = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
}


def refusal(status: int, line: str, headers: Mapping[str, str] | None = None) -> Response:
    """A response with one line.

    Args:
        status: of HTTP.
        line: what is wrong; becomes one line.
        headers: further ones.
    """
    # Halves of surrogate pairs are no text that a client could read.
    text = shorten(clean(str(LkgragError(line))), LONGEST)
    more = {"Retry-After": str(RETRY_AFTER)} if status == 503 else {}
    content = json.dumps({"error": text})
    return Response(content, status, {**more, **(headers or {})}, "application/json")


def status_of(error: LkgragError) -> int:
    """The status of an error: whether the request, the load or the service's own files cause it."""
    if isinstance(error, TooBusyError | AssetError):
        return 503
    return 400 if isinstance(error, DataError | ConfigError) else 500


def add_handlers(app: FastAPI) -> None:
    """Let an application answer every error by one line."""

    async def of_package(request: Request, error: Exception) -> Response:
        assert isinstance(error, LkgragError)
        return refusal(status_of(error), str(error))

    async def of_body(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return refusal(422, invalid_line(error.errors()))

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return refusal(error.status_code, _http_line(request, error), error.headers)

    async def of_any(request: Request, error: Exception) -> Response:
        known = explain(error)
        if known is not None:
            log.warning("%s", known)
            return refusal(503, str(known))
        log.error("%s: %s", type(error).__name__, LkgragError(str(error)), exc_info=error)
        return refusal(500, f"a fault of the service ({type(error).__name__}); its log says more")

    app.add_exception_handler(LkgragError, of_package)
    app.add_exception_handler(RequestValidationError, of_body)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(Exception, of_any)


def _http_line(request: Request, error: HTTPException) -> str:
    if error.status_code == 404:
        return f"there is no page {request.url.path[:80]}; /docs lists what there is"
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        return f"{request.method} is not for {request.url.path[:80]}; use {allowed}"
    if error.status_code == 400:
        return "body: not readable as JSON"
    return str(error.detail)


def invalid_line(errors: Sequence[Any]) -> str:
    """The first error of a validation in one line, with how many there are.

    Args:
        errors: as pydantic gives them.
    """
    places = list(dict.fromkeys(_place(error) for error in errors))
    # A value that may be a list of something has errors of itself and of its elements: those tell more.
    places = [p for p in places if not any(o.startswith((f"{p}[", f"{p}.")) for o in places)]
    where = places[0]
    # A value that may be of several types has an error of each.
    here = [error for error in errors if _place(error) == where]
    of_type = [error for error in here if error["type"] in _TYPES]
    first = next((error for error in here if error["type"] not in _TYPES), here[0])
    kind, text = first["type"], str(first["msg"]).removeprefix("Value error, ")
    if kind == "json_invalid":
        return f"body: not readable as JSON ({first.get('ctx', {}).get('error', text)})"
    if kind == "extra_forbidden":
        name = str(first["loc"][-1])[:60]
        text = f"no such field.{nearest(name, RecommendBody.model_fields)} See /docs"
    elif kind == "missing":
        text = "is missing"
    elif kind in ("model_attributes_type", "model_type", "dict_type") and where == "body":
        text = "must be a JSON object"
    elif kind in _TYPES:
        *most, last = dict.fromkeys(_TYPES[error["type"]] for error in of_type)
        text = f"must be {', '.join(most)}{' or ' if most else ''}{last}"
    elif text:
        text = text[0].lower() + text[1:]
    more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
    line = text if where == "body" and kind == "value_error" else f"{where}: {text}"
    return f"{line}{more}"


def _place(error: Any) -> str:
    """The place of an error as ``requests[3].history[0]``."""
    loc = list(error["loc"])
    if loc and loc[0] in _SOURCES:
        del loc[0]
    out, last = "", len(loc) - 1
    for place, part in enumerate(loc):
        # Names that a client chose: of an unknown field, and of an attribute.
        is_name = (place == last and error["type"] == "extra_forbidden") or (
            place > 0 and loc[place - 1] == "where"
        )
        if isinstance(part, int):
            out += f"[{part}]"
        elif is_name or not (part in _TAGS or "[" in str(part)):
            out += f".{str(part)[:60]}" if out else str(part)[:60]
    return out or "body"
