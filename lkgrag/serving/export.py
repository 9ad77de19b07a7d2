"""The export of a run: the merged language model, the rest of the ranker, and the change of scores."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lkgrag.errors import ConfigError, ModelError
from lkgrag.llm.merge import merge, write_model
from lkgrag.ranker.fusion import Fusion
from lkgrag.ranker.model import RankerModel
from lkgrag.serving.card import metadata
from lkgrag.serving.ranker import Ranker
from lkgrag.serving.saving import seal
from lkgrag.utils.console import console
from lkgrag.utils.files import find_foreign_entry, read_json, user_path, write_json
from lkgrag.utils.layout import ADAPTER, CARD, META, RANKER
from lkgrag.utils.progress import rename_activity

if TYPE_CHECKING:
    from lkgrag.config import LLMConfig

    #: For each user: item -> (language model's score, fused score).
    Scores = list[dict[str, tuple[float, float]]]

REPORT = "export.json"
#: Folder of the merged model, relative to the ranker's folder.
ABOVE = ".."

TEXT = """# {name}

A language model with what an lkgrag run learned merged into it{quantised}, and the rest of that run's
ranker.

| here | what it is |
|---|---|
| `config.json`, `model*.safetensors`, `generation_config.json` | the merged model ({dtype}), a plain transformers folder |
| `tokenizer*`, `special_tokens_map.json` | its tokenizer |
| `ranker/` | the rest of the ranker: {head}path scorer, fusion, graph, retriever, catalogue, histories, configuration |
| `{report}` | how far scores moved in merging |

```python
from transformers import AutoModelForCausalLM
from lkgrag import Ranker

model = AutoModelForCausalLM.from_pretrained("{name}")  # the language model alone
ranker = Ranker.from_pretrained("{name}")  # the whole ranker, without peft and bitsandbytes
```

