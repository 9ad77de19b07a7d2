"""What the measured slopes say of sizes that were not measured. A calculation, not a measurement."""

from __future__ import annotations

from typing import Any

#: Users and edges of the rows; the first two are about what is measured at 1 and 100 times Beauty.
SIZES = (
    (22_332, 667_677),
    (2_233_200, 66_600_000),
    (10_000_000, 1_000_000_000),
    (100_000_000, 10_000_000_000),
)
#: Items a user, as in the data; interactions a user.
GIB = 2**30
#: Bytes a parameter: weight, gradient, two moments of AdamW.
TRAINED = 16


def slopes(found: dict[str, Any]) -> dict[str, float]:
    """Cost a unit, between the smallest and the largest scale that were measured.

    Args:
        found: ``benchmarks/results/scale.json``.
    """
    scales = found["graph"]["scales"]
    small, large = (scales[k] for k in (min(scales, key=int), max(scales, key=int)))
    edges = large["edges"] - small["edges"]
    lrurec = found["users"]["lrurec"]
    one, ten = (lrurec[k] for k in (min(lrurec, key=int), max(lrurec, key=int)))
    return {
        "build_seconds_an_edge": (large["build_seconds"] - small["build_seconds"]) / edges,
        "build_bytes_an_edge": (large["peak_gib"] - small["peak_gib"]) * GIB / edges,
        "index_bytes_an_edge": (large["map_gib"] - small["map_gib"]) * GIB / edges,
        "paths_seconds": 1 / large["mapped_prompts_a_second"],
        "scoring_seconds_a_user_and_item": (1 / ten["users_a_second"] - 1 / one["users_a_second"])
        / (ten["items"] - one["items"]),
        "example_seconds": 1 / ten["examples_a_second"],
        "items_a_user": large["items"] / large["users"],
        "examples_a_user": ten["examples"] / ten["users"],
    }


def projection(
    slope: dict[str, float], users: int, edges: int, width: int = 64
) -> dict[str, float]:
    """What a size costs if the slopes hold, in one process on one core of the machine measured.

    Args:
        slope: of :func:`slopes`.
        users: number of them; items in proportion.
        edges: number of them.
        width: of LRURec's embeddings.
    """
    items = users * slope["items_a_user"]
    return {
        "users": users,
        "items": items,
        "edges": edges,
        "build_hours": edges * slope["build_seconds_an_edge"] / 3600,
        "build_gib": edges * slope["build_bytes_an_edge"] / GIB,
        "index_gib": edges * slope["index_bytes_an_edge"] / GIB,
        "paths_hours": users * slope["paths_seconds"] / 3600,
        "epoch_hours": users * slope["examples_a_user"] * slope["example_seconds"] / 3600,
        "lrurec_gib": items * width * TRAINED / GIB,
        "scoring_hours": users * items * slope["scoring_seconds_a_user_and_item"] / 3600,
    }
