"""Bodies and queries of requests without surprises, and the token in the description of the API."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams

#: Pages that probes of others ask, with what they like to add.
PROBED = ("/healthz", "/readyz", "/metrics")


class StrictRoute(APIRoute):
    """A route that reads strictly: what a client sends twice, or where none reads it, is refused with its reason."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI's guide on custom requests."""
        handle = super().get_route_handler()
        takes_query, in_body = bool(self.dependant.query_params), self.body_field is not None
        is_checked = self.path not in PROBED

        async def strict(request: Request) -> Response:
            if is_checked:
                check_query(request.query_params, takes_query, in_body)
            return await handle(JsonRequest(request.scope, request.receive))

        return strict


def check_query(query: QueryParams, takes_query: bool, in_body: bool) -> None:
    """Check what follows the ``?`` of an address.

    Args:
        query: names and values.
        takes_query: whether the page reads any; the names are then checked by its model.
        in_body: whether the page reads a body.

    Raises:
        RequestValidationError: a name stands there twice, or the page reads none.
    """
    names = [name for name, _ in query.multi_items()]
    for name in names:
        if not takes_query:
            reason = "is not read from the address" + (
                "; send it in the JSON body" if in_body else ""
            )
        elif names.count(name) > 1:
            reason = "stands in the address more than once; leave one"
        else:
            continue
        raise RequestValidationError(
            [{"type": "value_error", "loc": ("query", name), "msg": reason}]
        )


class JsonRequest(Request):
    """A request whose body is read strictly."""

    async def json(self) -> Any:
        """The body.

        Raises:
            json.JSONDecodeError: as of :func:`read_json`; FastAPI makes its refusal of it.
        """
        if not hasattr(self, "_json"):
            self._json = read_json(await self.body())
        return self._json


def read_json(body: bytes) -> Any:
    """Read JSON strictly.

    Raises:
        json.JSONDecodeError: it is no JSON, not UTF-8, nested too deeply, has a number of thousands of digits, or an
            object with a name twice; its ``msg`` says which.
    """
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at character {error.pos + 1}"
    except UnicodeDecodeError:
        compressed = body[:2] == b"\x1f\x8b"
        reason = "it is compressed; send it plainly" if compressed else "it is no UTF-8"
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:
        # A name twice, or more digits than Python reads.
        reason = str(error) if isinstance(error, _TwiceError) else "a number has too many digits"
    raise json.JSONDecodeError(reason, "", 0)


class _TwiceError(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, whose names stand there once."""
    out = dict(pairs)
    if len(out) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"the name {twice[:60]!r} stands there twice; leave one")
    return out


def add_token(app: FastAPI, open_paths: Collection[str]) -> None:
    """Describe the token in the OpenAPI page of a service that asks for one.

    Args:
        app: with all its routes.
        open_paths: that need none.
    """
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = plain()
            schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
            schemes["token"] = {"type": "http", "scheme": "bearer"}
            for path, methods in schema["paths"].items():
                for operation in methods.values():
                    operation["security"] = [] if path in open_paths else [{"token": []}]
        return app.openapi_schema or {}

    app.openapi = described  # type: ignore[method-assign]
