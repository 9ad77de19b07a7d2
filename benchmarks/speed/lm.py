"""The ranker's language model: a ladder from the published form to ours, and its training."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import forget_peak, peak_mib, rate, say
from benchmarks.speed.floor import best_rate, forward_operations, products_seconds
from lkgrag.config.loading import load_config
from lkgrag.data.splits import every_training_event
from lkgrag.kg import build_kg
from lkgrag.llm import LMScorer, load_llm
from lkgrag.paths import PathFinder, path_finder
from lkgrag.prompt import TokenBatch, build_prompter
from lkgrag.run.stages import load_dataset
from lkgrag.training.negatives import uniform_queries

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from transformers import PreTrainedModel

    from lkgrag.config import Config
    from lkgrag.data import Queries

#: Prompts a pass.
BATCH = 8
#: Tokens of the pass that the products alone are timed for.
PASS = 2048
#: Prompts that a ranked list is generated for, once.
GENERATED = 20


def measure(
    quick: bool, seed: int, dtype_name: str = "auto", only_ours: bool = False
) -> dict[str, Any]:
    """Measure inference and training of the default language model on prompts of ml-100k.

    Args:
        quick: few prompts.
        seed: of the prompts.
        dtype_name: as ``llm.dtype``.
        only_ours: leave out the published forms, which take minutes.

    Returns:
        ``inference`` and ``training``, a row a step of the ladder, and the values of targets.
    """
    config = load_config({"llm.dtype": dtype_name})
    loaded = load_dataset(config)
    events = every_training_event(loaded.interactions, loaded.split.train_end)
    number = 16 if quick else 64
    chosen = np.random.default_rng(seed).permutation(len(events))[:number]
    queries = uniform_queries(loaded.interactions, events[chosen], 20, 20, seed)
    model, tokenizer = load_llm(config.llm)
    dtype = next(model.parameters()).dtype
    say(f"lm: floor, {str(dtype).removeprefix('torch.')}, {torch.get_num_threads()} threads")
    best = best_rate(model.config, dtype, 0.1 if quick else 0.5)
    data = build_kg(loaded.interactions, loaded.split.train_end, config.kg)
    rows = _ladder(config, data, loaded, queries, model, tokenizer, best, quick, only_ours)
    a_pass = products_seconds(model, PASS, 0.0 if quick else 1.0)
    products = (
        100 * a_pass / PASS * rows["ours"]["tokens_a_prompt"] * rows["ours"]["prompts_a_second"]
    )
    say(f"  linear products alone: {products:.0f} % of the time of ours")
    trained = _training(config, data, queries, model, tokenizer, best, quick)
    ours, own = rows["ours"], trained["ours"]
    return {
        "prompts": number,
        "operations_a_second": best,
        "layers": len(model.model.layers),
        "products_per_cent": products,
        "dtype": str(dtype),
        "threads": torch.get_num_threads(),
        "inference": rows,
        "training": trained,
        "values": {
            "S7_floor": ours["per_cent_of_floor"],
            "S7_products": products,
            "S8_floor": own["per_cent_of_floor"],
            "S5": trained["paths_per_cent_of_a_step"],
        },
    }


def _prompts(
    config: Config, data: HeteroData, queries: Queries, tokenizer: Any, grouped: bool
) -> list[TokenBatch]:
    """Batches of prompts as tokens, in the order given or by length."""
    finder = path_finder(data, config.paths)
    prompter = build_prompter(tokenizer, data, config.prompt, config.llm.readout)
    prompter.fit([finder(queries)])
    order = np.arange(len(queries))
    if grouped:
        order = np.argsort((queries.history_items >= 0).sum(1), kind="stable")
    out = []
    for start in range(0, len(order), BATCH):
        part = queries[order[start : start + BATCH]]
        paths = finder(part)
        places = torch.arange(paths.num_candidates).repeat(len(part), 1)
        out.append(prompter(paths, None, places))
    return out


def _row(
    batches: list[TokenBatch],
    work: Callable[[TokenBatch], Any],
    model: Any,
    best: float,
    quick: bool,
) -> dict[str, Any]:
    lengths = torch.cat([b.lengths for b in batches])

    def all_of_them() -> None:
        for batch in batches:
            work(batch)

    forget_peak()
    speed = rate(all_of_them, len(lengths), 0 if quick else 5.0)
    floor = best / (forward_operations(model, lengths) / len(lengths))
    return {
        "tokens_a_prompt": float(lengths.double().mean()),
        "prompts_a_second": speed,
        "floor_prompts_a_second": floor,
        "per_cent_of_floor": 100 * speed / floor,
        "peak_mib": peak_mib(),
    }


@torch.no_grad()
def _ladder(
    config: Config,
    data: HeteroData,
    loaded: Any,
    queries: Queries,
    model: PreTrainedModel,
    tokenizer: Any,
    best: float,
    quick: bool,
    only_ours: bool,
) -> dict[str, dict[str, Any]]:
    published = load_config({"preset": "reference", "data.name": "ml-100k"})
    plain = build_kg(loaded.interactions, loaded.split.train_end, published.kg)
    letters = load_config({"llm.readout": "letters"})
    rows: dict[str, dict[str, Any]] = {}

    def stock(batch: TokenBatch) -> Tensor:
        mask = (batch.block >= 0).long()
        return model(input_ids=batch.input_ids, attention_mask=mask, use_cache=False).logits

    def add(name: str, batches: list[TokenBatch], work: Callable[[TokenBatch], Any]) -> None:
        rows[name] = _row(batches, work, model, best, quick)
        r = rows[name]
        say(
            f"  {name}: {r['tokens_a_prompt']:.0f} tokens, {r['prompts_a_second']:.2f} prompts a second, "
            f"{r['per_cent_of_floor']:.0f} % of the floor"
        )

    model.set_attn_implementation("sdpa")
    # The longest prompts by far: as many as fill two passes say enough.
    few = queries[slice(0, 2 * BATCH)]
    if not only_ours:
        if not quick:
            told = _prompts(published, plain, queries[slice(0, GENERATED)], tokenizer, True)
            spoken = " > ".join(chr(ord("A") + n) for n in range(20))
            length = len(tokenizer(spoken, add_special_tokens=False).input_ids)
            rows["published, list generated"] = _generated(model, told, length, best)
            say(
                f"  generated: {rows['published, list generated']['prompts_a_second']:.3f} prompts a second"
            )
        add("published", _prompts(published, plain, few, tokenizer, False), stock)
        compact = _prompts(letters, data, queries, tokenizer, False)
        add("compact wording", compact, stock)
        bare = LMScorer(
            model, replace(letters.llm, attention="sdpa", gate="off"), adapter=False
        ).eval()
        add("answer position only", compact, bare)
        grouped = _prompts(letters, data, queries, tokenizer, True)
        add("prompts of like length together", grouped, bare)
    ours = _prompts(config, data, queries, tokenizer, True)
    dense = LMScorer(model, replace(config.llm, attention="sdpa", gate="off"), adapter=False).eval()
    add("the same prompts, stock attention", ours, dense)
    own = LMScorer(model, replace(config.llm, gate="off"), adapter=False).eval()
    add("ours", ours, own)
    return rows


def _generated(model: Any, batches: list[TokenBatch], length: int, best: float) -> dict[str, Any]:
    """The published prompts answered by the whole ranked list, token by token, once.

    Args:
        model: a causal LM; its key-value cache is used.
        batches: prompts.
        length: tokens of a ranked list.
        best: operations a second of the floor.
    """
    forget_peak()
    start = time.perf_counter()
    for batch in batches:
        # Generation goes on at the right, so that padding stands at the left.
        width = batch.input_ids.shape[1]
        shift = (torch.arange(width) - (width - batch.lengths[:, None])) % width
        ids = batch.input_ids.gather(1, shift)
        mask = (torch.arange(width) >= width - batch.lengths[:, None]).long()
        model.generate(
            input_ids=ids,
            attention_mask=mask,
            min_new_tokens=length,
            max_new_tokens=length,
            do_sample=False,
            pad_token_id=0,
        )
    took = time.perf_counter() - start
    lengths = torch.cat([b.lengths for b in batches])
    speed = len(lengths) / took
    floor = best / (forward_operations(model, lengths) / len(lengths))
    return {
        "tokens_a_prompt": float(lengths.double().mean()),
        "tokens_generated": length,
        "peak_mib": peak_mib(),
        "prompts_a_second": speed,
        "floor_prompts_a_second": floor,
        "per_cent_of_floor": 100 * speed / floor,
    }


def _training(
    config: Config,
    data: HeteroData,
    queries: Queries,
    model: PreTrainedModel,
    tokenizer: Any,
    best: float,
    quick: bool,
) -> dict[str, Any]:
    """Forward and backward of a batch with LoRA on all linear layers."""
    import copy

    part = queries[slice(0, BATCH)]
    (batch,) = _prompts(config, data, part, tokenizer, True)
    # Forward, and the backward pass to the activations: the base's weights have no gradient.
    operations = 2 * forward_operations(model, batch.lengths) / BATCH
    out: dict[str, Any] = {}
    for name, attention in (("stock", "sdpa"), ("ours", "auto")):
        say(f"lm: training, {name}")
        scorer = LMScorer(
            copy.deepcopy(model), replace(config.llm, attention=attention, gate="off")
        )
        if name == "stock":
            _plain_lora(scorer)
        scorer.train()

        def step(scorer: LMScorer = scorer) -> None:
            scorer.zero_grad()
            scorer(batch).square().sum().backward()

        forget_peak()
        speed = rate(step, BATCH, 0 if quick else 15.0)
        floor = best / operations
        out[name] = {
            "examples_a_second": speed,
            "per_cent_of_floor": 100 * speed / floor,
            "peak_mib": peak_mib(),
        }
        say(f"  {speed:.2f} examples a second, {100 * speed / floor:.0f} % of the floor")
        del scorer
    finder = PathFinder(data, config.paths)
    finder(part)
    start = time.perf_counter()
    for _ in range(20):
        finder(part)
    took = (time.perf_counter() - start) / 20
    out["paths_per_cent_of_a_step"] = 100 * took / (BATCH / out["ours"]["examples_a_second"])
    return out


def _plain_lora(scorer: LMScorer) -> None:
    """Put peft's own forward pass back where ours takes its place."""
    from peft.tuners.lora import Linear

    for module in scorer.modules():
        if isinstance(module, Linear) and "forward" in vars(module):
            del module.forward
