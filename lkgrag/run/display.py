"""What a run prints: a table a stage, the table of systems, explained users."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lkgrag.evaluation import Difference, difference_line, show
from lkgrag.evaluation.protocol import systems_of
from lkgrag.evaluation.tables import faithful_line
from lkgrag.kg import kg_table
from lkgrag.serving.recommendation import Recommendation
from lkgrag.utils import console as progress
from lkgrag.utils.console import console
from lkgrag.utils.layout import PAGE
from lkgrag.utils.text import print_wrapped

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.data import Queries
    from lkgrag.data.dataset import Dataset
    from lkgrag.paths import GraphPaths
    from lkgrag.retrieval import StageOne
    from lkgrag.training.pretraining import Pretraining

log = logging.getLogger(__name__)


class StageDisplay:
    """Tells what each stage gave; silent on all processes but the first."""

    def __init__(self, active: bool) -> None:
        self.active = active and not progress.quiet
        self.number = 0

    def start(self, title: str) -> None:
        """Announce a stage."""
        self.number += 1
        log.info("stage %d: %s", self.number, title)
        if self.active:
            console.print(f"[bold]{self.number}. {title}[/]")

    def say(self, text: str) -> None:
        """One line below a stage's title, wrapped where it is too long for the terminal."""
        log.info("%s", text)
        if self.active:
            print_wrapped(console, 3, Text(text))

    def interactions(self, dataset: Dataset) -> None:
        """Counts and ties."""
        s, split = dataset.interactions.stats, dataset.split
        self.say(
            f"{s['users']:,} users, {s['items']:,} items, {s['interactions']:,} interactions "
            f"(of {s['raw_interactions']:,} read)"
        )
        self.say(
            f"train {int(split.train_end.sum()):,}, validation {len(split.val):,}, "
            f"test {len(split.test):,}"
        )
        if s["tied_last_two"] is None:
            self.say("no times: the order is the file's")
        else:
            self.say(
                f"ties in time: {s['tied_interactions']:.1%} of the interactions; the tie rule "
                f"picks the test item of {s['tied_last_two']:.1%} of the users"
            )
        if not dataset.interactions.dated:
            self.say(
                "the times are positions in each user's history, no dates: what was chosen on one day "
                "stands in the file's order"
            )

    def graph(self, data: HeteroData) -> None:
        """Node and edge types with counts."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for head, justify in (("node or edge type", "left"), ("count", "right"), ("", "left")):
            table.add_column(head, justify=justify)  # type: ignore[arg-type]
        for row in kg_table(data):
            log.info("%s %s: %d", row.kind, row.name, row.count)
            if row.kind in ("node", "edge"):
                table.add_row(row.name, f"{row.count:,}", row.words)
        if self.active:
            console.print(Padding(table, (0, 0, 0, 3)))

    def retrieval(self, one: StageOne, dataset: Dataset, k: int) -> None:
        """Recall of the candidates and the weights of the fusion."""
        for name, lists in (("validation", one.val), ("test", one.test)):
            share = float(lists.retrieved.mean()) if len(lists) else 0.0
            self.say(f"{name}: {share:.1%} of the targets are among the {k} candidates")
        # That of a system of great scores is small, and not 0.
        weights = ", ".join(
            f"{n} {w:{'.2f' if w == 0 or w >= 0.01 else '.1g'}}"
            for n, w in one.report["fusion"].items()
        )
        self.say(f"fusion: {weights}")
        if len(one.examples):
            self.say(
                f"cross-fitted lists for stage two: {int(one.examples.retrieved.sum()):,} of "
                f"{len(one.examples):,} hold their target"
            )

    def scorer(self, graph: GraphPaths, examples: Queries, pretraining: Pretraining) -> None:
        """Paths a prompt and the scorer's training alone."""
        if graph.metapaths:
            self.say(f"{len(graph.metapaths)} meta-paths")
        if len(examples):
            sample = graph(examples[np.arange(min(64, len(examples)))])
            self.say(f"{len(sample) / sample.num_prompts:.0f} path instances a prompt")
        if pretraining.curve:
            row = _known(pretraining.curve[pretraining.best_epoch])
            self.say(
                f"scorer trained alone: epoch {pretraining.best_epoch} of {len(pretraining.curve) - 1}; on held-out "
                f"users cross-entropy {row['held']:.3f} with the prior, {row['held_prior']:.3f} prior "
                f"alone, {row['held_scorer']:.3f} scorer alone"
            )

    def training(self, curve: list[dict[str, float]], examples: Queries, prompts: int) -> None:
        """The last losses, beside that of an equal chance for every candidate."""
        if not curve:
            return
        tail = curve[-max(1, len(curve) // 10) :]
        mean = {k: float(np.mean([r[k] for r in tail])) for k in ("loss", "loss_lm", "loss_scorer")}
        chance = np.log((examples.candidate_items >= 0).sum(1)).mean()
        self.say(f"{prompts:,} prompts of {len(examples):,} lists in {len(curve)} steps")
        self.say(
            f"cross-entropy: fused {mean['loss']:.3f}, LM alone {mean['loss_lm']:.3f}, "
            f"scorer alone {mean['loss_scorer']:.3f} (last tenth; chance {chance:.3f})"
        )


def _known(value: Any) -> Any:
    """Figures as they were before JSON, which has no word for a figure that does not exist."""
    if isinstance(value, dict):
        return {key: _known(v) for key, v in value.items()}
    return np.nan if value is None else value


def table(
    metrics: dict[str, Any], differences: list[tuple[str, str, str, str, str, Difference]]
) -> None:
    """The tables of both splits with the differences below."""
    systems = _known(systems_of(metrics))
    for split in ("val", "test"):
        lines = [
            difference_line(system, other, metric, population, found)
            for s, system, other, metric, population, found in differences
            if s == split
        ]
        show(console, systems, split, lines)


def results(metrics: dict[str, Any], explained: list[dict[str, Any]], folder: Path) -> None:
    """The end of a run, also of one that was finished before."""
    names = ("split", "system", "other", "metric", "population")
    differences = [
        (
            *(str(d[n]) for n in names),
            Difference(**_known({k: v for k, v in d.items() if k not in names})),
        )
        for d in metrics["differences"]
    ]
    table(metrics, differences)  # type: ignore[arg-type]
    for value in explained:
        Recommendation.from_dict(value).show(console)
    if metrics.get("faithfulness"):
        console.print()
        print_wrapped(console, 0, Text(faithful_line(metrics["faithfulness"])))
    if progress.quiet:
        return
    tokens = metrics["tokens_per_prompt"]
    console.print()
    console.print(
        (f"{tokens:.0f} tokens a prompt, " if tokens else "")
        + f"{metrics['seconds']['total']:.0f} seconds, seed {metrics['seed']}"
    )
    page = folder / PAGE
    console.print(
        f"everything is in {folder}" + (f"; look at {page}" if page.exists() else ""),
        soft_wrap=True,
        markup=False,
    )
