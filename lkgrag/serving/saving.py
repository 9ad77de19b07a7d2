"""A saved ranker: one folder of safetensors, Parquet and JSON files, none of them pickled."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lkgrag import __version__
from lkgrag.config.identity import to_yaml
from lkgrag.errors import RunError
from lkgrag.kg import save_kg
from lkgrag.llm.lora import decoder_layers, name_base
from lkgrag.ranker.model import RankerModel
from lkgrag.retrieval.index.choice import build_index
from lkgrag.retrieval.index.files import write_index
from lkgrag.retrieval.index.item_index import ItemIndex
from lkgrag.scorer.state import save_scorer
from lkgrag.serving.card import BASES
from lkgrag.serving.context import Context
from lkgrag.serving.loading import FORMAT, REPAIR, is_of_lm
from lkgrag.serving.withheld import WithheldUsers
from lkgrag.utils.files import find_foreign_entry, read_json, write_json, write_safetensors
from lkgrag.utils.folders import replaced_folder
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
    REQUESTS,
    RETRIEVER,
    SCORER,
    TABLES,
    USERS,
)
from lkgrag.utils.sums import find_damage, walk, write_done

if TYPE_CHECKING:
    from lkgrag.scorer import PathScorer

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
            base = context.config.llm.name
            name_base(part / ADAPTER, BASES.get(base, base))
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
    if damage := find_damage(source, is_of_lm):
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
