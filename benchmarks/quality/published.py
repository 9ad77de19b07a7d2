"""Figures that the papers print, beside those of the stored results."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from benchmarks.quality.words import TITLES, WORDS
from benchmarks.tables import table
from lkgrag.evaluation import HEADLINE, metric_label
from lkgrag.evaluation.tables import four_digits

FILE = Path(__file__).parents[1] / "published.yaml"
#: Metrics of the papers' tables.
METRICS = ("mrr", "ndcg@5", HEADLINE, "recall@5", "recall@10", "recall@1")
#: Data sets of the papers, and the results that are shown beside each: what differs in them from the first.
BESIDE = {
    "ml-latest-small": {"ml-latest-small": ""},
    "amazon-beauty": {
        "amazon-beauty": "",
        "amazon-beauty-clean": "without the suspect relations",
    },
}
#: Methods and rows of README's table.
PAPERS = ("lkg-rag", "llamarec", "lrurec")
OURS = {"lrurec": "here: LRURec", "lkgrag": "here: **lkgrag**"}


@cache
def published() -> dict[str, dict[str, Any]]:
    """What the papers print, by method: its words, and by data set its metrics."""
    entries: Any = OmegaConf.to_container(OmegaConf.load(FILE))
    return dict(entries)


def figure(method: str, data: str, metric: str = HEADLINE) -> str:
    """A published figure with four digits; a dash where there is none."""
    return four_digits(published()[method].get(data, {}).get(metric))


def beside(results: dict[str, dict[str, Any]]) -> str:
    """README's table: published methods and ours, the headline metric and in brackets Recall@10."""
    rows = []
    for method in PAPERS:
        found = [published()[method].get(data) for data in BESIDE]
        rows.append([published()[method]["words"], *map(_both, found)])
    for row, words in OURS.items():
        rows.append([words, *(_both(_mean(results, data, row)) for data in BESIDE)])
    for data, others in BESIDE.items():
        for other, words in list(others.items())[1:]:
            cells = [_both(_mean(results, other, "lkgrag")) if d == data else "" for d in BESIDE]
            rows.append([f"{OURS['lkgrag']} {words}", *cells])
    head = f"{metric_label(HEADLINE)} ({metric_label('recall@10')}), all users"
    return table([head, *(TITLES[data].split(",")[0] for data in BESIDE)], rows)


def _mean(results: dict[str, dict[str, Any]], data: str, row: str) -> dict[str, float] | None:
    """A row's metrics, the mean over its seeds; None if the row is not made."""
    lines = results.get(data, {"rows": []})["rows"]
    return next((line["mean"] for line in lines if line["row"] == row), None)


def _both(metrics: dict[str, float] | None) -> str:
    """The headline metric, and in brackets Recall@10."""
    if metrics is None:
        return "–"
    return f"{four_digits(metrics[HEADLINE])} ({four_digits(metrics['recall@10'])})"


def in_full(data: str, results: dict[str, dict[str, Any]]) -> str:
    """All published figures of a data set, and below them ours."""
    rows = [
        [entry["words"], *(figure(method, data, metric) for metric in METRICS)]
        for method, entry in published().items()
        if data in entry
    ]
    for other, words in BESIDE[data].items():
        for row in ("lrurec", "retriever", "scorer", "lkgrag"):
            means = _mean(results, other, row)
            # The relations are none of LRURec's.
            if means is not None and not (words and row == "lrurec"):
                cells = (four_digits(means[metric]) for metric in METRICS)
                rows.append([f"here: {WORDS[row]}{words and f' ({words})'}", *cells])
    return table(["method", *map(metric_label, METRICS)], rows)
