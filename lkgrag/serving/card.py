"""The model card of a saved ranker: ``README.md`` with metadata for the Hugging Face Hub.

The metadata block follows the Hub's specification
(https://github.com/huggingface/hub-docs/blob/main/modelcard.md) and is written by
:class:`huggingface_hub.ModelCardData`. Texts of the user, such as names of data sets, are escaped: no name can
break out of the block or of a table.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from huggingface_hub import EvalResult, ModelCardData

from lkgrag import __version__
from lkgrag.config import NO_LLM
from lkgrag.config.public import public_text
from lkgrag.config.schema import NO_ENCODER
from lkgrag.evaluation.metrics import HEADLINE, metric_label
from lkgrag.evaluation.protocol import place, systems_of
from lkgrag.evaluation.summary import (
    coverage_sentence,
    format_p,
    formula,
    marginal_sentence,
    text_sentence,
    verdict,
)
from lkgrag.evaluation.tables import four_digits
from lkgrag.serving.card_parts import contents, protocol, terms_of_data, terms_of_model
from lkgrag.serving.card_text import escape, plain, table

if TYPE_CHECKING:
    from pathlib import Path

    from lkgrag.serving.context import Context

TAGS = ("recommender-system", "recommendation", "ranking", "knowledge-graph", "explainability")
#: The Hub's identifiers of built-in language models.
BASES = {"smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct"}
#: A name of a repository on the Hub.
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*[A-Za-z0-9]", re.ASCII)
#: Metrics of the card's table.
SHOWN = (HEADLINE, "recall@10", "mrr")
#: Keys of ``metrics.json`` that the card reads beside the systems' figures on test.
KEPT = (
    "format",
    "data",
    "llm",
    "seed",
    "date",
    "versions",
    "mask_seen",
    "fusion",
    "budget",
    "marginal",
    "marginal_text",
    "differences",
)


def select_figures(metrics: Any) -> dict[str, Any] | None:
    """What of ``metrics.json`` the card needs; of such a selection, the same again.

    Args:
        metrics: content of the file.

    Returns:
        The selection; None if it is of another format.
    """
    if not isinstance(metrics, dict) or metrics.get("format") != 1:
        return None
    out = {key: metrics[key] for key in KEPT if key in metrics}
    for system, splits in systems_of(metrics).items():
        figures = ((splits or {}).get("test") or {}).get("all") or {}
        if figures:
            out[system] = {"test": {"all": {m: figures.get(m) for m in SHOWN}}}
    if isinstance(out.get("llm"), str):
        out["llm"] = public_text(out["llm"])
    groups = (metrics.get("cold_start") or {}).get("history") or []
    out["cold_start"] = {"history": [{"events": group["events"]} for group in groups]}
    return out


def model_card(
    context: Context, folder: Path, is_export: bool = False, name: str | None = None
) -> str:
    """The card of a saved ranker.

    Args:
        context: of the ranker.
        folder: with the ranker's files; what is in it is listed.
        is_export: whether the merged language model lies there, and the ranker in a folder below.
        name: of the repository on the Hub, for the example; None if it is not known.
    """
    config = context.config
    parts = [
        metadata(context),
        f"# A ranker for {escape(config.data.name)}",
        "Recommendations by a fused retriever and the paths of a knowledge graph"
        + (", with a language model" if config.llm.name != NO_LLM else "")
        + f", explained by these paths. Made by lkgrag {__version__}. "
        f"{len(context.catalogue):,} items.",
        "## How to load it",
        _example(context, name),
        "## Data and protocol",
        *_data(context),
        "## Figures",
        *_figures(context),
        "## Language model",
        *_language_model(context),
        "## The graph",
        _graph(context),
        "## What is here",
        *contents(context, folder, is_export),
        "## Licences",
        _licences(context),
    ]
    return "\n\n".join(parts) + "\n"


def metadata(context: Context) -> str:
    """The metadata block, between its ``---``."""
    config = context.config
    base = BASES.get(config.llm.name, config.llm.name)
    is_named = context.merged is None and HUB_NAME.fullmatch(base) is not None
    data = plain(config.data.name)
    results = [
        EvalResult(
            task_type="recommendation",
            task_name="Top-k recommendation",
            dataset_type=re.sub(r"[^a-z0-9.-]+", "-", data.lower()).strip("-.") or "unnamed",
            dataset_name=data or "unnamed",
            dataset_split="test",
            metric_type=metric,
            metric_name=metric_label(metric),
            metric_value=round(value, 6),
        )
        for metric, value in _of_ranker(context.figures)
    ]
    card = ModelCardData(
        library_name="lkgrag",
        tags=[*TAGS, *(["lora"] if config.llm.name != NO_LLM and context.merged is None else [])],
        pipeline_tag="graph-ml",
        license="other",
        license_name="terms-of-data-and-base-model",
        base_model=base if is_named and config.llm.name != NO_LLM else None,
        eval_results=results or None,
        model_name=f"lkgrag-{results[0].dataset_type}" if results else None,
    )
    return f"---\n{card.to_yaml()}\n---"


def _of_ranker(figures: dict[str, Any] | None) -> list[tuple[str, float]]:
    """The ranker's figures on test, by metric, as far as they are numbers."""
    values = (((figures or {}).get("ranker") or {}).get("test") or {}).get("all") or {}
    return [(m, float(values[m])) for m in SHOWN if isinstance(values.get(m), int | float)]


