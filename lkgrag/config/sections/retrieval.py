"""Options of stage one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lkgrag.config.sections.option import opt

#: Words of ``retrieval.crossfit``.
CROSSFIT = ("windows", "users", "none")
#: Folds where ``retrieval.crossfit_folds`` names no number.
DEFAULT_FOLDS = {"windows": 2, "users": 4, "none": 2}


@dataclass
class RetrievalConfig:
    """Stage one: LRURec, counts, the graph, and their fusion."""

    k: int = opt(20, "candidates of a prompt", low=1)
    mask_seen: bool = opt(True, "never propose an item of the visible history")
    systems: list[str] | None = opt(
        None,
        "retrievers to fuse: lrurec, popularity, itemitem, graph_itemitem, ease, text, and custom ones as "
        "`package.module:Class` (default: all six, with ease only for up to 5,000 items, of the at most 20,000 "
        "that it takes, and text only where items have texts)",
    )
    kwargs: dict[str, dict[str, Any]] = opt(
        {}, "options of custom retrievers, as {name: {option: value}}"
    )
    hidden: int = opt(64, "LRURec: width", low=1)
    blocks: int = opt(2, "LRURec: number of blocks", low=1)
    dropout: float = opt(0.4, "LRURec: dropout", low=0, high=0.99)
    max_len: int = opt(100, "LRURec: longest window of a history, in items", low=1)
    lr: float = opt(3e-3, "LRURec: largest learning rate", low=0)
    weight_decay: float = opt(0.01, "LRURec: weight decay (not on the recurrence)", low=0)
    batch_size: int = opt(24, "LRURec: windows of a batch", low=1)
    sampled: int = opt(
        -1,
        "LRURec: number of random items that the labels of a step compete with (0: all items; -1: all items "
        "up to 50,000, beyond that 8,192)",
        low=-1,
    )
    epochs: int = opt(
        12, "LRURec: largest number of epochs; the learning rate falls over all of them", low=0
    )
    # The last epochs, with the lowest rates, are the best. Stopping before them costs more than it saves.
    patience: int = opt(
        12, "LRURec: epochs without a better validation NDCG@10 before training stops", low=0
    )
    # A constant is all that the events of training can't teach: no target among them is new.
    new_items: float = opt(
        0.0,
        "added to the fused score of items without training interactions, in nats; more than 0 brings new items "
        "into the lists, and costs known ones",
        low=-100,
        high=100,
    )
    decay: float = opt(
        0.8, "counts: weight of a history item is decay ** (its age in items)", low=0, high=1
    )
    crossfit_window: int = opt(
        10,
        "stage two is trained on this many last training interactions of a user; they are held back from "
        "the stage one that proposes their candidates",
        low=0,
    )
    crossfit_users: float = opt(1.0, "share of the users with such a window", low=0, high=1)
    crossfit_folds: int | None = opt(
        None,
        "folds of the users; each costs one more fit of stage one, which then misses the windows, or all "
        "interactions, of one fold only (default: 2 with windows; 4 with retrieval.crossfit=users, which "
        "needs at least 2)",
        low=1,
    )
    crossfit_lists: int = opt(
        10000,
        "retrieval.crossfit=users: most lists with their target that stage two is trained on; a user with "
        "many positions gives up some first",
        low=1,
    )
    crossfit: str = opt(
        "windows",
        "what the stage one behind stage two's training lists has not seen: the last training interactions "
        "of their users (windows); all interactions of their users, with lists at every training position "
        "from the second on (users); or nothing, for comparison only: it has seen the answers (none)",
        CROSSFIT,
    )
