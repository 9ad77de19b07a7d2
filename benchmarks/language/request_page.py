"""The table of docs/requests.md, and the target of requests in words."""

from __future__ import annotations

from typing import Any

from benchmarks.language.requests import BASE
from benchmarks.tables import table

#: Heads of the table's columns.
KINDS = {
    "category": "category",
    "brand": "brand",
    "title": "title words",
    "paraphrase": "other words",
    "paraphrase_unseen": "other words, unseen half",
}
#: Lines of the table.
SYSTEMS = {
    "history": "the history alone",
    "attribute_filter": "filter by category or brand, then the history",
    "bm25": "BM25 alone",
    "bm25_history": "BM25 and history",
    "tfidf_history": "TF-IDF and history",
    "words_tower": "retriever `text` (words) alone",
    "words_tower_history": "retriever `text` (words) and history",
    "encoder_cosine": "MiniLM's cosine alone",
    "encoder": "MiniLM by kinds alone",
    "encoder_history": "MiniLM by kinds and history",
    "words_history": "**lkgrag without an encoder**",
    "both_history": "**lkgrag with `minilm`**",
    "random_projection_history": "control: random vectors of words for MiniLM's",
    "permuted_texts_history": "control: texts of other items",
}


def page_table(rows: list[dict[str, Any]]) -> str:
    """The table of docs/requests.md: recall at 10, with its standard error in brackets, a line a system."""
    found = {(row["kind"], row["system"]): row for row in rows}
    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in rows)]
    lines = []
    for system, words in SYSTEMS.items():
        cells = [found.get((kind, system)) for kind in kinds]
        figures = [
            ""
            if c is None
            else f"{c['recall@10']:.3f} ({c['recall@10_se']:.3f})".replace("0.", ".")
            for c in cells
        ]
        if any(figures):
            lines.append([words, *figures])
    return table(["answered by", *(KINDS[kind] for kind in kinds)], lines)


def target_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Target L7: on paraphrases at least twice the recall of :data:`BASE`, and not below it on literal requests."""
    found = {(r["kind"], r["system"]): r for r in rows}
    ours, base = (found["paraphrase", n]["recall@10"] for n in ("both_history", BASE))
    literal = [found[kind, "both_history"] for kind in ("category", "brand", "title")]
    kept = all(r["recall@10_difference"] >= 0 for r in literal)
    value = ours / base
    return {
        "name": "L7",
        "value": value,
        "literal": min(r["recall@10"] / found[r["kind"], BASE]["recall@10"] for r in literal),
        "target": 2.0,
        "met": bool(value >= 2.0 and kept),
    }
