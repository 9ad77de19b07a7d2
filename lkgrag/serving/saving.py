"""A saved ranker: one folder of safetensors, Parquet and JSON files, none of them pickled."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lkgrag import __version__
from lkgrag.config.identity import to_yaml
from lkgrag.config.loading import load_config
from lkgrag.data.dropped import Dropped
from lkgrag.errors import LkgragError, RunError
from lkgrag.kg import load_kg, save_kg
from lkgrag.llm import LMScorer, load_llm
from lkgrag.llm.lora import decoder_layers
from lkgrag.paths import graph_paths
from lkgrag.prompt import build_prompter
from lkgrag.ranker.fusion import Fusion, TermWeights
from lkgrag.ranker.fusion_weights import FittedWeights
from lkgrag.ranker.model import RankerModel
from lkgrag.retrieval import FusedRetriever
from lkgrag.retrieval.index.choice import build_index, with_chosen_index
from lkgrag.retrieval.index.files import write_index
from lkgrag.retrieval.index.item_index import ItemIndex
from lkgrag.scorer.resolver import new_scorer
from lkgrag.scorer.state import load_scorer, save_scorer
from lkgrag.serving.catalogue import Catalogue
from lkgrag.serving.context import Context
from lkgrag.serving.known import KnownData
from lkgrag.serving.lm_choice import choose_serving
from lkgrag.serving.users import Users
from lkgrag.serving.withheld import WithheldUsers
from lkgrag.text.requests import RequestModel
from lkgrag.utils.device import choose_device
from lkgrag.utils.files import (
    find_foreign_entry,
    read_json,
    read_safetensors,
    write_json,
    write_safetensors,
)
from lkgrag.utils.folders import replaced_folder, restore_folder
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
    RANKER,
    REQUESTS,
    RETRIEVER,
    SCORER,
    TABLES,
    USERS,
)
from lkgrag.utils.sums import find_damage, find_extra, walk, write_done

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
#: What the language model and its prompts learned, which an update leaves as it is.
LEARNED = (ADAPTER, TABLES, "readout.safetensors")


def save(model: RankerModel, context: Context, folder: Path) -> None:
    """Write a model with its context; ``folder`` appears whole or not at all.

    Args:
        model: the model; of its language model only the trained parts are written.
        context: of the same run.
        folder: a new or empty folder, or one with a ranker, which is replaced.

    Raises:
        LkgragError: the folder cannot be written, or holds something else.
    """
    with _written(folder) as part:
        save_scorer(part / SCORER, model.scorer)
        if model.lm is not None and model.prompter is not None:
            model.lm.save(part if context.merged else part / ADAPTER)
            write_safetensors(part / TABLES, model.prompter.tables())
        _write_context(context, part)
        meta = {
            "llm": context.config.llm.name if model.lm is not None else None,
            "fusion": model.fusion.weights.to_dict(),
            "layers": len(decoder_layers(model.lm.model)) if model.lm is not None else None,
        }
        _write_meta(context, part, meta)


def save_updated(source: Path, scorer: PathScorer, context: Context, folder: Path) -> None:
    """Write an updated ranker: what was learned is copied, so that no language model need be loaded.

    Args:
        source: folder of the ranker of before, which may be ``folder``.
        scorer: for the new graph.
        context: the new one.
        folder: as of :func:`save`.

    Raises:
        LkgragError: as :func:`save`; or a file of ``source`` is missing or damaged.
    """
    # The copies get sums of their own, so that damage would never show again.
    if damage := find_damage(source, _is_of_lm):
        raise RunError(f"{damage}; {REPAIR}")
    with _written(folder) as part:
        save_scorer(part / SCORER, scorer)
        for name in LEARNED:
            if (source / name).is_dir():
                shutil.copytree(source / name, part / name)
            elif (source / name).exists():
                shutil.copy2(source / name, part / name)
        _write_context(context, part)
        # As it was: a merged language model changes the options that are in memory.
        shutil.copy2(source / CONFIG, part / CONFIG)
        meta = read_json(source / META)
        of_model = {name: meta.get(name) for name in ("llm", "fusion", "layers")}
        if context.merged is not None and Path(context.merged) == folder.resolve().parent:
            of_model["merged"] = os.pardir
        _write_meta(context, part, of_model)


@contextmanager
def _written(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``folder`` if the block succeeds.

    Raises:
        RunError: ``folder`` cannot be written, or holds something else.
    """
    try:
        _refuse_others_files(folder)
        with replaced_folder(folder) as part:
            yield part
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror}; choose another folder") from error