`python -m lkgrag.recommend run={name} users=...` ranks with it. `llm.name={name}` starts a new training
from it. Over {prompts} prompts ({scores} scores) the largest difference to the run's own scores is
{lm:.2g} in the language model's score and {score:.2g} in the fused score. {first} of {prompts} rankings
have another first item. Base model: {base}. Its licence holds for the merged weights.
"""


@dataclass(frozen=True)
class Moved:
    """How far the merge moved scores.

    Attributes:
        prompts: number of compared prompts.
        scores: number of compared scores.
        lm: largest difference of the language model's centred score.
        score: largest difference of the fused score.
        first: rankings whose first item changed.
    """

    prompts: int
    scores: int
    lm: float
    score: float
    first: int


def export(run: Path, out: str, dtype: str, prompts: int, overwrite: bool) -> Moved:
    """Merge a run's adapter, write the result, read it again and compare the scores.

    Args:
        run: folder of a finished run.
        out: folder to write; it appears whole or not at all.
        dtype: of the weights; ``auto`` means the run's own.
        prompts: users whose rankings are compared.
        overwrite: replace an earlier export.

    Returns:
        How far the scores moved.

    Raises:
        ConfigError: ``out`` holds something else, or the run itself, or an export without ``overwrite``.
        ModelError: the run has no language model, or is an export already.
    """
    target = user_path(out, "out")
    _refuse_used(target, run, overwrite)
    meta = read_json(run / RANKER / META)
    if meta.get("llm") is None:
        raise ModelError(f"run={run}: it has no language model (llm.name=none): nothing to merge")
    if meta.get("merged") is not None:
        raise ModelError(f"run={run}: this is an export, its adapter is merged already")
    rename_activity("load the ranker")
    ranker = Ranker.from_pretrained(run / RANKER, lm="always")
    rename_activity("rank with the adapter")
    before = score_users(ranker, prompts)
    part, old = (target.with_name(f".{target.name}.{suffix}") for suffix in ("part", "old"))
    for rest in (part, old):
        if rest.exists():
            shutil.rmtree(rest)
    try:
        rename_activity("merge and write")
        weights = _write(ranker, run / RANKER, part, dtype)
        llm, head = ranker.context.config.llm, metadata(ranker.context)
        del ranker
        rename_activity("rank with the merged model")
        moved = compare(before, score_users(Ranker.from_pretrained(part, lm="always"), prompts))
        write_json(part / REPORT, vars(moved))
        has_head = (part / RANKER / "readout.safetensors").exists()
        text = _format_readme(target, llm, weights, moved, has_head)
        (part / CARD).write_text(f"{head}\n\n{text}", encoding="utf-8")
        if target.exists():
            # Renamed, so that no moment leaves a half-deleted export.
            os.replace(target, old)
        os.replace(part, target)
    finally:
        if old.exists() and not target.exists():
            os.replace(old, target)
        shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(part, ignore_errors=True)
    console.print(
        f"merged into {target} ({str(weights).removeprefix('torch.')}); largest difference over "
        f"{moved.prompts} prompts ({moved.scores} scores): {moved.lm:.2g} in the language model's "
        f"score, {moved.score:.2g} in the ranking's; {moved.first} rankings have another first item",
        soft_wrap=True,
    )
    return moved


def _refuse_used(target: Path, run: Path, overwrite: bool) -> None:
    """Refuse a folder that an export may not replace.

    Raises:
        ConfigError: naming the folder and what it holds.
    """
    if target.exists() and not target.is_dir():
        raise ConfigError(f"out={target}: a file; name a folder")
    if target.resolve() in (run.resolve(), *run.resolve().parents):
        raise ConfigError(f"out={target}: holds the run; name another folder")
    other = find_foreign_entry(target, lambda f: (f / REPORT).is_file())
    if other is not None:
        raise ConfigError(f"out={target}: holds {other} and no export; name another folder")
    if target.is_dir() and any(target.iterdir()) and not overwrite:
        raise ConfigError(
            f"out={target}: holds an export; name another folder, or set overwrite=true"
        )


def _write(ranker: Ranker, source: Path, part: Path, dtype: str) -> torch.dtype:
    """Write the merged model, and the ranker's files without the adapter.

    Args:
        ranker: of the run.
        source: folder of the saved ranker.
        part: folder to write.
        dtype: as of :func:`export`.

    Returns:
        The dtype of the weights.
    """
    lm, prompter = ranker.model.lm, ranker.model.prompter
    if lm is None or prompter is None:
        raise ModelError(f"{source}: it has no language model (llm.name=none): nothing to merge")
    weights: torch.dtype = lm.dtype if dtype == "auto" else getattr(torch, dtype)
    part.mkdir(parents=True)
    model = lm.model.to(weights) if lm.is_full else merge(lm.model, weights)
    write_model(model, prompter.tokenizer, part)
    shutil.copytree(source, part / RANKER, ignore=shutil.ignore_patterns(ADAPTER, CARD, ".*"))
    for head in (source / ADAPTER).glob("readout.safetensors"):
        shutil.copy2(head, part / RANKER / head.name)
    write_json(part / RANKER / META, {**read_json(source / META), "merged": ABOVE})
    seal(part / RANKER, _model_files(part))
    return weights


def _model_files(part: Path) -> list[str]:
    """The merged model's files that the ranker reads, relative to the ranker's folder."""
    names = sorted(file.name for file in part.iterdir() if file.is_file())
    return [f"{ABOVE}/{name}" for name in names if name != "generation_config.json"]


def score_users(ranker: Ranker, prompts: int) -> Scores:
    """Scores of the candidates of the first ``prompts`` users.

    The language model counts in full, whatever weight it has earned: it is what is compared.
    """
    context, model = ranker.context, ranker.model
    users = ranker.users()[:prompts]
    k = min(context.config.retrieval.k, len(context.catalogue))
    _, a, b = model.fusion.weights
    fusion = Fusion(a, b, model.fusion.terms).to(model.device)
    reading = Ranker(RankerModel(model.lm, model.scorer, model.prompter, fusion), context)
    rankings = reading.recommend_users(users, k=k, explain=False)
    return [{item.item: (item.lm, item.score) for item in ranking.items} for ranking in rankings]


def compare(before: Scores, after: Scores) -> Moved:
    """The largest differences between two rankers' scores of the same candidates."""
    pairs = [
        (old[item], new[item])
        for old, new in zip(before, after, strict=True)
        for item in old.keys() & new.keys()
    ]
    return Moved(
        prompts=len(before),
        scores=len(pairs),
        lm=max((abs(a[0] - b[0]) for a, b in pairs), default=0.0),
        score=max((abs(a[1] - b[1]) for a, b in pairs), default=0.0),
        first=sum(next(iter(a), None) != next(iter(b), None) for a, b in zip(before, after)),
    )


def _format_readme(
    target: Path, llm: LLMConfig, weights: torch.dtype, moved: Moved, has_head: bool
) -> str:
    """The export's README.md."""
    is_quantised = llm.quantization != "none"
    return TEXT.format(
        name=target.name,
        quantised=", dequantised from 4 bits" if is_quantised else "",
        dtype=str(weights).removeprefix("torch."),
        head="the readout's head, " if has_head else "",
        report=REPORT,
        base=llm.name,
        **vars(moved),
    )
