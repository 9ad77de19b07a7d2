"""A saved ranker, read and checked: its files as :mod:`lkgrag.serving.saving` writes them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lkgrag import __version__
from lkgrag.config.loading import load_config
from lkgrag.data.dropped import Dropped
from lkgrag.errors import LkgragError, RunError
from lkgrag.kg import load_kg
from lkgrag.llm import LMScorer, load_llm
from lkgrag.paths import graph_paths
from lkgrag.prompt import build_prompter
from lkgrag.ranker.fusion import Fusion, TermWeights
from lkgrag.ranker.fusion_weights import FittedWeights
from lkgrag.ranker.model import RankerModel
from lkgrag.retrieval import FusedRetriever
from lkgrag.retrieval.index.choice import with_chosen_index
from lkgrag.scorer.resolver import new_scorer
from lkgrag.scorer.state import load_scorer
from lkgrag.serving.catalogue import Catalogue
from lkgrag.serving.context import Context
from lkgrag.serving.known import KnownData
from lkgrag.serving.lm_choice import choose_serving
from lkgrag.serving.saved_run import find_ranker
from lkgrag.serving.users import Users
from lkgrag.serving.withheld import WithheldUsers
from lkgrag.text.requests import RequestModel
from lkgrag.utils.device import choose_device
from lkgrag.utils.files import read_json, read_safetensors
from lkgrag.utils.layout import (
    ADAPTER,
    CARD,
    CATALOGUE,
    CONFIG,
    DATA,
    DROPPED,
    FIGURES,
    INDEX,
    KG,
    META,
    METRICS,
    REQUESTS,
    RETRIEVER,
    SCORER,
    TABLES,
    USERS,
)
from lkgrag.utils.sums import find_damage, find_extra

if TYPE_CHECKING:
    import torch
    from torch_geometric.data import HeteroData
    from transformers import PreTrainedTokenizerBase

    from lkgrag.config import LLMConfig
    from lkgrag.scorer import PathScorer

log = logging.getLogger(__name__)


#: Version of a saved ranker's files.
FORMAT = 1
#: What to do about a damaged file of a ranker.
REPAIR = (
    "copy the ranker again from where it came, or train it again; who changed the file on purpose deletes "
    "done.json beside ranker.json"
)


def load(
    folder: Path, device: torch.device | str | None = None, lm: str | None = None
) -> tuple[RankerModel, Context]:
    """Read a ranker; its scores are bit-equal to those of the saved one.

    A language model without a weight is left out: it costs seconds to load and to ask, and changes no ranking.

    Args:
        folder: written by :func:`lkgrag.serving.saving.save`, or a run or an export that holds such a folder as ``ranker``.
        device: by default a GPU if there is one, else the CPU.
        lm: ``auto``, ``always`` or ``never``, as the option ``serving.lm``; by default what was saved.

    Raises:
        ConfigError: ``lm`` is another word, or ``always`` for a ranker that has no language model.
        RunError: the folder is no saved ranker, has a newer format, or a file differs from what was saved.
        ModelError: the device or the language model cannot be used.
        LkgragError: a file is missing or broken.
    """
    scorer, context, meta = load_context(folder)
    config, data, folder = context.config, context.data, find_ranker(folder)
    context.retriever = with_chosen_index(
        context.retriever, config.serving.index, config.seed, folder / RETRIEVER / INDEX
    )
    place = choose_device(device)
    weights, is_read = choose_serving(
        TermWeights.from_dict(meta["fusion"], meta["llm"] is not None),
        context.fitted,
        lm or config.serving.lm,
        meta["llm"] is not None,
        str(folder),
    )
    fusion = Fusion(weights.scorer, weights.prior, config.training.fuse, weights.lm)
    scores_by_text = prompter = None
    if is_read:
        # Rankers of older versions have all layers.
        llm = replace(config.llm, layers=meta.get("layers") or 0)
        is_merged = context.merged is not None
        scores_by_text, tokenizer = _load_lm(folder, llm, config.seed, place, is_merged)
        prompter = build_prompter(tokenizer, data, config.prompt, scores_by_text.readout.layout)
        prompter.load_tables(read_safetensors(folder / TABLES))
    model = RankerModel(scores_by_text, scorer.to(place), prompter, fusion.to(place))
    return model.eval(), context


def load_context(folder: Path) -> tuple[PathScorer, Context, dict[str, Any]]:
    """Read a ranker without its language model.

    Args:
        folder: as of :func:`load`.

    Returns:
        The scorer on the CPU, the context, and the ranker's description.

    Raises:
        LkgragError: as :func:`load`.
    """
    folder = find_ranker(folder)
    check_files(folder)
    meta = _read_meta(folder)
    config = load_config({"config": str(folder / CONFIG)})
    merged: str | None = meta.get("merged")
    if merged is not None:
        merged = str((folder / merged).resolve())
        config.llm = replace(config.llm, name=merged, quantization="none", adapter="lora")
    graph = graph_paths(load_kg(folder / KG), config.paths)
    metapaths = [tuple(tuple(edge) for edge in m) for m in meta["metapaths"]]
    if list(graph.metapaths) != metapaths:
        raise RunError(f"{folder}: its graph and its meta-paths differ; train it again")
    scorer = new_scorer(config.scorer, config.paths.search, graph, config.seed)
    load_scorer(folder / SCORER, scorer)
    context = Context(
        graph=graph,
        retriever=FusedRetriever.load(folder / RETRIEVER),
        catalogue=Catalogue.load(folder / CATALOGUE),
        config=config,
        users=WithheldUsers() if meta.get("histories") is False else Users(folder / USERS),
        # Older versions leave out the language model's weight, which is 1.
        learned=TermWeights(*[1.0, *meta["learned"]][-3:]),
        fitted=None if meta.get("fitted") is None else FittedWeights.from_dict(meta["fitted"]),
        merged=merged,
        requests=_load_requests(folder / REQUESTS, graph.data),
        dropped=Dropped.load(folder / DROPPED),
        known=KnownData(folder=folder / DATA) if (folder / DATA).is_dir() else None,
        updates=tuple(meta.get("updates", ())),
        figures=_read_figures(folder),
    )
    return scorer, context, meta


def _read_figures(folder: Path) -> dict[str, Any] | None:
    """The figures for the card: the ranker's own, or, of an older version, those of the run that holds it."""
    # They are not needed to rank.
    with suppress(LkgragError, OSError):
        if (folder / FIGURES).is_file():
            figures = read_json(folder / FIGURES)
            return figures if isinstance(figures, dict) and figures.get("format") == 1 else None
        if (folder.parent / METRICS).is_file():
            # Only here, as above.
            from lkgrag.serving.card import select_figures

            return select_figures(read_json(folder.parent / METRICS))
    return None


