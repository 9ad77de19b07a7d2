"""Record a finished run as a result, and put its table and its times into the pages.

``python -m benchmarks.record RUN NAME ["COMMAND" ["NOTE"]]`` writes ``benchmarks/results/NAME.json``. It replaces
what stands between the markers ``<!-- NAME -->`` and ``<!-- /NAME -->`` of a page of the docs, if one has them.
The name ``default-ml-100k`` also keeps one explained ranking of the run, for README's picture.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks import readme
from benchmarks.common import RESULTS, ROOT, interval, put
from lkgrag.evaluation.metrics import HEADLINE, metric_label
from lkgrag.evaluation.protocol import systems_of
from lkgrag.evaluation.tables import four_digits
from lkgrag.run.provenance import hardware
from lkgrag.utils.files import read_json, write_json

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
            f"{interval(d)}"
        )
    # Records of older versions do not have it.
    for d in result.get("marginal") or []:
        lines.append(
            f"- {d['split']}, {d['population']}: language model over scorer + prior, {metric_label(d['metric'])}: "
            f"{interval(d)}"
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


def main() -> int:
    """Entry point."""
    if not 3 <= len(sys.argv) <= 5:
        print(__doc__)
        return 2
    run, name = Path(sys.argv[1]), sys.argv[2]
    command, note = [*sys.argv[3:], *(COMMAND, "")[len(sys.argv) - 3 :]]
    result = record(run, name, command, note)
    for page in sorted((ROOT / "docs").glob("*.md")):
        if f"<!-- {name} -->" in page.read_text(encoding="utf-8"):
            put(page, name, markdown(result))
    if name == readme.MAIN_RECORD:
        readme.keep_example(run)
    return readme.main()


if __name__ == "__main__":
    sys.exit(main())
