"""What trackers get: options without secrets, names that all of them take, and tables."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from lkgrag.config.fields import config_fields
from lkgrag.config.identity import to_dict
from lkgrag.config.public import public_config
from lkgrag.evaluation.protocol import place, systems_of

if TYPE_CHECKING:
    from lkgrag.config import Config

#: Characters that a metric's name may have in MLflow beside letters and digits.
_NAME = re.compile(r"[^\w./ -]")


def flat_options(config: Config) -> dict[str, str | int | float | bool]:
    """All options as ``section.key`` with plain values, without secrets and folders of this machine.

    Args:
        config: of the run.
    """
    out: dict[str, str | int | float | bool] = {}
    _flatten("", to_dict(public_config(config)), out)
    for key in ("overwrite", *(key for key, f in config_fields() if f.metadata["path"])):
        out.pop(key, None)
    return out


def _flatten(prefix: str, value: Any, out: dict[str, str | int | float | bool]) -> None:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _flatten(f"{prefix}.{key}" if prefix else str(key), inner, out)
        return
    out[metric_name(prefix)] = value if isinstance(value, str | int | float) else str(value)


def metric_name(name: str) -> str:
    """A name that all trackers take: ``ndcg@10`` is ``ndcg_at_10``."""
    return _NAME.sub("_", name.replace("@", "_at_"))


def numbers(values: dict[str, Any]) -> dict[str, float]:
    """The finite numbers among some values, under names that all trackers take."""
    return {
        metric_name(key): float(value)
        for key, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def final_figures(metrics: dict[str, Any]) -> dict[str, float]:
    """Figures of each system on all events, as ``test/<system>/<metric>``.

    Args:
        metrics: content of ``metrics.json``.
    """
    return numbers(
        {
            f"{split}/{system}/{metric}": value
            for system, splits in systems_of(metrics).items()
            for split, populations in splits.items()
            for metric, value in (populations.get("all") or {}).items()
        }
    )


def tables(metrics: dict[str, Any]) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """The tables of a run, by name, as columns and rows: systems on each split, and differences with intervals.

    Args:
        metrics: content of ``metrics.json``.
    """
    systems = systems_of(metrics)
    out: dict[str, tuple[list[str], list[list[Any]]]] = {}
    for split in ("test", "val"):
        rows = {
            s: (systems[s].get(split) or {}).get("all") or {} for s in sorted(systems, key=place)
        }
        names = list(dict.fromkeys(m for row in rows.values() for m in row))
        if names:
            body = [[s, *(_finite(row.get(m)) for m in names)] for s, row in rows.items() if row]
            out[f"systems_{split}"] = (["system", *names], body)
    for name in ("differences", "marginal"):
        found = metrics.get(name) or []
        if found:
            columns = list(dict.fromkeys(key for row in found for key in row))
            out[name] = (columns, [[_finite(row.get(c)) for c in columns] for row in found])
    return out


def _finite(value: Any) -> Any:
    """None for a number that no table holds."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
