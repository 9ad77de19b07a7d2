"""The main job by stage: read off the records of whole runs (``python -m benchmarks.record``)."""

from __future__ import annotations

from typing import Any

from benchmarks.common import say, stored

#: Records of whole runs, by the target that each is compared with.
RECORDS = {
    "S11_avx2": "default-ml-100k-avx2",
    "S11_bf16": "default-ml-100k",
    "S11_quick": "quick-ml-100k",
}
#: Stages of a run that are told one by one, in their order.
STAGES = ("kg", "retrieval", "scorer", "ranker", "evaluation", "total")


def measure() -> dict[str, Any]:
    """The stages' seconds of every recorded run, and the minutes of the whole.

    Returns:
        By record ``hardware``, ``date``, ``command``, ``prompts`` and ``seconds`` by stage; and the values of targets.
    """
    out: dict[str, Any] = {"values": {}}
    for target, name in RECORDS.items():
        found = stored(name)
        if found is None:
            say(f"job: no record {name}; left out")
            continue
        seconds = {stage: found["seconds"].get(stage) for stage in STAGES}
        out[name] = {
            "command": found["command"],
            "note": found["note"],
            "processor": found["hardware"]["processor"],
            "dtype": found["dtype"],
            "date": found["date"],
            "budget": found.get("budget"),
            "prompts": found["prompts_ranked"],
            "seconds": seconds,
        }
        out["values"][target] = found["seconds"]["total"] / 60
    return out
