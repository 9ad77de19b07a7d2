"""A reranker that reads texts, trained on a GPU: real titles and permuted titles, end to end from prepared files.

1. On a CPU, with the cache of a run: ``python -m benchmarks.language.gpu prepare out=DIR preset=amazon-beauty,text-first
   ...`` writes graphs, lists, texts and scores out of fold, and refuses to write more than 60 MB.
2. Where the language model has to be carried in parts: ``python -m benchmarks.language.gpu split model=FILE.gguf out=DIR``.
3. On the GPU: ``python -m benchmarks.language.gpu rank data=DIR out=SCORES [model=FOLDER] [sizes=2500,5000] [minutes=3]``
   trains each arm and writes the scores of the validation lists, no weights. Files that are there are kept.
4. Anywhere: ``python -m benchmarks.language.gpu stack out=SCORES`` prints what each arm adds to scorer and prior.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from benchmarks.common import say
from benchmarks.language.prepared import LISTS, VALIDATION, Prepared, prepare, read_prepared
from benchmarks.language.stacking import SIZES, describe, learning_curve, stack
from lkgrag.config.loading import load_config
from lkgrag.data.assets.gguf import convert_gguf
from lkgrag.errors import ConfigError, LkgragError
from lkgrag.llm import LMScorer, load_llm
from lkgrag.prompt import Prompter, build_prompter
from lkgrag.prompt.order import CandidateOrder
from lkgrag.ranker.fusion import Fusion
from lkgrag.ranker.fusion_weights import TermLists
from lkgrag.ranker.model import RankerModel
from lkgrag.ranker.scoring import score_queries
from lkgrag.scorer.resolver import new_scorer
from lkgrag.scorer.state import load_scorer
from lkgrag.training.loop import Trainer
from lkgrag.training.residual import FixedTerms
from lkgrag.utils.files import read_json, write_json

#: The prompts' titles: the items' own, and those of other items (as much text, and no language).
ARMS = ("real", "permuted")
#: Bytes of a part of a language model.
PART = 45_000_000
#: Prompts of a forward pass that ranks.
BATCH = 64


class TimeIsUpError(Exception):
    """Training has reached its limit of time."""


def build_ranker(prepared: Prepared, arm: str, device: torch.device) -> RankerModel:
    """Build the untrained ranker of an arm.

    Args:
        prepared: the files.
        arm: one of :data:`ARMS`.
        device: of the ranker.
    """
    config, graph = prepared.config, prepared.graph
    scorer = new_scorer(config.scorer, config.paths.search, graph, config.seed)
    load_scorer(prepared.folder / "scorer.safetensors", scorer)
    weights = read_json(prepared.folder / "weights.json")
    fusion = Fusion(weights["a"], weights["b"], config.training.fuse)
    model, tokenizer = load_llm(config.llm, device)
    lm = LMScorer(model, config.llm, config.seed)
    prompter = build_prompter(tokenizer, graph.data, config.prompt, lm.readout.layout)
    if not isinstance(prompter, Prompter):
        raise ConfigError("a published prompt has no texts to permute")
    prompter.fit(prepared.graphs.chunks(prepared.training))
    if arm == "permuted":
        permute_titles(prompter, config.seed)
    ranker = RankerModel(lm, scorer.to(device), prompter, fusion.to(device))
    ranker.scorer.requires_grad_(False)
    ranker.fusion.requires_grad_(False)
    return ranker


def permute_titles(prompter: Prompter, seed: int) -> None:
    """Give every item of a prompter the text of another one, in place."""
    order = np.random.default_rng([seed, 0x9E]).permutation(len(prompter.titles))
    same = prompter.choices is prompter.titles
    prompter.titles = [prompter.titles[i] for i in order]
    prompter.choices = prompter.titles if same else [prompter.choices[i] for i in order]


def train_and_score(
    prepared: Prepared, arm: str, minutes: float, out: Path, size: int
) -> TermLists:
    """Train an arm on so many lists and score the validation lists, or read the scores.

    Args:
        prepared: the files.
        arm: one of :data:`ARMS`.
        minutes: of training; the best weights by then rank.
        out: folder of the scores; a file that is there is read.
        size: number of training lists, the first of the seeded order.
    """
    path = out / f"{arm}-{size}.npz"
    if not path.exists():
        accelerator = Accelerator(mixed_precision="no")
        clock = [time.perf_counter()]
        ranker = build_ranker(prepared, arm, accelerator.device)
        config = replace(prepared.config.training, max_examples=-1)
        order = CandidateOrder(prepared.config.prompt.order, prepared.config.seed)
        lists = (prepared.graphs, prepared.training[slice(0, size)])
        trainer = Trainer(ranker, *lists, config, order, accelerator)
        clock.append(time.perf_counter())
        steps, is_cut = _train(trainer, prepared.fixed, 60 * minutes)
        clock.append(time.perf_counter())
        found = score_queries(ranker, prepared.graph, prepared.validation, order, BATCH)
        clock.append(time.perf_counter())
        seconds = dict(zip(("prepare", "train", "rank"), np.diff(clock).tolist(), strict=True))
        about = {
            "arm": arm,
            "lists": size,
            "steps": steps,
            "of": len(trainer.batches),
            "cut": is_cut,
            "seconds": seconds,
        }
        say(json.dumps(about))
        out.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez_compressed(
            part,
            terms=found.terms.astype(np.float32),
            mask=found.mask,
            target=prepared.validation.target,
            user=prepared.validation.user,
            about=json.dumps(about),
        )
        part.replace(path)
    return read_scores(path)


def _train(trainer: Trainer, fixed: FixedTerms, seconds: float) -> tuple[int, bool]:
    """Train until the end or the limit; return the steps and whether the limit cut them."""
    end, done = time.perf_counter() + seconds, [0]

    def watch(step: int, steps: int) -> None:
        done[0] = step
        if step and step < steps and time.perf_counter() > end:
            raise TimeIsUpError

    try:
        return len(trainer.fit(watch, fixed)), False
    except TimeIsUpError:
        trainer.stopping.restore(trainer.model)
        return done[0], True


def read_scores(path: Path) -> TermLists:
    """The scores of an arm, as :func:`~benchmarks.language.stacking.stack` takes them."""
    with np.load(path) as stored:
        terms = stored["terms"].astype(np.float64)
        return TermLists(terms, stored["mask"], stored["target"], stored["user"])


def rank(prepared: Prepared, out: Path, sizes: list[int], minutes: float) -> dict[str, Any]:
    """Train and score both arms, size by size; return their learning curves."""
    curves = {}
    for arm in ARMS:
        train = partial(train_and_score, prepared, arm, minutes, out)
        curves[arm] = learning_curve(train, sizes)
        for row in curves[arm]:
            print(f"{arm:<9}{describe(row)}", flush=True)
    return curves


def split_file(path: Path, out: Path) -> list[Path]:
    """Cut a file into parts of 45 MB, which :func:`join_model` puts together."""
    out.mkdir(parents=True, exist_ok=True)
    parts: list[Path] = []
    with open(path, "rb") as file:
        while chunk := file.read(PART):
            parts.append(out / f"model.gguf.{len(parts):02d}")
            parts[-1].write_bytes(chunk)
    return parts


def join_model(folder: Path) -> Path:
    """The folder of a language model that was carried in parts, or the folder itself without parts."""
    parts = sorted(folder.glob("model.gguf.[0-9][0-9]"))
    if not parts:
        return folder
    whole, plain = folder / "model.gguf", folder / "plain"
    if not (plain / "config.json").is_file():
        with open(whole, "wb") as file:
            for part in parts:
                file.write(part.read_bytes())
        shutil.rmtree(plain, ignore_errors=True)
        convert_gguf(whole, plain)
        whole.unlink()
    return plain


def main(argv: list[str]) -> int:
    """Entry point; returns the exit status."""
    usage = (__doc__ or "").strip()
    names = {"prepare": (), "split": ("model",), "rank": ("data",), "stack": ()}
    pairs = dict(word.split("=", 1) for word in argv[1:] if "=" in word)
    needed = ("out", *names.get(argv[0], ())) if argv else ("?",)
    if any(name not in pairs for name in needed):
        print(usage, file=sys.stderr)
        return 2
    out = Path(pairs.pop("out"))
    try:
        if argv[0] == "prepare":
            limits = [
                int(pairs.pop(n, d)) for n, d in (("lists", LISTS), ("validation", VALIDATION))
            ]
            say(f"{out}: {prepare(load_config(pairs), out, *limits) / 1e6:.1f} MB")
        elif argv[0] == "split":
            say(f"{len(split_file(Path(pairs['model']), out))} parts in {out}")
        elif argv[0] == "rank":
            model = str(join_model(Path(pairs["model"]))) if "model" in pairs else None
            sizes = [int(n) for n in pairs.get("sizes", str(SIZES[-1])).split(",")]
            minutes = float(pairs.get("minutes", 3))
            write_json(
                out / "curves.json",
                rank(read_prepared(Path(pairs["data"]), model), out, sizes, minutes),
            )
        else:
            for path in sorted(out.glob("*-*.npz")):
                arm, size = path.stem.split("-")
                print(f"{arm:<9}{describe({'lists': int(size), **stack(read_scores(path))})}")
    except LkgragError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
