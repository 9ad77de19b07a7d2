"""A study from its options to its files."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from accelerate import Accelerator

from lkgrag.config.identity import computed
from lkgrag.config.loading import load_config
from lkgrag.errors import RunError, short
from lkgrag.run.preflight import preflight
from lkgrag.run.provenance import commit, environment, hardware, today
from lkgrag.run.stages import load_dataset
from lkgrag.tuning.options import without_password
from lkgrag.tuning.outcome import Outcome, selecting_users
from lkgrag.tuning.results import write_results
from lkgrag.tuning.store import StudyStore
from lkgrag.tuning.trial import Workshop
from lkgrag.tuning.work import QUIET, StudyWork
from lkgrag.utils.device import set_threads
from lkgrag.utils.files import atomic
from lkgrag.utils.launcher import count_processes
from lkgrag.utils.progress import activity, rename_activity

if TYPE_CHECKING:
    from lkgrag.tuning.options import TuneOptions

#: File that says whose folder it is.
NAME = "study.name"


@activity("check the options")
def tune(pairs: dict[str, str], options: TuneOptions) -> Outcome:
    """Carry out trials until the study has enough, then write what it found.

    Only validation judges. The data are cut before the test, so no trial can see a test event. The same call again
    goes on where it stopped, and several processes may work on one study.

    Args:
        pairs: the configuration before tuning, ``key -> text`` as of :func:`lkgrag.config.loading.load_config`.
        options: of the study.

    Returns:
        All trials, the best and its gain.

    Raises:
        LkgragError: the options, the data or the storage cannot be used, or all trials failed.
    """
    if count_processes() > 1:
        raise RunError(
            "lkgrag.tune runs in one process: start the same command several times, without a launcher"
        )
    config = load_config(pairs, QUIET)
    if config.overwrite:
        raise RunError("overwrite=true begins no study anew: choose another study= and out=")
    commit()
    threads = set_threads(config.threads)
    accelerator = Accelerator(mixed_precision="no")
    device = accelerator.device
    preflight(config, device)
    rename_activity("read the data")
    dataset = load_dataset(config).without_test()
    val = dataset.split.val
    if not len(val):
        raise RunError("no event validates, so trials cannot be compared; see data.split")
    selects = selecting_users(dataset.interactions, val.user, options.confirm)
    store = StudyStore(options)
    own = options.space.own_values(config)
    setting = {
        "options": _plain(computed(config)),
        "space": options.space.to_dict(),
        "metric": options.metric,
        "confirm": not bool(selects.all()),
        "sampler": options.sampler,
        "files": dataset.key["files"],
    }
    store.agree(_plain(setting))
    _mark(options.out, options.study)
    stored = {p.key: p.stored(own[p.key]) for p in options.space.parameters if p.key in own}
    store.enqueue_first(stored)
    study = StudyWork(pairs, config, options, store, selects)
    study.announce(len(np.unique(val.user)), len(val))
    shop = Workshop(dataset, accelerator, options.out / "running", threads)
    rename_activity("trials")
    study.work(shop, own)
    outcome = study.outcome()
    if outcome.best is None:
        raise study.failure(outcome)
    rename_activity("files and page of the study")
    trial_config = study.config_of(outcome.values_of(outcome.best))
    write_results(store.study, outcome, trial_config, _provenance())
    study.conclude(outcome)
    return outcome


def _plain(value: Any) -> Any:
    """Plain values as JSON gives them back."""
    # Only here, for a comparison with what a storage keeps.
    import json

    return json.loads(json.dumps(value, default=str))


def _provenance() -> dict[str, Any]:
    versions = {**environment(), "optuna": optuna.__version__}
    return {
        "command": without_password(shlex.join(["python", "-m", "lkgrag.tune", *sys.argv[1:]])),
        "date": today(),
        "hardware": hardware(),
        "versions": versions,
        "commit": commit(),
    }


def _mark(out: Path, study: str) -> None:
    """Say whose folder it is.

    Raises:
        RunError: it holds another study.
    """
    path = out / NAME
    if not path.exists():
        with atomic(path) as tmp:
            tmp.write_text(study, encoding="utf-8")
    other = path.read_text(encoding="utf-8", errors="replace")
    if other != study:
        raise RunError(
            f"{out} holds the study '{short(other)}', not '{study}': choose another out="
        )
