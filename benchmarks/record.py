"""Record a finished run as a result, and put its table into README.

``python -m benchmarks.record RUN NAME ["COMMAND" ["NOTE"]]`` writes ``benchmarks/results/NAME.json`` and
replaces what stands between the markers ``<!-- NAME -->`` and ``<!-- /NAME -->`` of README.md or of a page of
the docs; a NAME that begins with ``default`` also replaces the example ranking of README.md.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from lkgrag.evaluation.metrics import HEADLINE, metric_label
from lkgrag.evaluation.protocol import systems_of
from lkgrag.evaluation.tables import four_digits
from lkgrag.run.provenance import hardware
from lkgrag.serving.recommendation import Recommendation
from lkgrag.utils.files import atomic, read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
COMMAND = "accelerate launch -m lkgrag.train"
COLUMNS = ("mrr", HEADLINE, "recall@1", "recall@10", "recall@20")


def record(run: Path, name: str, command: str, note: str = "") -> dict[str, Any]:
    """Write the result of a run, and return it.

    Args:
        run: its folder.
        name: of the result.
        command: that made the run.
        note: on its figures, for the table.
    """
    metrics = read_json(run / "metrics.json")
    result = {"command": command, "hardware": hardware(), "note": note, **metrics}
    write_json(RESULTS / f"{name}.json", result)
    return result


def probability(p: float) -> str:
    """A p value with three digits."""
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")


def markdown(result: dict[str, Any]) -> str:
    """The table of systems on test, with the differences and the cost below."""
    head = " | ".join(map(metric_label, COLUMNS))
    lines = [
        f"| system | {head} | {metric_label(HEADLINE)}, retrieved |",
        "|---|" + "---|" * (len(COLUMNS) + 1),
    ]
    for system, splits in systems_of(result).items():
        test = splits["test"]
        cells = [four_digits(test["all"][c]) for c in COLUMNS]
        cells.append(four_digits(test["retrieved"][HEADLINE]))
        lines.append(f"| {system} | {' | '.join(cells)} |")
    lines.append("")
    for d in result["differences"]:
        lines.append(
            f"- {d['split']}, {d['population']}: {d['system']} − {d['other']}, {metric_label(d['metric'])}: "
            f"{d['mean']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}], {probability(d['p'])}"
        )
    seconds = result["seconds"]
    prompts = result["tokens_per_prompt"]
    tokens = f", {prompts:.0f} tokens a prompt" if prompts else ", no language model"
    lines += [
        "",
        f"Seed {result['seed']}, {result['date']}, {result['hardware']['processor']} "
        f"({result['threads']} threads): {seconds['total'] / 60:.1f} minutes in all{tokens}. The visible "
        "history is masked; every ranking ends after 20 items; a missed target counts 0.",
    ]
    if result["note"]:
        lines[-1] += f" {result['note']}"
    return "\n".join(lines)


def example(run: Path) -> str:
    """The first explained user of a run, as the terminal shows it."""
    out = io.StringIO()
    ranking = Recommendation.from_dict(read_json(run / "explanations.json")[0])
    ranking.show(Console(file=out, width=80, highlight=False))
    return f"```text\n{out.getvalue().strip(chr(10))}\n```"


def put(readme: Path, name: str, text: str) -> None:
    """Replace what stands between a name's markers."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    page = readme.read_text(encoding="utf-8")
    if begin not in page or end not in page:
        raise SystemExit(f"{readme}: no markers {begin} and {end}")
    before, rest = page.split(begin, 1)
    after = rest.split(end, 1)[1]
    with atomic(readme) as tmp:
        tmp.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def main() -> int:
    """Entry point."""
    if not 3 <= len(sys.argv) <= 5:
        print(__doc__)
        return 2
    run, name = Path(sys.argv[1]), sys.argv[2]
    command, note = [*sys.argv[3:], *(COMMAND, "")[len(sys.argv) - 3 :]]
    result = record(run, name, command, note)
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    page = next((p for p in pages if f"<!-- {name} -->" in p.read_text(encoding="utf-8")), pages[0])
    put(page, name, markdown(result))
    if name.startswith("default"):
        put(ROOT / "README.md", "example", example(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
