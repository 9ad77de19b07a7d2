"""The data sets of these benchmarks: configurations, and the vectors of the items' texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lkgrag.config.loading import load_config
from lkgrag.run.cache import StageCache
from lkgrag.run.stages import Stages, load_dataset
from lkgrag.text import EncoderChoice, load_encoder

if TYPE_CHECKING:
    from lkgrag.config import Config
    from lkgrag.text import TextEncoder

#: Relations of Amazon that may have been collected after the test, and are left out.
SUSPECT = ("also_bought", "also_viewed", "bought_together")
#: Stage one without texts, so that what texts add can be added.
WITHOUT_TEXT = ("lrurec", "popularity", "itemitem", "graph_itemitem")


def configuration(data: str, roots: dict[str, str], root: Path, seed: int = 0) -> Config:
    """The configuration of a data set without language model and without texts in stage one.

    Args:
        data: ``amazon-beauty``, ``ml-100k`` or ``ml-latest-small``.
        roots: folders of data sets, by name.
        root: of the cached stages.
        seed: of everything.
    """
    options = {
        "llm.name": "none",
        "text.encoder": "none",
        "retrieval.systems": f"[{','.join(WITHOUT_TEXT)}]",
        "cache.root": str(root),
        "seed": str(seed),
    }
    if data == "amazon-beauty":
        options |= {
            "preset": data,
            "kg.exclude": f"[{','.join(SUSPECT)}]",
            "retrieval.patience": "4",
        }
    if data == "ml-latest-small":
        options["preset"] = data
    if data in roots:
        options["data.root"] = roots[data]
    return load_config(options)


def stages_of(config: Config) -> Stages:
    """The cached stages of a configuration, on the CPU."""
    return Stages(
        StageCache(Path(config.cache.root)), config, load_dataset(config), torch.device("cpu")
    )


def encoder_of(config: Config) -> TextEncoder:
    """The built-in sentence encoder, on the CPU."""
    choice = EncoderChoice.of(_with_encoder(config).text, config.llm)
    assert choice is not None
    return load_encoder(choice)


def text_vectors(config: Config) -> torch.Tensor:
    """Vectors of the items' texts by the built-in sentence encoder, float32 ``[I, 384]``; cached."""
    vectors = stages_of(_with_encoder(config)).vectors
    assert vectors is not None
    return vectors


def _with_encoder(config: Config) -> Config:
    return replace(config, text=replace(config.text, encoder="minilm"))
