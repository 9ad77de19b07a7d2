"""What a run prints: its stages, the tables of systems, the explained users."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lkgrag.config import NO_LLM
from lkgrag.evaluation import Difference, difference_line, show
from lkgrag.evaluation.protocol import systems_of
from lkgrag.evaluation.summary import (
    coverage_sentence,
    formula,
    marginal_sentence,
    text_sentence,
    verdict,
)
from lkgrag.evaluation.tables import choose_columns, faithful_line
from lkgrag.kg import kg_table
from lkgrag.serving.recommendation import Recommendation
from lkgrag.training.stopping import HELD_OUT
from lkgrag.utils import console as terminal
from lkgrag.utils.console import console
from lkgrag.utils.layout import PAGE
from lkgrag.utils.progress import rename_activity
from lkgrag.utils.text import print_wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch_geometric.data import HeteroData

    from lkgrag.data import Queries
    from lkgrag.data.dataset import Dataset
    from lkgrag.paths import GraphPaths
    from lkgrag.retrieval import StageOne
    from lkgrag.training.pretraining import Pretraining

log = logging.getLogger(__name__)

#: Columns that the lines below a stage's title are indented by.
INDENT = 3
#: Seconds from which on a run's time is told in minutes.
LONG = 100
#: Examples whose paths are counted for the display.
SAMPLE = 64


class StageDisplay:
    """Prints and logs the result of each stage; only the first process prints.

    Args:
        is_main: whether this is the first of the run's processes.
    """

    def __init__(self, is_main: bool) -> None:
        # ``--quiet`` is set after the import of this module, so the module is asked for it here.
        self.is_printing = is_main and not terminal.quiet
        self.number = 0

    def start(self, title: str) -> None:
        """Announce a stage."""
        self.number += 1
        log.info("stage %d: %s", self.number, title)
        if self.is_printing:
            console.print(f"[bold]{self.number}. {title}[/]")
        rename_activity(title.partition(":")[0])

    def say(self, text: str) -> None:
        """Print a line below the stage's title; a long line is wrapped."""
        log.info("%s", text)
        if self.is_printing:
            print_wrapped(console, INDENT, Text(text))

    def show_interactions(self, dataset: Dataset) -> None:
        """Counts of users, items and interactions, and of ties in time."""
        stats, split = dataset.interactions.stats, dataset.split
        self.say(
            f"{stats['users']:,} users, {stats['items']:,} items, {stats['interactions']:,} interactions "
            f"(of {stats['raw_interactions']:,} read)"
        )
        self.say(
            f"train {int(split.train_end.sum()):,}, validation {len(split.val):,}, "
            f"test {len(split.test):,}"
        )
        if stats["tied_last_two"] is None:
            self.say("no times: the order is the file's")
        else:
            self.say(
                f"ties in time: {stats['tied_interactions']:.1%} of the interactions; the tie rule "
                f"picks the test item of {stats['tied_last_two']:.1%} of the users"
            )
        for note in stats.get("notes", []):
            self.say(note)
        if not dataset.interactions.dated:
            self.say(
                "the times are positions in each user's history, no dates: items chosen on the same day "
                "keep the file's order"
            )

    def show_graph(self, data: HeteroData) -> None:
        """Node and edge types with their counts."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("node or edge type")
        table.add_column("count", justify="right")
        table.add_column("")
        for row in kg_table(data):
            log.info("%s %s: %d", row.kind, row.name, row.count)
            if row.kind in ("node", "edge"):
                table.add_row(row.name, f"{row.count:,}", row.words)
        if self.is_printing:
            console.print(Padding(table, (0, 0, 0, INDENT)))
        if data.get("left_out"):
            counts = ", ".join(f"{name} {number:,}" for name, number in data.left_out.items())
            self.say(f"left out, because they lead out of the data: {counts}")

    def show_retrieval(self, stage_one: StageOne, k: int) -> None:
        """Recall of the candidates and the weights of the fusion.

        Args:
            stage_one: the candidates of all events.
            k: candidates a list.
        """
        for name, lists in (("validation", stage_one.val), ("test", stage_one.test)):
            share = float(lists.retrieved.mean()) if len(lists) else 0.0
            self.say(f"{name}: {share:.1%} of the targets are among the {k} candidates")
        fusion = stage_one.report["fusion"]
        self.say("fusion: " + ", ".join(f"{n} {_format_weight(w)}" for n, w in fusion.items()))
        by_count = stage_one.report.get("fusion_corners")
        if by_count:
            self.say(_describe_corners(by_count))
        if len(stage_one.examples):
            self.say(
                f"cross-fitted lists for stage two: {int(stage_one.examples.retrieved.sum()):,} of "
                f"{len(stage_one.examples):,} hold their target"
            )

    def show_scorer(self, graph: GraphPaths, examples: Queries, pretraining: Pretraining) -> None:
        """Paths a prompt, and the losses of the scorer's training."""
        if graph.metapaths:
            self.say(f"{len(graph.metapaths)} meta-paths")
        if len(examples):
            sample = graph(examples[np.arange(min(SAMPLE, len(examples)))])
            self.say(f"{len(sample) / sample.num_prompts:.0f} path instances a prompt")
        if pretraining.curve:
            row = _restore_nan(pretraining.curve[pretraining.best_epoch])
            self.say(
                f"scorer trained alone: epoch {pretraining.best_epoch} of {len(pretraining.curve) - 1}; on held-out "
                f"users cross-entropy {row['held']:.3f} with the prior, {row['held_prior']:.3f} prior "
                f"alone, {row['held_scorer']:.3f} scorer alone"
            )

    def show_training(self, curve: list[dict[str, float]], examples: Queries, prompts: int) -> None:
        """Mean losses of the last tenth of the steps, and the loss of equal chances.

        Args:
            curve: a row a step.
            examples: the lists that could be learned from.
            prompts: prompts that were learned from.
        """
        if not curve:
            return
        tail = curve[-max(1, len(curve) // 10) :]
        mean = {k: float(np.mean([r[k] for r in tail])) for k in ("loss", "loss_lm", "loss_scorer")}
        chance = np.log((examples.candidate_items >= 0).sum(1)).mean()
        self.say(f"{prompts:,} prompts of {len(examples):,} lists in {len(curve)} steps")
        held_out = [row[HELD_OUT] for row in curve if HELD_OUT in row]
        if held_out:
            best = int(np.argmin(held_out))
            self.say(
                f"fused cross-entropy on held-out users {held_out[best]:.3f}, at look {best + 1} of {len(held_out)}"
            )
        self.say(
            f"cross-entropy: fused {mean['loss']:.3f}, LM alone {mean['loss_lm']:.3f}, "
            f"scorer alone {mean['loss_scorer']:.3f} (last tenth; chance {chance:.3f})"
        )


def _describe_corners(by_count: dict[str, Any]) -> str:
    """The weights for rare and for common items, each the mean of short and long histories."""
    rare, common = (round(count) for count in by_count["count"])
    parts = [
        f"{name} {_format_weight(np.mean(low))} to {_format_weight(np.mean(high))}"
        for name, (low, high) in by_count["corners"].items()
        if np.any([low, high])
    ]
    return f"from items chosen {rare} times to {common} times: " + ", ".join(parts)


def _format_weight(weight: float) -> str:
    """Two decimals; one digit of a small weight, which is not 0: a system with large scores has one."""
    return f"{weight:.2f}" if weight == 0 or weight >= 0.01 else f"{weight:.1g}"


def _restore_nan(value: Any) -> Any:
    """Plain values with NaN for each null: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _restore_nan(v) for key, v in value.items()}
    return np.nan if value is None else value


def print_tables(
    metrics: dict[str, Any],
    differences: list[tuple[str, str, str, str, str, Difference]],
    ks: Sequence[int] = (),
) -> None:
    """Print the tables of both splits, each with its differences below it.

    Args:
        metrics: figures by system; other keys are ignored.
        differences: as of :meth:`lkgrag.evaluation.result.Evaluation.differences`.
        ks: ``evaluation.ks``.
    """
    systems = _restore_nan(systems_of(metrics))
    for split in ("val", "test"):
        lines = [
            difference_line(system, other, metric, population, difference)
            for of_split, system, other, metric, population, difference in differences
            if of_split == split
        ]
        show(console, systems, split, lines, choose_columns(ks))


def print_results(
    metrics: dict[str, Any],
    explained: list[dict[str, Any]],
    folder: Path | None,
    ks: Sequence[int] = (),
) -> None:
    """Print the results of a run that has just finished, or had finished before.

    Args:
        metrics: content of ``metrics.json``.
        explained: content of ``explanations.json``.
        folder: of the run; None if it will not stay.
        ks: ``evaluation.ks``.
    """
    for recommendation in explained:
        Recommendation.from_dict(recommendation).show(console)
    if metrics.get("faithfulness"):
        console.print()
        print_wrapped(console, 0, Text(faithful_line(metrics["faithfulness"])))
    console.print()
    show(console, _restore_nan(systems_of(metrics)), "test", [], choose_columns(ks))
    coverage = coverage_sentence(metrics)
    if coverage:
        print_wrapped(console, 0, Text(coverage, style="dim"))
    console.print()
    for sentence in (text_sentence(metrics), marginal_sentence(metrics), verdict(metrics)):
        if sentence:
            print_wrapped(console, 0, Text(sentence))
    if not terminal.quiet:
        _print_summary(metrics, folder)


def _print_summary(metrics: dict[str, Any], folder: Path | None) -> None:
    """Print how the run ranks, how long it took, where to look, and what to try next."""
    tokens, score = metrics["tokens_per_prompt"], formula(metrics)
    seconds = metrics["seconds"]["total"]
    took = f"{seconds / 60:.1f} minutes" if seconds >= LONG else f"{seconds:.0f} seconds"
    console.print(
        (f"score = {score}; " if score else "")
        + (f"{tokens:.0f} tokens a prompt; " if tokens else "")
        + f"{took}, seed {metrics['seed']}"
    )
    if folder is None:
        return
    page = folder / PAGE
    console.print()
    lines = {"look at": str(page if page.exists() else folder), **_advise(metrics, folder)}
    for what, line in lines.items():
        console.print(f"{what:<9}{line}", soft_wrap=True, markup=False)


def _advise(metrics: dict[str, Any], folder: Path) -> dict[str, str]:
    """What to try next: a command, and a change of the run's own command, which has options that are not known here."""
    if metrics.get("llm") == NO_LLM:
        change = "llm.name=smollm2-135m: a language model beside it"
    elif metrics.get("fusion", {}).get("lm") == 0:
        change = "llm.name=none: the same ranking in less time"
    else:
        change = "training.max_examples=2000: more prompts to learn from"
    return {
        "try next": f"python -m lkgrag.recommend run={folder} users=all k=5 | less",
        "or": f"the same command with {change}",
    }
