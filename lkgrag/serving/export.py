"""The export of a run: a merged language model, the rest of the ranker, and how far scores moved."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.errors import ConfigError, ModelError
from lkgrag.llm.merge import merge, write_model
from lkgrag.serving.ranker import Ranker
from lkgrag.utils.console import console
from lkgrag.utils.files import find_foreign_entry, read_json, write_json
from lkgrag.utils.layout import ADAPTER, META, RANKER

if TYPE_CHECKING:
    import torch

    from lkgrag.config import LLMConfig

README, REPORT = "README.md", "export.json"
#: Where the merged model lies, seen from the ranker's folder.
ABOVE = ".."

TEXT = """# {name}

A language model with the LoRA of an lkgrag run merged into it{quantised}, and the rest of that run's
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

`python -m lkgrag.recommend run={name} users=...` serves it; `llm.name={name}` starts a new training
from it. Over {prompts} prompts ({scores} scores) the largest difference to the run's own scores is
{lm:.2g} in the language model's and {score:.2g} in the ranking's; {first} of {prompts} rankings have
another first item. Base model: {base}. Its licence holds for the merged weights.
"""


@dataclass(frozen=True)
class Moved:
    """How far scores moved.

    Attributes:
        prompts: that were compared.
        scores: that were compared.
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
    """Merge, write, read again and compare.

    Args:
        run: folder of a finished run.
        out: folder to write.
        dtype: of the weights; ``auto``: as the run computed.
        prompts: users whose rankings are compared.
        overwrite: replace an earlier export.

    Raises:
        ConfigError: ``out`` is in use.
        ModelError: there is nothing to merge.
    """
    target = Path(out)
    _refuse_used(target, run, overwrite)
    if read_json(run / RANKER / META).get("llm") is None:
        raise ModelError(f"run={run}: it has no language model (llm.name=none): nothing to merge")
    if read_json(run / RANKER / META).get("merged") is not None:
        raise ModelError(f"run={run}: an export, its adapter is merged already")
    ranker = Ranker.from_pretrained(run / RANKER)
    before = scores_of(ranker, prompts)
    part = target.with_name(f".{target.name}.part")
    if part.exists():
        shutil.rmtree(part)
    try:
        kept = _write(ranker, run / RANKER, part, dtype)
        llm = ranker.context.config.llm
        del ranker
        moved = compare(before, scores_of(Ranker.from_pretrained(part), prompts))
        write_json(part / REPORT, vars(moved))
        text = _readme(target, llm, kept, moved, (part / RANKER / "readout.safetensors").exists())
        (part / README).write_text(text, encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    console.print(
        f"merged into {target} ({str(kept).removeprefix('torch.')}); largest difference over "
        f"{moved.prompts} prompts ({moved.scores} scores): {moved.lm:.2g} in the language model's "
        f"score, {moved.score:.2g} in the ranking's; {moved.first} rankings have another first item",
        soft_wrap=True,
    )
    return moved


def _refuse_used(target: Path, run: Path, overwrite: bool) -> None:
    if target.exists() and not target.is_dir():
        raise ConfigError(f"out={target}: a file; name a folder")
    if target.resolve() in (run.resolve(), *run.resolve().parents):
        raise ConfigError(f"out={target}: holds the run; name another folder")
    found = find_foreign_entry(target, lambda f: (f / REPORT).is_file())
    if found is not None:
        raise ConfigError(f"out={target}: holds {found} and no export; name another folder")
    if target.is_dir() and any(target.iterdir()) and not overwrite:
        raise ConfigError(f"out={target}: holds an export; name another, or set overwrite=true")


def _write(ranker: Ranker, source: Path, part: Path, dtype: str) -> torch.dtype:
    """The merged model, and the ranker's files but the adapter; returns the type of the weights."""
    import torch

    lm, prompter = ranker.model.lm, ranker.model.prompter
    if lm is None or prompter is None:
        raise ModelError(f"{source}: it has no language model (llm.name=none): nothing to merge")
    kept = lm.dtype if dtype == "auto" else getattr(torch, dtype)
    part.mkdir(parents=True)
    write_model(merge(lm.model, kept), prompter.tokenizer, part)
    shutil.copytree(source, part / RANKER, ignore=shutil.ignore_patterns(ADAPTER, ".*"))
    for head in (source / ADAPTER).glob("readout.safetensors"):
        shutil.copy2(head, part / RANKER / head.name)
    write_json(part / RANKER / META, {**read_json(source / META), "merged": ABOVE})
    return kept


def scores_of(ranker: Ranker, prompts: int) -> list[dict[str, tuple[float, float]]]:
    """For each of the first users: item -> (language model's score, fused score)."""
    context = ranker.context
    users = ranker.users()[:prompts]
    k = min(context.config.retrieval.k, len(context.catalogue))
    found = ranker.recommend_users(users, k=k, explain=False)
    return [{item.item: (item.lm, item.score) for item in r.items} for r in found]


def compare(
    before: list[dict[str, tuple[float, float]]], after: list[dict[str, tuple[float, float]]]
) -> Moved:
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


def _readme(target: Path, llm: LLMConfig, kept: torch.dtype, moved: Moved, head: bool) -> str:
    four_bit = llm.quantization != "none"
    return TEXT.format(
        name=target.name,
        quantised=", dequantised from 4 bits" if four_bit else "",
        dtype=str(kept).removeprefix("torch."),
        head="the readout's head, " if head else "",
        report=REPORT,
        base=llm.name,
        **vars(moved),
    )