def check_files(folder: Path) -> None:
    """Compare a saved ranker's files with the sums that it was saved with; older rankers have none.

    The language model's files are left to :func:`_check_beside`, because they are large, and not always read. The index has
    a sum of its own, and is built anew if it is damaged.

    Raises:
        RunError: a file is missing or damaged; the message names it.
    """
    if damage := find_damage(folder, lambda name: not (is_of_lm(name) or _is_of_index(name))):
        raise RunError(f"{damage}; {REPAIR}")
    if extra := [name for name in find_extra(folder) if name != CARD]:
        log.warning(
            "%s: holds %s, which was not saved with the ranker", folder, ", ".join(extra[:3])
        )


def is_of_lm(name: str) -> bool:
    """Whether a file, by its path in a ranker's folder, is of the adapter or of the merged language model."""
    return name.startswith((f"{ADAPTER}/", "../"))


def _is_of_index(name: str) -> bool:
    """Whether a file, by its path in a ranker's folder, is of the index of the items."""
    return name.startswith(f"{RETRIEVER}/{INDEX}/")


@contextmanager
def _check_beside(folder: Path) -> Iterator[None]:
    """Compare the language model's files with their sums in a thread, while the block loads them.

    Raises:
        RunError: a file is missing or damaged, which may also have made the block fail.
    """
    with ThreadPoolExecutor(1) as pool:
        damage = pool.submit(find_damage, folder, is_of_lm)
        try:
            yield
        except Exception as error:
            if damage.result():
                raise RunError(f"{damage.result()}; {REPAIR}") from error
            raise
        if damage.result():
            raise RunError(f"{damage.result()}; {REPAIR}")


def _load_requests(folder: Path, data: HeteroData) -> RequestModel | None:
    """The model of requests in words; None if there is none, as in rankers of older versions."""
    if not folder.is_dir():
        return None
    x = data["item"].get("x")
    return RequestModel.load(folder, None if x is None else x.cpu().numpy())


def _load_lm(
    folder: Path, llm: LLMConfig, seed: int, device: torch.device, is_merged: bool
) -> tuple[LMScorer, PreTrainedTokenizerBase]:
    """The language model with its adapter, or merged with it, and its tokenizer."""
    with _check_beside(folder):
        model, tokenizer = load_llm(llm, device)
        lm = LMScorer(model, llm, seed, adapter=not is_merged)
        lm.load(folder if is_merged else folder / ADAPTER)
    return lm, tokenizer


def _read_meta(folder: Path) -> dict[str, Any]:
    """The description of a saved ranker.

    Raises:
        RunError: there is none, or it has a newer format.
    """
    if not (folder / META).is_file():
        raise RunError(f"{folder}: not a saved ranker (it has no {META})")
    meta = read_json(folder / META)
    if not isinstance(meta, dict) or not isinstance(meta.get("format"), int):
        raise RunError(f"{folder / META}: not a ranker's description; train it again")
    if meta["format"] > FORMAT:
        raise RunError(
            f"{folder}: saved by lkgrag {meta.get('lkgrag')} in the newer format {meta['format']}; "
            f"this is {__version__}: upgrade with pip install -U lkgrag"
        )
    return meta
