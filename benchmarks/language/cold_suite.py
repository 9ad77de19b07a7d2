"""The suite ``cold``: its parts, each made once and kept below a folder, so that a run goes on where it stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.common import data_roots, save, say, stored
from benchmarks.language.setting import configuration, encoder_of, stages_of, text_vectors
from lkgrag.utils.files import read_json, write_json

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

#: The parts, in the order of the run.
PARTS = (
    "new-items",
    "reranker",
    "mixed",
    "relations-ml-100k",
    "relations-amazon-beauty",
    "transfer",
)
#: The language model that reads the texts of new items.
READER = "smollm2-135m"
#: The data set of the parts on new items: the largest whose items have texts that say much.
DATA = "amazon-beauty"


def measure(part: str, roots: dict[str, str], root: Path, seed: int = 0) -> dict[str, Any]:
    """One part, from the folder if it is there.

    Args:
        part: of :data:`PARTS`.
        roots: folders of data sets, by name.
        root: where stages, evidence and finished parts are kept.
        seed: of everything.

    Returns:
        Plain values, as they stand in ``results/cold.json``.
    """
    file = root / f"{part}-{seed}.json"
    if not file.exists():
        say(f"{part}: measured")
        if part.startswith("relations-"):
            result = _relations(part.removeprefix("relations-"), roots, root, seed)
        elif part == "transfer":
            # Only here: the other parts need none of it.
            from benchmarks.language.transfer import measure as transfer

            result = transfer(roots, root / "cache", seed, say)
        else:
            result = _new_items(part, roots, root, seed)
        write_json(file, result)
    return dict(read_json(file))


def _new_items(part: str, roots: dict[str, str], root: Path, seed: int) -> dict[str, Any]:
    from benchmarks.language.cold import Cold
    from benchmarks.language.cold import measure as new_items
    from benchmarks.language.deletion import World
    from benchmarks.language.mixed import Mixed

    config = configuration(DATA, roots, root / "cache", seed)
    stages = stages_of(config)
    vectors = text_vectors(config).numpy()
    world = World.draw(stages.dataset.interactions, stages.dataset.split, seed)
    cold = Cold(world, config, vectors, root / f"evidence-{seed}")
    if part == "new-items":
        return {"data": DATA, **new_items(cold, say)}
    if part == "reranker":
        # Only here: the other parts need no language model.
        from benchmarks.language.cold import BASE
        from benchmarks.language.rerank import measure as rerank

        return {"data": DATA, "model": READER, "rows": rerank(cold, BASE, READER)}
    mixed = Mixed(cold)
    return {"data": DATA, "fusion": mixed.measure(), "evidence": mixed.measure_evidence()}


def _relations(data: str, roots: dict[str, str], root: Path, seed: int) -> dict[str, Any]:
    from benchmarks.language.relations import leave_one_out, sign_test

    stages = stages_of(configuration(data, roots, root / "cache", seed))
    stage_one, split = stages.retrieval(), stages.dataset.split
    lists = [part[part.retrieved] for part in (stage_one.examples, stage_one.val)]
    examples, queries = (stages.queries(part) for part in lists)
    file = root / f"relations-{data}-{seed}-rows.json"
    rows = dict(read_json(file)) if file.exists() else {}

    def keep(name: str, row: dict[str, Any]) -> None:
        rows[name] = row
        write_json(file, rows)
        say(f"{name}: {row['ndcg@10']}")

    graphs = stages.kg(stage_one.fit_ends[0]), stages.kg(split.train_end)
    encode = encoder_of(stages.config).encode
    scorers = root / f"relations-{data}-{seed}"
    rows = leave_one_out(graphs, examples, queries, stages.config, encode, keep, scorers, rows)
    return {"lists": len(queries), "relations": rows, "sign_test": sign_test(rows)}


def cold(options: argparse.Namespace) -> int:
    """Measure the parts that are asked for and store them; returns the exit status.

    Args:
        options: of the command line: ``only``, ``root``, ``seed`` and ``quick``.
    """
    before = stored("cold") or {}
    # Parts that are not asked for keep their stored result.
    result = {part: before[part] for part in PARTS if part in before}
    for part in options.only or PARTS:
        result[part] = measure(part, data_roots(), options.root, options.seed)
    if not options.quick:
        say(f"wrote {save('cold', 'python -m benchmarks.run cold', options.seed, result)}")
    return 0
