"""Parts of a model card: the protocol, the terms of data and models, and what a folder holds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lkgrag.data.assets import DATASETS, ENCODERS, MODELS
from lkgrag.serving.card_text import escape, table
from lkgrag.serving.withheld import USER, WithheldUsers
from lkgrag.utils.layout import (
    ADAPTER,
    CATALOGUE,
    CONFIG,
    DATA,
    DROPPED,
    FIGURES,
    KG,
    META,
    RANKER,
    REQUESTS,
    RETRIEVER,
    SCORER,
    TABLES,
    USERS,
)
from lkgrag.utils.sums import DONE

if TYPE_CHECKING:
    from pathlib import Path

    from lkgrag.config import Config, DataConfig
    from lkgrag.serving.context import Context

#: Terms of families of data sets whose names or readers tell them.
MOVIELENS = "MovieLens, GroupLens: research, no redistribution, cite Harper & Konstan 2015, commercial use by permission"
AMAZON = "Amazon product data (McAuley et al.): research, cite the papers"
SPLITS = {
    "leave_one_out": "Split: each user's last item tests, the one before it validates, all earlier ones train.",
    "rolling": "Split: each user's last {rolling} items test, as many before them validate, all earlier ones train.",
    "time": "Split by time: what is at or after `test_from` tests, what is between `val_from` and it validates; at "
    "most {rolling} events of a user count.",
}
TIES = {
    "hash": "by a seeded hash of the ids",
    "file": "by their order in the file",
    "id": "by item id",
}


def terms_of_data(config: DataConfig) -> str:
    """The terms of the data, where its name or its reader tells them."""
    asset = DATASETS.get(config.name)
    if asset is not None:
        return f"{escape(asset.about, long=True)}. Terms: {escape(asset.licence, long=True)}."
    name = config.name.lower()
    if config.reader.startswith("movielens") or re.match(r"ml-(\d+[km]|latest)", name):
        return f"Terms: {escape(MOVIELENS, long=True)}."
    if config.reader == "amazon" or name.startswith("amazon"):
        return f"Terms: {escape(AMAZON, long=True)}."
    return "Terms: unknown to lkgrag; whoever shares this ranker states them here."


def forbids_sharing(config: DataConfig) -> bool:
    """Whether the known terms of the data forbid to give it to others."""
    return "no redistribution" in terms_of_data(config)


def terms_of_model(name: str, what: str) -> str:
    """The terms of a language model or an encoder.

    Args:
        name: as the option names it.
        what: what of this ranker is derived from it.
    """
    asset = {**ENCODERS, **MODELS}.get(name)
    if asset is not None:
        return f"{escape(asset.about, long=True)}: {escape(asset.licence)}, also for {what}"
    return f"{escape(name.rstrip('/').rsplit('/', 1)[-1] if name.startswith(('/', '.', '~')) else name)}: its own licence, also for {what}"


def protocol(config: Config, counts: dict[str, Any]) -> list[str]:
    """How the figures were measured: split, candidates, masking, ties; one line each.

    Args:
        config: of the run.
        counts: of the data, as in ``metrics.json``; may be empty.
    """
    data, k = config.data, config.retrieval.k
    seen = "never proposes items of the visible history"
    lines = [
        SPLITS[data.split].format(rolling=data.rolling),
        f"Users have at least {data.min_user} interactions, items at least {data.min_item}. The graph, counts and all "
        "weights come from training interactions alone.",
        f"Candidates: the fused retriever ranks all items and proposes {k}; the ranker orders these, and a target "
        "outside them counts 0.",
        f"Masking: the retriever {seen if config.retrieval.mask_seen else 'may propose items of the visible history'}.",
    ]
    share = counts.get("tied_interactions")
    tied = f" ({100 * share:.0f} % of all)" if isinstance(share, float) else ""
    lines.append(f"Ties: interactions of one user at one time{tied} are ordered {TIES[data.ties]}.")
    return lines


def contents(context: Context, folder: Path, is_export: bool) -> list[str]:
    """What a folder holds, and whether people are in it.

    Args:
        context: of the ranker.
        folder: with the files.
        is_export: whether the merged language model lies there, and the ranker in a folder below.
    """
    withheld = isinstance(context.users, WithheldUsers)
    ranker = folder / RANKER if is_export else folder
    graph = "the knowledge graph" + (
        "" if withheld or not _has_users(context) else ", with users and their choices"
    )
    data = (
        "attributes of the items"
        if withheld
        else "**all interactions**, attributes of items and users"
    )
    known = {
        META: "description",
        CONFIG: "all options",
        CATALOGUE: "ids and titles of the items",
        USERS: "**ids and histories of all users**",
        DATA: data,
        KG: graph,
        RETRIEVER: "the retrievers: counts of items and of pairs of items over all users, learned weights",
        SCORER: "the path scorer",
        ADAPTER: "what was learned on the language model",
        "readout.safetensors": "the head of the language model",
        TABLES: "tables of the prompter",
        REQUESTS: "the model of requests in words",
        DROPPED: "items"
        + ("" if withheld else " and **users**")
        + " that had too few interactions",
        FIGURES: "figures of this card",
        DONE: "SHA-256 of all these files",
    }
    prefix = f"{RANKER}/" if is_export else ""
    rows = [
        [f"`{prefix}{name}{'/' if (ranker / name).is_dir() else ''}`", what]
        for name, what in known.items()
        if (ranker / name).exists() or name == DONE
    ]
    if is_export:
        rows.insert(
            0, ["`*.json`, `model*.safetensors`, `tokenizer*`", "the merged language model"]
        )
    if context.merged is None and context.config.llm.name != "none":
        rows.append(["not here", "the weights of the base language model"])
    return [table(["file", "content"], rows), _say_of_people(withheld)]


def _has_users(context: Context) -> bool:
    return USER in context.data.node_types


def _say_of_people(withheld: bool) -> str:
    if withheld:
        return (
            "**No histories.** Left out are users' ids, histories, ratings, times and attributes, the interactions, and "
            "the users of the graph, where one nameless node stands for all. It ranks for any raw history; users by id, and updates, need the original. "
            "Counts over all users are here, because the retrievers are made of them: how often an item was chosen, "
            "and how often two items were chosen by the same user, who may be one alone. No file is pickled."
        )
    return (
        "**With histories.** It holds who chose what and when. `save_pretrained(folder, histories=False)` and "
        "`push_to_hub` leave that out. No file is pickled."
    )
