"""The language model where processors have neither AVX-512 nor bfloat16: its measurement with libraries limited to AVX2.

The limits are those of PyTorch, oneDNN and MKL. Clock and memory stay those of the machine at hand.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.common import ROOT, say
from lkgrag.errors import LkgragError

#: What each library may use.
LIMITS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
#: In a process of its own, since libraries read their limits when they are loaded.
CODE = """
import json, sys
from lkgrag.cli.command import prepare_environment
prepare_environment()
from benchmarks.speed import lm
print(json.dumps(lm.measure(sys.argv[1] == "quick", int(sys.argv[2]), "float32", only_ours=True)))
"""


def measure(quick: bool, seed: int) -> dict[str, Any]:
    """Measure as :func:`benchmarks.speed.lm.measure` does, in float32 on AVX2.

    Args:
        quick: few prompts.
        seed: of the prompts.

    Returns:
        As there, for lkgrag and stock attention; the names of the values end with ``_avx2``.

    Raises:
        LkgragError: the process failed.
    """
    say("lm-avx2: in float32, libraries limited to AVX2")
    line = [sys.executable, "-c", CODE, "quick" if quick else "whole", str(seed)]
    done = subprocess.run(
        line, check=False, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **LIMITS}
    )
    if done.returncode:
        raise LkgragError(f"lm-avx2: the process ended with status {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    names = ("S7_floor", "S7_products", "S8_floor")
    found["values"] = {f"{name}_avx2": found["values"][name] for name in names}
    return {**found, "limits": LIMITS}
