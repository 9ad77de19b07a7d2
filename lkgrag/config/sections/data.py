"""Options of what a run reads: interactions, texts, and the knowledge graph."""

from __future__ import annotations

from dataclasses import dataclass

from lkgrag.config.sections.option import opt

#: The value of ``text.encoder`` for a run without vectors of the items' texts.
NO_ENCODER = "none"
#: The value of ``text.encoder`` that stands for the language model of ``llm.name``.
LM_ENCODER = "lm"


@dataclass
class DataConfig:
    """Which interactions a run uses, and how they become sequences."""

    name: str = opt("ml-100k", "data set: a built-in name or the file stem of a RecBole folder")
    root: str | None = opt(
        None,
        "folder of the raw files, or a table or ZIP archive (default: they are fetched to the cache)",
        path=True,
    )
    reader: str = opt(
        "auto",
        "layout of the files: auto, table, recbole, movielens, movielens-100k, movielens-dat, amazon, or a "
        "custom reader as package.module:Class",
    )
    separator: str = opt(
        "\t",
        "text between the columns of RecBole files, as `,` or `::`; `\\t` is a tab (of plain tables: line 1 tells, "
        "unless this is set to something else)",
    )
    seq_separator: str = opt(
        " ",
        "text between the values of a token_seq in RecBole files (of a cell in plain tables: `|`, unless this is set)",
    )
    columns: dict[str, str] = opt(
        {},
        "names of the columns in plain tables, in RecBole and Amazon files and in tables in memory, if they differ "
        "from the usual ones, as {user: uid, item: iid, rating: score, time: ts, title: name}; also entity, head, "
        "relation, tail; numbers where line 1 is no header, as {user: 1, item: 2}",
    )
    time_unit: str = opt(
        "s",
        "unit of times: s, ms, us or ns since 1970, date (as 2015-03-31T12:00), or any (numbers that grow "
        "with time)",
        ("s", "ms", "us", "ns", "date", "any"),
    )
    untitled: str = opt("keep", "what to do with items without a title", ("keep", "drop"))
    min_user: int = opt(5, "keep users with at least this many interactions (k-core)", low=1)
    min_item: int = opt(5, "keep items with at least this many interactions (k-core)", low=1)
    min_rating: float | None = opt(None, "drop interactions rated lower than this")
    duplicates: str = opt(
        "last",
        "which interaction to keep if a user has an item more than once: the first, the last, or all (keep); "
        "error refuses such data",
        ("error", "first", "last", "keep"),
    )
    ties: str = opt(
        "hash",
        "order of one user's interactions at the same time: by a seeded hash of the ids, which adds no "
        "pattern (hash), by their order in the file, or by item id",
        ("hash", "file", "id"),
    )
    tie_seed: int = opt(0, "seed of the hash for data.ties=hash")
    split: str = opt(
        "leave_one_out",
        "what tests and validates: each user's last item and the one before it (leave_one_out); the last "
        "`data.rolling` items and as many before them (rolling); or what comes after two points in time, "
        "`data.val_from` and `data.test_from` (time)",
        ("leave_one_out", "rolling", "time"),
    )
    rolling: int = opt(
        5,
        "largest number of events of a user for validation, and again for test, with data.split=rolling or "
        "time",
        low=1,
    )
    val_from: str | None = opt(
        None,
        "data.split=time: training ends before this point; a date as 2015-03-31, or a number in the data's "
        "unit (default: the latest ninth of what precedes data.test_from validates)",
    )
    test_from: str | None = opt(
        None,
        "data.split=time: what is at or after this point tests (default: the latest tenth tests)",
    )


@dataclass
class TextConfig:
    """Vectors of the items' texts: title and attributes."""

    encoder: str = opt(
        "none",
        "model that turns each item's text into a vector, `data['item'].x`: none, minilm (built-in), lm (the "
        "language model of llm.name, without its head), a local folder, or a hub name as owner/name",
    )
    layer: int = opt(
        -1,
        "number of the encoder's lower layers; the output of the last of them is averaged over the text's tokens "
        "(0: all; -1: 20 of smollm2-135m's 30, and all of any other model)",
        low=-1,
    )


@dataclass
class KGConfig:
    """The heterogeneous knowledge graph."""

    relations: list[str] | None = opt(None, "keep only these relations (default: all)")
    exclude: list[str] = opt([], "drop these relations")
    users: bool = opt(True, "add user nodes, their attributes and `rated` edges (training only)")
    combine: bool = opt(
        False,
        "one node for each combination of an item's genres, and of its categories, as published, "
        "instead of one for each value",
    )
    behaviour: bool = opt(
        True, "add the relations `followed_by` and `co_rated`, counted on training data"
    )
    follow_window: int = opt(
        3, "`followed_by` joins an item with this many next items of the same user", low=1
    )
    co_rated_top: int = opt(
        20, "`co_rated` keeps this many of the strongest partners of each item", low=1
    )
    behaviour_min: int = opt(2, "behaviour edges need at least this many users", low=1)
    similar_titles: int = opt(
        10,
        "`similar_title` joins each item with this many items whose titles are most alike (0: none)",
        low=0,
    )
    temporal: bool = opt(
        False, "use only edges that were known strictly before the prediction's time"
    )