def _example(context: Context, name: str | None) -> str:
    """How to install and load, as code."""
    items = [i for i in context.catalogue.ids[:50] if re.fullmatch(r"[\w.:-]{1,40}", i, re.ASCII)]
    history = json.dumps(items[:2] or ["id or title"])
    where = name or "owner/name"
    return (
        "```bash\npip install lkgrag\n```\n\n```python\nfrom lkgrag import Ranker\n\n"
        f'ranker = Ranker.from_pretrained("{where}")  # or a folder\n'
        f"ranker.recommend({history}, k=10)  # a history, oldest first, by id or exact title\n```"
    )


def _data(context: Context) -> list[str]:
    """What it was trained on, and how it was tested."""
    counts = ((context.figures or {}).get("data") or {}).get("counts") or {}
    size = ""
    if isinstance(counts.get("interactions"), int):
        size = (
            f"{counts['interactions']:,} interactions of {counts['users']:,} users with "
            f"{counts['items']:,} items. "
        )
    lines = [f"{escape(context.config.data.name)}: {size}{terms_of_data(context.config.data)}"]
    lines.append("\n".join(f"- {line}" for line in protocol(context.config, counts)))
    if context.updates:
        given = sum(int(u.get("new", 0)) for u in context.updates)
        lines.append(
            f"Updated {len(context.updates)} times since training, by {given:,} interactions; the last time on "
            f"{plain(str(context.updates[-1].get('date')))}. The figures below are of before."
        )
    return lines


def _figures(context: Context) -> list[str]:
    """The figures on test, with the intervals of differences."""
    figures = context.figures
    if figures is None or not _of_ranker(figures):
        return ["This ranker was not saved by a finished run, so there are none."]
    systems = systems_of(figures)
    rows = [
        [escape(s), *(four_digits(systems[s]["test"]["all"].get(m)) for m in SHOWN)]
        for s in sorted(systems, key=place)
    ]
    out = [
        f"On test, all events, a missed target counts 0; seed {figures.get('seed')}, "
        f"{plain(str(figures.get('date')))}.",
        table(["system", *map(metric_label, SHOWN)], rows, "---:"),
    ]
    differences = [
        [
            f"{escape(d['system'])} – {escape(d['other'])}",
            metric_label(d["metric"]),
            escape(d["population"]),
            f"{d['mean']:+.4f}",
            f"[{d['low']:+.4f}, {d['high']:+.4f}]",
            format_p(d["p"]),
        ]
        for d in figures.get("differences") or []
        if d.get("split") == "test" and None not in (d["mean"], d["low"], d["high"])
    ]
    if differences:
        heads = ["difference", "metric", "events", "mean", "95 % interval", "p"]
        out += ["Paired bootstrap over users:", table(heads, differences)]
    lines = (verdict(figures), text_sentence(figures), coverage_sentence(figures))
    return [*out, *(escape(line, long=True) for line in lines if line)]


def _language_model(context: Context) -> list[str]:
    """The base model, what was learned, and what it adds."""
    config, figures = context.config, context.figures or {}
    trained = figures.get("llm")
    if config.llm.name == NO_LLM:
        return ["None (`llm.name=none`): nothing to download beside this ranker."]
    base = BASES.get(config.llm.name, config.llm.name)
    lines = []
    if context.merged is not None:
        named = escape(str(trained)) if trained else "its base model"
        lines.append(f"Merged: the folder holds all weights, made from {named}.")
    elif HUB_NAME.fullmatch(base):
        lines.append(
            f"Base model: {escape(base)}. It is downloaded at the first load; only what was learned is here."
        )
    else:
        lines.append(
            "Base model: a folder of the machine that trained it, which others do not have. It loads elsewhere with "
            '`lm="never"`, or after an export (`python -m lkgrag.export`), whose weights are complete.'
        )
    said = formula(figures)
    if said:
        lines.append(f"Score: {escape(said)}.")
    added = marginal_sentence(figures)
    lines.append(
        f"What it adds: {escape(added, long=True)}." if added else "What it adds was not measured."
    )
    return lines


def _graph(context: Context) -> str:
    """Types of nodes and relations, with their numbers, and custom code that loading needs."""
    data = context.data
    nodes = [f"{escape(t)} {int(data[t].num_nodes or 0):,}" for t in data.node_types]
    edges = [
        f"{escape(' '.join(t))} {data[t].num_edges:,}"
        for t in data.edge_types
        if not t[1].startswith("rev_") and data[t].num_edges
    ]
    text = f"Nodes: {', '.join(nodes)}.\n\nEdges: {', '.join(edges) or 'none'}."
    config = context.config
    custom = [*context.retriever.custom.values(), *dict(data.get("custom") or {}).values()]
    options = (config.scorer.name, config.prompt.verbaliser, config.llm.readout)
    custom += [name for name in options if ":" in name]
    if custom:
        named = ", ".join(sorted({escape(str(name)) for name in custom}))
        text += f"\n\nLoading needs these classes to be installed: {named}."
    return text


def _licences(context: Context) -> str:
    """The licences of data, models and code."""
    config = context.config
    rows = [["data", terms_of_data(config.data)]]
    if config.llm.name != NO_LLM:
        name = (context.figures or {}).get("llm") if context.merged is not None else config.llm.name
        rows.append(["language model", terms_of_model(str(name), "what was learned on it")])
    if config.text.encoder != NO_ENCODER:
        rows.append(
            ["encoder", terms_of_model(config.text.encoder, "the vectors of the items' texts")]
        )
    rows.append(["lkgrag", "MIT"])
    return table(["part", "terms"], rows)


__all__ = ["metadata", "model_card", "select_figures"]
