"""Checks of trackers before anything is computed: installed, logged in, reachable."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from pathlib import Path

from lkgrag.config.public import without_secrets
from lkgrag.config.schema import tracker_names
from lkgrag.errors import ConfigError, short

#: Modules of trackers that are an extra.
EXTRA = {"wandb": "wandb", "mlflow": "mlflow"}
OPTION = "training.tracker"
#: Modes of W&B that need no server.
OFFLINE = ("offline", "dryrun", "disabled")


def check_trackers(option: str) -> None:
    """Check that a run can log to its trackers.

    Args:
        option: the value of ``training.tracker``.

    Raises:
        ConfigError: a tracker is not installed, nobody is logged in, or its server does not answer.
    """
    for name in tracker_names(option):
        module = EXTRA.get(name)
        if module is None:
            continue
        if importlib.util.find_spec(module) is None:
            raise ConfigError(
                f'{OPTION}={option}: {name} is not installed: pip install "lkgrag[track]", or set {OPTION}=none'
            )
        try:
            CHECKS[name]()
        except ConfigError:
            raise
        except Exception as error:  # a tracker's package may raise anything
            line = next((x.strip() for x in str(error).splitlines() if x.strip()), "")
            line = without_secrets(line) or type(error).__name__
            raise ConfigError(f"{OPTION}={option}: {name} cannot be used: {short(line)}") from error


def _check_wandb() -> None:
    """Whether somebody is logged in.

    Raises:
        ConfigError: nobody is.
    """
    if os.environ.get("WANDB_MODE", "").lower() in OFFLINE:
        return
    # Only here: a run without it does not wait for it.
    import wandb

    if getattr(wandb.setup().settings, "mode", "online") in OFFLINE:
        return
    if not wandb.login(prompt=False):
        raise ConfigError(
            f"{OPTION}=wandb: nobody is logged in to W&B: give the command wandb login, set WANDB_API_KEY, or log into "
            "the run's folder by WANDB_MODE=offline"
        )


def _check_mlflow() -> None:
    """Whether the store answers.

    Raises:
        ConfigError: it does not.
    """
    impatient()
    # Only here: a run without it does not wait for it.
    import mlflow

    address = str(mlflow.get_tracking_uri())
    where = without_secrets(address)
    file = re.match(r"sqlite(?:\+\w+)?:///([^?]+)", address)
    if file and not Path(file[1]).parent.is_dir():
        # MLflow would try again in silence, for minutes.
        raise ConfigError(
            f"{OPTION}=mlflow: the store {where} cannot be used (there is no folder {Path(file[1]).parent}); make it, or "
            "set MLFLOW_TRACKING_URI to another, as sqlite:///mlflow.db"
        )
    try:
        mlflow.search_experiments(max_results=1)
    except Exception as error:  # the store may be anything
        line = next((x.strip() for x in str(error).splitlines() if x.strip()), "")
        raise ConfigError(
            f"{OPTION}=mlflow: the store {where} cannot be used ({short(without_secrets(line))}); start the server, or set "
            "MLFLOW_TRACKING_URI to another, as sqlite:///mlflow.db"
        ) from error


def impatient() -> None:
    """Let MLflow give up after seconds where the user has not said otherwise: a run does not wait for its tracker."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")


CHECKS: dict[str, Callable[[], None]] = {"wandb": _check_wandb, "mlflow": _check_mlflow}
