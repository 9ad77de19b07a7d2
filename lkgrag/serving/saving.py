"""A saved ranker: one folder of safetensors, Parquet and JSON that serves anyone, nothing pickled."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lkgrag import __version__
from lkgrag.errors import RunError
from lkgrag.serving.catalogue import Catalogue
from lkgrag.serving.users import Users
from lkgrag.utils.files import not_ours, read_json, read_safetensors, write_json, write_safetensors

if TYPE_CHECKING:
    import torch

    from lkgrag.ranker.model import Ranker

FORMAT = 1
META, CONFIG, SCORER, TABLES = (
    "ranker.json",
    "config.yaml",
    "scorer.safetensors",
    "tables.safetensors",
)
NAME = "ranker"
ADAPTER, KG, RETRIEVER = "adapter", "kg", "retriever"
CATALOGUE, USERS = "catalogue.parquet", "users.parquet"


def save(ranker: Ranker, folder: Path) -> None:
    """Write a ranker with its context; ``folder`` appears whole or not at all.

    Args:
        ranker: with the context of its run.
        folder: new, empty, or one that holds a ranker, which is replaced.

    Raises:
        ValueError: the ranker has no context.
        LkgragError: the folder cannot be written, or holds anything else.
    """
    from lkgrag.config.identity import to_yaml
    from lkgrag.kg import save_kg
    from lkgrag.scorer.state import save_scorer
    from lkgrag.serving.context import context_of

    context = context_of(ranker)
    part, old = (folder.with_name(f".{folder.name}.{word}") for word in ("part", "old"))
    try:
        _refuse_others_files(folder)
        # A process that was killed here may have left them, the old one as the only one.
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)
        part.mkdir(parents=True)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror}; choose another folder") from error
    save_scorer(part / SCORER, ranker.scorer)
    if ranker.lm is not None and ranker.prompter is not None:
        ranker.lm.save(part if context.merged else part / ADAPTER)
        write_safetensors(part / TABLES, ranker.prompter.tables())
    save_kg(context.data, part / KG)
    context.retriever.save(part / RETRIEVER)
    context.catalogue.save(part / CATALOGUE)
    context.users.save(part / USERS)
    (part / CONFIG).write_text(to_yaml(context.config), encoding="utf-8")
    write_json(
        part / META,
        {
            "format": FORMAT,
            "lkgrag": __version__,
            "llm": context.config.llm.name if ranker.lm is not None else None,
            "merged": context.merged,
            "fusion": {"a": ranker.fusion.a.item(), "b": ranker.fusion.b.item()},
            "learned": list(ranker.learned),
            "metapaths": [[list(edge) for edge in m] for m in context.finder.metapaths],
        },
    )
    if folder.exists():
        os.replace(folder, old)
    os.replace(part, folder)
    shutil.rmtree(old, ignore_errors=True)


def _refuse_others_files(folder: Path) -> None:
    """Refuse to replace what is no ranker.

    Raises:
        RunError: naming the folder.
        OSError: it is no folder, or cannot be read.
    """
    found = not_ours(folder, lambda f: (f / META).exists())
    if found is not None:
        raise RunError(f"{folder} holds {found} and no ranker; choose another folder")


def load(folder: Path, device: torch.device | str | None = None) -> Ranker:
    """Read a ranker; its scores are bit-equal to those of the one that was saved.

    Args:
        folder: written by :func:`save`, or one that holds it as ``ranker`` (a run, an export).
        device: a GPU if there is one by default.

    Raises:
        RunError: not a saved ranker, or of a newer format.
        LkgragError: a file is missing or broken.
    """
    from lkgrag.config.loading import load_config
    from lkgrag.kg import load_kg
    from lkgrag.paths import path_finder
    from lkgrag.ranker.fusion import Fusion
    from lkgrag.ranker.model import Ranker
    from lkgrag.retrieval import FusedRetriever
    from lkgrag.run.ranker_stages import new_scorer
    from lkgrag.scorer.state import load_scorer
    from lkgrag.serving.context import Context
    from lkgrag.utils.device import device as best_device

    if not (folder / META).is_file() and (folder / NAME / META).is_file():
        folder = folder / NAME
    meta = _meta(folder)
    config = load_config({"config": str(folder / CONFIG)})
    place = best_device(device)
    data = load_kg(folder / KG)
    finder = path_finder(data, config.paths)
    metapaths = [tuple(tuple(edge) for edge in m) for m in meta["metapaths"]]
    if list(finder.metapaths) != metapaths:
        raise RunError(f"{folder}: its graph and its meta-paths differ; train it again")
    scorer = new_scorer(config, data, finder)
    load_scorer(folder / SCORER, scorer)
    fusion = Fusion(meta["fusion"]["a"], meta["fusion"]["b"], config.training.fuse)
    lm = prompter = None
    merged: str | None = meta.get("merged")
    if meta["llm"] is not None:
        from lkgrag.llm import LMScorer, load_llm
        from lkgrag.prompt import build_prompter

        if merged is not None:
            config.llm.name, config.llm.quantization = str((folder / merged).resolve()), "none"
        model, tokenizer = load_llm(config.llm, place)
        lm = LMScorer(model, config.llm, config.seed, adapter=merged is None)
        lm.load(folder / ADAPTER if merged is None else folder)
        prompter = build_prompter(tokenizer, data, config.prompt, lm.readout.layout)
        prompter.load_tables(read_safetensors(folder / TABLES))
    ranker = Ranker(lm, scorer.to(place), prompter, fusion.to(place))
    ranker.learned = (float(meta["learned"][0]), float(meta["learned"][1]))
    ranker.context = Context(
        data=data,
        finder=finder,
        retriever=FusedRetriever.load(folder / RETRIEVER),
        catalogue=Catalogue.load(folder / CATALOGUE),
        config=config,
        users=Users(folder / USERS),
        merged=None if merged is None else config.llm.name,
    )
    return ranker.eval()


def _meta(folder: Path) -> dict[str, Any]:
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
