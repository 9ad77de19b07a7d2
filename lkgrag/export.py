"""Export a run's language model or its graph: ``python -m lkgrag.export run=... out=...``."""

from __future__ import annotations

import sys

from lkgrag.cli.arguments import check_options, switch, whole_number
from lkgrag.cli.command import Command, run
from lkgrag.errors import ConfigError, nearest
from lkgrag.utils.memory import parse_bytes

DTYPES = ("auto", "float32", "bfloat16", "float16")
FORMATS = ("model", "ladybug")
#: Options of one format only.
OF_FORMAT = {"dtype": "model", "prompts": "model", "memory": "ladybug"}

COMMAND = Command(
    name="lkgrag.export",
    summary=(
        "Merge the LoRA of a saved run into its language model; a 4-bit one is dequantised first. The "
        "result is a plain transformers folder that also holds the rest of the ranker. Then print how far "
        "scores moved. Or write the graph into a graph database."
    ),
    options={
        "run": (
            "FOLDER",
            "a finished run of lkgrag.train; of format=ladybug also a folder of lkgrag.count",
        ),
        "out": (
            "FOLDER",
            "where the model goes; must not exist, or be empty; of format=ladybug a file",
        ),
        "format": (
            "model",
            "model (the merged language model) or ladybug (the graph without users, as a graph database) "
            f"[{' | '.join(FORMATS)}]",
        ),
        "dtype": ("auto", f"type of the weights; auto: the run's own [{' | '.join(DTYPES)}]"),
        "prompts": ("64", "how many prompts of the run's users scores are compared on"),
        "memory": ("1GB", "of format=ladybug: memory that the database takes while it is written"),
        "overwrite": ("false", "replace an earlier export"),
    },
    examples=[
        "python -m lkgrag.export run=outputs/ml-100k-smollm2-135m-1a2b3c4d out=exported",
        'python -m lkgrag.recommend run=exported "history=[Toy Story,Fargo]"',
        "python -m lkgrag.export format=ladybug run=outputs/ml-100k-smollm2-135m-1a2b3c4d out=graph.lbug",
    ],
    configurable=False,
)


def body(pairs: dict[str, str], flags: set[str]) -> None:
    """Check the options, load the run, merge, compare."""
    check_options(pairs, COMMAND)
    if not pairs.get("out"):
        raise ConfigError(
            "option 'out' is missing: out=<folder for the merged model, or file for the graph>"
        )
    form = pairs.get("format", "model")
    if form not in FORMATS:
        raise ConfigError(
            f"option 'format': {form!r} is none of {', '.join(FORMATS)}.{nearest(form, FORMATS)}"
        )
    for key, of_format in OF_FORMAT.items():
        if key in pairs and form != of_format:
            raise ConfigError(f"option {key!r} belongs to format={of_format}; leave it out")
    dtype = pairs.get("dtype", "auto")
    if dtype not in DTYPES:
        raise ConfigError(f"option 'dtype': {dtype!r} is none of {', '.join(DTYPES)}")
    prompts, overwrite = whole_number(pairs, "prompts", 64), switch(pairs, "overwrite", False)
    if form == "ladybug":
        memory = pairs.get("memory", "1GB")
        parse_bytes(memory, "memory")
        _export_graph(pairs["run"], pairs["out"], overwrite, memory)
        return
    # Only here: --help and a wrong option are answered without PyYAML.
    from lkgrag.serving.saved_run import load_run

    folder, config = load_run(pairs["run"])
    # Only here: a wrong run is answered without torch.
    from lkgrag.serving.export import export
    from lkgrag.utils.device import set_threads

    set_threads(config.threads)
    export(folder, pairs["out"], dtype, prompts, overwrite)


def _export_graph(run: str, out: str, overwrite: bool, memory: str) -> None:
    """Write the graph, and print what was written."""
    # Only here: --help and a wrong option are answered without torch.
    from lkgrag.serving.graph_store import export_graph

    counts = export_graph(run, out, overwrite, memory)
    for relation, edges in counts.items():
        print(f"{relation}: {edges:,} edges")
    print(f'graph: lkgrag.kg.LadybugStore("{out}")')


def main() -> int:
    """Run the command and return its exit status."""
    return run(COMMAND, body)


if __name__ == "__main__":
    sys.exit(main())
