"""Tune the options of a run on validation: ``python -m lkgrag.tune [key=value ...] [space=NAME] [trials=N]``."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from lkgrag.cli.command import Command, run
from lkgrag.errors import ConfigError, LkgragError, nearest

COMMAND = Command(
    name="lkgrag.tune",
    summary=(
        "Try many settings of a run, judged on validation alone, and write the best as a file for lkgrag.train. The same "
        "command continues where it stopped, and several processes may run it at once."
    ),
    options={
        "space": (
            "default",
            "what is tuned: a shipped space, or a YAML file of options and their values",
        ),
        "trials": ("50", "trials in all, of all processes and earlier calls together"),
        "study": ("<data>-<space>", "name of the study in its storage"),
        "storage": (
            "FILE | URL",
            "file of SQLite, or any URL that Optuna takes (default: study.db in out)",
        ),
        "timeout": ("none", "seconds after which this process begins no further trial"),
        "metric": (
            "ndcg@10",
            "what is maximised: a key of metrics.json, of the ranker on validation",
        ),
        "sampler": ("tpe", "what proposes trials [tpe | random]"),
        "pruner": (
            "quartile",
            "which trials end early: those in the worst quarter of earlier ones at some point (quartile), in the worse "
            "half (median), or none [quartile | median | none]",
        ),
        "confirm": (
            "auto",
            "whether half of the users choose the best trial and the others confirm its gain: true, false, or auto "
            "(true if 1,000 or more users validate) [auto | true | false]",
        ),
        "disk": ("20", "gigabytes of cached stages that losing trials may keep"),
    },
    examples=[
        "python -m lkgrag.tune llm.name=none",
        "python -m lkgrag.tune preset=amazon-beauty llm.name=none trials=100 timeout=7200",
        "python -m lkgrag.tune data.name=shop data.root=/data/shop space=mine.yaml out=outputs/tune-shop",
    ],
    after_stop="the same command goes on; the trial that was stopped begins again",
)


def body(pairs: dict[str, str], flags: set[str]) -> None:
    """Check the options, then carry out trials."""
    # Only here: --help is printed without PyYAML.
    from lkgrag.config.loading import KINDS, load_config

    own = {key: value for key, value in pairs.items() if key in COMMAND.options}
    rest = {key: value for key, value in pairs.items() if key not in own}
    for key in rest:
        close = nearest(key, COMMAND.options)
        if close and "." not in key and key not in KINDS:
            raise ConfigError(f"unknown option {key!r}.{close} See --help")
    config = load_config(rest)
    if find_spec("optuna") is None:
        raise LkgragError('lkgrag.tune needs Optuna: pip install "lkgrag[tune]"')
    # Only here: --help and a wrong option are answered without torch and Optuna.
    from lkgrag.tuning.options import read_options

    options = read_options(own, config)
    # Only here: as above.
    from lkgrag.tuning.study import tune

    tune(rest, options)


def main() -> int:
    """Run the command and return its exit status."""
    return run(COMMAND, body)


if __name__ == "__main__":
    sys.exit(main())
