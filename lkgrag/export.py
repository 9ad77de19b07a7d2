"""Merge a run's LoRA into its language model: ``python -m lkgrag.export run=... out=...``."""

from __future__ import annotations

import sys

from lkgrag.cli.arguments import check_options, switch, whole_number
from lkgrag.cli.command import Command, run
from lkgrag.errors import ConfigError

DTYPES = ("auto", "float32", "bfloat16", "float16")

COMMAND = Command(
    name="lkgrag.export",
    summary=(
        "Merge the LoRA of a saved run into its language model; a 4-bit one is dequantised first. The "
        "result is a plain transformers folder that also holds the rest of the ranker. Then print how far "
        "scores moved."
    ),
    options={
        "run": ("FOLDER", "a finished run of lkgrag.train"),
        "out": ("FOLDER", "where the model goes; must not exist, or be empty"),
        "dtype": ("auto", f"type of the weights; auto: the run's own [{' | '.join(DTYPES)}]"),
        "prompts": ("64", "how many prompts of the run's users scores are compared on"),
        "overwrite": ("false", "replace an earlier export in that folder"),
    },
    examples=[
        "python -m lkgrag.export run=outputs/ml-100k-smollm2-135m-1a2b3c4d out=exported",
        'python -m lkgrag.recommend run=exported "history=[Toy Story,Fargo]"',
    ],
    configurable=False,
)


def body(pairs: dict[str, str], flags: set[str]) -> None:
    """Check the options, load the run, merge, compare."""
    check_options(pairs, COMMAND)
    if not pairs.get("out"):
        raise ConfigError("option 'out' is missing: out=<folder for the merged model>")
    dtype = pairs.get("dtype", "auto")
    if dtype not in DTYPES:
        raise ConfigError(f"option 'dtype': {dtype!r} is none of {', '.join(DTYPES)}")
    prompts, overwrite = whole_number(pairs, "prompts", 64), switch(pairs, "overwrite", False)
    # Only here: --help and a wrong option are answered without PyYAML.
    from lkgrag.serving.saved_run import load_run

    folder, config = load_run(pairs["run"])
    # Only here: a wrong run is answered without torch.
    from lkgrag.serving.export import export
    from lkgrag.utils.device import set_threads

    set_threads(config.threads)
    export(folder, pairs["out"], dtype, prompts, overwrite)


def main() -> int:
    """Run the command and return its exit status."""
    return run(COMMAND, body)


if __name__ == "__main__":
    sys.exit(main())
