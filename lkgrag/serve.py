"""Serve a saved run over HTTP, with a page for people: ``python -m lkgrag.serve run=...``."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from lkgrag.cli.arguments import check_options, whole_number
from lkgrag.cli.command import Command, run
from lkgrag.config.schema import SERVING
from lkgrag.errors import ConfigError, nearest
from lkgrag.utils.files import user_path

#: The variable that holds the token, so that no list of processes shows it, and its least length.
TOKEN, SHORTEST = "LKGRAG_TOKEN", 16
#: Packages of the extra.
PACKAGES = ("fastapi", "uvicorn", "prometheus_client")

COMMAND = Command(
    name="lkgrag.serve",
    summary=(
        "Serve the rankings of a saved run: a JSON API (its description at /docs), health, metrics, and a page for "
        "people at /. A newer ranker in the run's folder is taken without a lost request."
    ),
    options={
        "run": (
            "FOLDER",
            "a finished run of lkgrag.train, an export, what lkgrag.update wrote, or a saved ranker",
        ),
        "host": (
            "127.0.0.1",
            "address to listen on; any but this machine's own needs a token (0.0.0.0: all addresses)",
        ),
        "port": ("8000", "port to listen on; 0: any that is free"),
        "token": (
            "TEXT",
            f"what clients must send as `Authorization: Bearer TEXT`, at least {SHORTEST} characters; "
            f"the variable {TOKEN} does the same, and no list of processes shows it",
        ),
        "serving.lm": (
            "auto | always | never",
            "rank with the language model (default: as saved; auto: only if it earned a weight); "
            "always lets the page compare with and without it",
        ),
        "serving.index": (
            "auto | exact | hnsw | ivfpq",
            "how candidates are found: by the scores of all items (exact) or by an index (default: as saved)",
        ),
        "watch": ("2", "seconds between two looks for a newer ranker in the run's folder; 0: none"),
        "together": ("8", "rankings of waiting requests that share a forward pass"),
        "limit.body": ("1048576", "bytes of a request's body"),
        "limit.history": ("1000", "items of a history"),
        "limit.candidates": ("10000", "candidates, and items of an exclude list"),
        "limit.k": ("100", "items of a ranking"),
        "limit.batch": ("64", "rankings of one request"),
        "limit.queue": (
            "256",
            "requests at once, and rankings that wait; more are told to come again",
        ),
        "limit.seconds": ("30", "time of a request"),
    },
    examples=[
        "python -m lkgrag.serve run=outputs/ml-100k-quick-1a2b3c4d",
        "python -m lkgrag.serve run=outputs/ml-100k-smollm2-135m-1a2b3c4d serving.lm=always port=8080",
        "LKGRAG_TOKEN=$(openssl rand -hex 16) python -m lkgrag.serve run=... host=0.0.0.0",
    ],
    configurable=False,
    after_stop="the same command starts again",
)


def body(pairs: dict[str, str], flags: set[str]) -> None:
    """Check the options, load the ranker, serve."""
    check_options(pairs, COMMAND)
    port, watch = _number(pairs, "port", 8000, 65_535), _number(pairs, "watch", 2, 86_400)
    sizes = {
        key.removeprefix("limit."): whole_number(pairs, key, int(default))
        for key, (default, _) in COMMAND.options.items()
        if key.startswith("limit.") or key == "together"
    }
    token = _token(pairs)
    lm = pairs.get("serving.lm")
    if lm is not None and lm not in SERVING:
        raise ConfigError(
            f"serving.lm={lm!r} is none of {', '.join(SERVING)}.{nearest(lm, SERVING)}"
        )
    index = pairs.get("serving.index")
    if index is not None:
        # Only here: --help is answered without it.
        from lkgrag.retrieval.index.choice import check_index

        check_index(index)
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise ConfigError(
            f'lkgrag.serve needs {missing[0].replace("_", "-")}: pip install "lkgrag[serve]"'
        )
    # Only here: --help and a wrong option are answered without them, as the run without torch.
    from lkgrag.service.limits import ServiceLimits
    from lkgrag.service.server import bind, listen, resolve, serve
    from lkgrag.serving.saved_run import load_saved

    limits = ServiceLimits(**sizes)
    address, is_loopback = resolve(pairs.get("host", "127.0.0.1"))
    if not is_loopback and token is None:
        raise ConfigError(
            f"host={address}: others can reach it, so clients must give a token: set {TOKEN}, or token="
        )
    folder, config = load_saved(pairs["run"])
    listener = bind(address, port)
    # Only here: as above.
    from functools import partial

    from lkgrag.service.app import build_app
    from lkgrag.service.holder import Holder
    from lkgrag.service.served import load_served
    from lkgrag.service.state import Service
    from lkgrag.utils.console import console
    from lkgrag.utils.device import choose_device, is_cpu_asked, set_threads
    from lkgrag.utils.progress import rename_activity, without_lines

    set_threads(config.threads)
    rename_activity("load the ranker")
    device = choose_device("cpu" if is_cpu_asked() else None)
    load = partial(load_served, device=device, lm=lm, index=index)
    holder = Holder(load(folder), folder, load)
    # The folder that was named, and not its part that holds the ranker.
    name = user_path(pairs["run"], "run").resolve().name
    service = Service(holder, limits, token, name, watch)
    app = build_app(service)
    url = listen(listener)
    how = "with" if holder.current.default else "without"
    console.print(
        f"{pairs['run']}: served on {url} {how} language model; its API: {url}docs; Ctrl-C ends",
        soft_wrap=True,
        markup=False,
    )
    with without_lines():
        serve(app, service, listener)
    console.print(f"{pairs['run']}: no longer served", soft_wrap=True, markup=False)


def _number(pairs: dict[str, str], key: str, default: int, most: int) -> int:
    """Read a whole number from 0 to ``most``.

    Raises:
        ConfigError: the value is no such number.
    """
    text = pairs.get(key, str(default))
    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or int(text) > most:
        raise ConfigError(f"option '{key}': {text[:60]!r} is no whole number from 0 to {most:,}")
    return int(text)


def _token(pairs: dict[str, str]) -> str | None:
    """The token of the option, or else of the environment; None without any.

    Raises:
        ConfigError: it is too short, or holds what no header can.
    """
    token = pairs.get("token", os.environ.get(TOKEN))
    if token is None:
        return None
    if len(token) < SHORTEST or not all("!" <= c <= "~" for c in token):
        raise ConfigError(
            f"the token must have at least {SHORTEST} characters, without spaces and others than ASCII's; "
            "make one by openssl rand -hex 16"
        )
    return token


def main() -> int:
    """Run the command and return its exit status."""
    return run(COMMAND, body)


if __name__ == "__main__":
    sys.exit(main())
