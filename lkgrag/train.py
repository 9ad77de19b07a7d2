"""Train, evaluate and explain a recommender: ``accelerate launch -m lkgrag.train [key=value ...]``."""

from __future__ import annotations

import sys

from lkgrag.cli.callable import make_callable
from lkgrag.cli.command import Command, run

COMMAND = Command(
    name="lkgrag.train",
    summary="Train, evaluate and explain a recommender. The same command continues where it stopped.",
    options={},
    examples=[
        "accelerate launch -m lkgrag.train",
        "python -m lkgrag.train data.name=shop data.root=/data/shop",
        "python -m lkgrag.train llm.name=meta-llama/Llama-2-7b-hf llm.quantization=nf4",
    ],
    after_stop="the same command goes on from the last finished stage or checkpoint",
)


def body(pairs: dict[str, str], flags: set[str]) -> None:
    """Check the options, then run the stages."""
    # Only here: --help is printed without PyYAML.
    from lkgrag.config.loading import load_config

    config = load_config(pairs)
    # Only here: --help and a wrong option are answered without torch.
    from lkgrag.run.pipeline import train

    train(config)


def main() -> int:
    """Run the command and return its exit status."""
    return run(COMMAND, body)


make_callable(__name__, "lkgrag.run.pipeline:train")

if __name__ == "__main__":
    sys.exit(main())
