"""Large: time and memory of training and ranking in 4 bits, with a model of Llama-2-7B's shape.

Its weights are random, so it needs no licence, and it ranks nothing. They cost what the real ones do, except that
the vocabulary is that of the tokenizer at hand.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.common import save, say
from lkgrag.config.loading import load_config
from lkgrag.data.assets.store import fetch_model
from lkgrag.errors import LkgragError
from lkgrag.utils.files import read_json

if TYPE_CHECKING:
    import argparse

#: Shape of the quick form's model, which shows that all of it runs.
TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}
READOUTS = ("candidates", "letters")
#: Few prompts are enough: memory does not depend on their number, and the time of one hardly does. The head is not
#: fitted beforehand, which would count as training.
BUDGET = {
    "training.probe": 0,
    "training.max_examples": 32,
    "evaluation.max_events": 32,
    "evaluation.max_val_events": 16,
    "evaluation.faithfulness": 4,
    "evaluation.explain": 1,
    "training.tracker": "none",
}


def write_model(folder: Path, tokenizer: Path, quick: bool, seed: int) -> int:
    """Write a Llama with random weights, and the tokenizer of another model.

    Args:
        folder: for the model.
        tokenizer: folder of the model whose tokenizer is taken.
        quick: with two narrow layers.
        seed: of the weights.

    Returns:
        The number of weights.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    words = AutoTokenizer.from_pretrained(str(tokenizer))
    shape: dict[str, Any] = TINY if quick else {}
    config = LlamaConfig(vocab_size=len(words), max_position_embeddings=4096, **shape)
    torch.manual_seed(seed)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return sum(p.numel() for p in model.parameters())


def seconds_a_prompt(cost: dict[str, Any]) -> tuple[float, float]:
    """Seconds to train on a prompt and to rank one, of a readout's part of the result."""
    return cost["training_seconds"] / cost["trained"], cost["ranking_seconds"] / cost["ranked"]


def measure(
    root: Path, tokenizer: Path, quick: bool, seed: int, options: dict[str, str] | None = None
) -> dict[str, Any]:
    """Train and rank with each readout.

    Args:
        root: an empty folder for the model and the runs.
        tokenizer: folder of the model whose tokenizer is taken.
        quick: with a tiny model.
        seed: of weights and runs.
        options: of the runs, before the preset's.

    Returns:
        ``weights`` (their number), and by readout ``tokens_a_prompt``, ``trained`` and ``ranked`` (prompts),
        ``training_seconds`` and ``ranking_seconds``, and ``peak_gib`` (the most that tensors took on the GPU,
        loading included; None without one).
    """
    from lkgrag.run.pipeline import train

    cuda = torch.cuda.is_available()
    out: dict[str, Any] = {"weights": write_model(root / "model", tokenizer, quick, seed)}
    for readout in READOUTS:
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        overrides = {
            "preset": "llama-2-7b",
            "llm.name": root / "model",
            "llm.readout": readout,
            "seed": seed,
            "out": root / readout,
            "cache.root": root / "cache",
            **BUDGET,
            **(options or {}),
        }
        config = load_config({key: str(value) for key, value in overrides.items()})
        folder = train(config)
        metrics, steps = read_json(folder / "metrics.json"), read_json(folder / "curve.json")
        most = len(steps["ranker"]) * config.training.batch_size
        out[readout] = {
            "tokens_a_prompt": metrics["tokens_per_prompt"],
            "trained": min(most, config.training.max_examples),
            "training_seconds": metrics["seconds"]["ranker"],
            "ranked": metrics["prompts_ranked"],
            "ranking_seconds": metrics["seconds"]["evaluation"],
            "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if cuda else None,
        }
    return out


def large(options: argparse.Namespace) -> int:
    """Measure, store and show; returns the exit status.

    Args:
        options: of the command line: ``seed`` and ``quick``.

    Raises:
        LkgragError: there is no GPU, and ``quick`` is not set.
    """
    if not torch.cuda.is_available() and not options.quick:
        raise LkgragError("large needs a GPU; --quick runs a tiny model on the CPU")
    tokenizer = fetch_model("smollm2-135m")
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), tokenizer, options.quick, options.seed)
    result["note"] = (
        "ml-100k, with the tokenizer of SmolLM2; the time of training includes its first step"
    )
    for readout in READOUTS:
        trained, ranked = seconds_a_prompt(result[readout])
        gib = result[readout]["peak_gib"]
        peak = "" if gib is None else f", {gib:.1f} GiB"
        print(
            f"{readout}: a prompt takes {trained:.3g} s to train on, {ranked:.3g} s to rank{peak}"
        )
    if not options.quick:
        say(f"wrote {save('large', 'python -m benchmarks.run large', options.seed, result)}")
    return 0
