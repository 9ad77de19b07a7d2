"""Whether a retriever proposes by an index, and by which kind."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.config.schema import INDEXES
from lkgrag.errors import ConfigError, LkgragError, nearest
from lkgrag.retrieval.index.files import read_index
from lkgrag.retrieval.index.item_index import ItemIndex
from lkgrag.retrieval.index.library import MISSING, is_installed
from lkgrag.retrieval.index.systems import unfit_system
from lkgrag.utils.progress import activity

if TYPE_CHECKING:
    from lkgrag.retrieval.fusion.retriever import FusedRetriever

log = logging.getLogger(__name__)

#: The option.
OPTION = "serving.index"
#: Items from which on ``auto`` takes an index, and its kind: it finds more, faster and in less memory than a graph.
FROM, BEST = 50_000, "ivfpq"


def check_index(name: str) -> None:
    """Refuse a word of ``serving.index`` that is none, or a kind whose library is not installed.

    Raises:
        ConfigError: naming the option.
    """
    if name not in INDEXES:
        raise ConfigError(
            f"{OPTION}={name!r} is none of {', '.join(INDEXES)}.{nearest(str(name), INDEXES)}"
        )
    if name in ("hnsw", "ivfpq") and not is_installed():
        raise ConfigError(MISSING.format(kind=name))


def choose_kind(retriever: FusedRetriever, name: str) -> str | None:
    """The kind of index for a retriever; None to score every item. A warning says why there is none.

    Args:
        retriever: of the ranker.
        name: ``auto``, ``exact``, ``hnsw`` or ``ivfpq``.
    """
    is_small = retriever.num_items < FROM
    if name == "exact" or (name == "auto" and is_small):
        return None
    if (unfit := unfit_system(retriever)) is not None:
        log.warning(
            "%s=%s: the retriever %s scores every item, so there is no index; leave it out of retrieval.systems",
            OPTION,
            name,
            unfit,
        )
        return None
    if not is_installed():
        log.warning("%s; every item is scored", MISSING.format(kind=name))
        return None
    return BEST if name == "auto" else name


def build_index(retriever: FusedRetriever, name: str, seed: int) -> ItemIndex | None:
    """Build the index that an option asks for; None to score every item.

    Args:
        retriever: of the ranker.
        name: as of :func:`choose_kind`.
        seed: of the run.
    """
    kind = choose_kind(retriever, name)
    if kind is None:
        return None
    with activity(f"index {retriever.num_items:,} items"):
        return ItemIndex.build(retriever, kind, seed)


def with_chosen_index(
    retriever: FusedRetriever, name: str, seed: int, folder: Path | None = None
) -> FusedRetriever:
    """The retriever as it serves: with the index that an option asks for.

    Args:
        retriever: of the ranker.
        name: as of :func:`choose_kind`.
        seed: of the run.
        folder: where the index was saved, if it was. One that does not fit is built anew.
    """
    kind = choose_kind(retriever, name)
    if kind is None:
        return retriever.with_index(None)
    if folder is not None and folder.is_dir():
        try:
            found = read_index(folder, retriever, kind, seed)
        except LkgragError as error:
            log.warning("%s; the index is built anew", error)
        else:
            if found is not None:
                return retriever.with_index(found)
    return retriever.with_index(build_index(retriever, kind, seed))