def _write_context(context: Context, part: Path) -> None:
    """Write all that a ranker needs beside its model."""
    save_kg(context.data, part / KG)
    context.retriever.save(part / RETRIEVER)
    _write_index(context, part / RETRIEVER / INDEX)
    context.catalogue.save(part / CATALOGUE)
    context.users.save(part / USERS)
    context.dropped.save(part / DROPPED)
    if context.requests is not None:
        context.requests.save(part / REQUESTS)
    if context.known is not None:
        context.known.save(part / DATA)
    if context.figures is not None:
        write_json(part / FIGURES, context.figures)
    (part / CONFIG).write_text(to_yaml(context.config), encoding="utf-8")


def _write_index(context: Context, folder: Path) -> None:
    """Write the index that the ranker serves with; what proposes by all scores, such as training, goes on so."""
    config, index = context.config, context.retriever.index
    if not isinstance(index, ItemIndex):
        index = build_index(context.retriever, config.serving.index, config.seed)
    if index is not None:
        write_index(index, folder)


def _write_meta(context: Context, part: Path, of_model: dict[str, Any]) -> None:
    """Write the ranker's description."""
    meta = {
        "format": FORMAT,
        "lkgrag": __version__,
        "merged": context.merged,
        "fitted": None if context.fitted is None else context.fitted.to_dict(),
        "learned": list(context.learned),
        "metapaths": [[list(edge) for edge in m] for m in context.graph.metapaths],
        **of_model,
    }
    if context.updates:
        meta["updates"] = list(context.updates)
    if isinstance(context.users, WithheldUsers):
        meta["histories"] = False
    write_json(part / META, meta)
    # Only here: loading does not wait for the client of the Hub and for figures of evaluation.
    from lkgrag.serving.card import model_card

    (part / CARD).write_text(model_card(context, part), encoding="utf-8")
    # Last, when all other files are there.
    seal(part)


def seal(part: Path, beside: Iterable[str] = ()) -> None:
    """Write ``done.json`` with the sums of a ranker's files but the card, which people edit.

    Args:
        part: folder of the ranker.
        beside: paths of other files that it reads, relative to it.
    """
    write_done(part, files=[*(name for name in walk(part) if name != CARD), *beside])


def _refuse_others_files(folder: Path) -> None:
    """Refuse to replace a folder with files but no ranker.

    Raises:
        RunError: naming the folder and a file in it.
        OSError: it is no folder, or cannot be read.
    """
    other = find_foreign_entry(folder, lambda f: (f / META).exists())
    if other is not None:
        raise RunError(f"{folder} holds {other} and no ranker; choose another folder")


def load(
    folder: Path, device: torch.device | str | None = None, lm: str | None = None
) -> tuple[RankerModel, Context]:
    """Read a ranker; its scores are bit-equal to those of the saved one.

    A language model without a weight is left out: it costs seconds to load and to ask, and changes no ranking.

    Args:
        folder: written by :func:`save`, or a run or an export that holds such a folder as ``ranker``.
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


def find_ranker(folder: Path) -> Path:
    """The folder of a saved ranker, or that of a run or an export that holds one.

    A ranker that was about to be replaced when its process was killed is put back.
    """
    for place in (folder, folder / RANKER):
        # A folder that cannot be written is read as it is.
        with suppress(OSError):
            restore_folder(place)
        if (place / META).is_file():
            return place
    return folder


def check_files(folder: Path) -> None:
    """Compare a saved ranker's files with the sums that it was saved with; older rankers have none.

    The language model's files are left to :func:`_check_beside`, because they are large, and not always read. The index has
    a sum of its own, and is built anew if it is damaged.

    Raises:
        RunError: a file is missing or damaged; the message names it.
    """
    if damage := find_damage(folder, lambda name: not (_is_of_lm(name) or _is_of_index(name))):
        raise RunError(f"{damage}; {REPAIR}")
    if extra := [name for name in find_extra(folder) if name != CARD]:
        log.warning(
            "%s: holds %s, which was not saved with the ranker", folder, ", ".join(extra[:3])
        )


def _is_of_lm(name: str) -> bool:
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
        damage = pool.submit(find_damage, folder, _is_of_lm)
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
