"""Checks of names and models, before anything is computed or written: a run would fail on them later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.config import NO_LLM
from lkgrag.data.assets.models import load_tokenizer, locate
from lkgrag.llm.four_bit import refuse_four_bit
from lkgrag.llm.loading import compute_dtype
from lkgrag.llm.readouts.resolver import resolve_readout
from lkgrag.llm.requirements import refuse_without_memory, warn_of_slow_bf16
from lkgrag.prompt.builder import check_prompt
from lkgrag.retrieval.systems import check_systems
from lkgrag.scorer.resolver import check_search
from lkgrag.text import EncoderChoice, check_encoder

if TYPE_CHECKING:
    import torch

    from lkgrag.config import Config


def preflight(config: Config, device: torch.device) -> None:
    """Check the names of encoder, systems, scorer, verbaliser, readout and language model, its dtype and memory.

    A built-in model is fetched here.

    Args:
        config: of the run.
        device: device of this process.

    Raises:
        LkgragError: naming the option and what it takes.
    """
    llm = config.llm
    check_systems(config.retrieval)
    check_search(config.scorer, config.paths.search)
    check_prompt(config.prompt, resolve_readout(llm.readout).layout, config.retrieval.k)
    if llm.name != NO_LLM:
        compute_dtype(llm, device)
        if llm.quantization == "nf4":
            refuse_four_bit(device)
        where = locate(llm.name)
        refuse_without_memory(llm, where, device)
        warn_of_slow_bf16(llm, device)
        # A model that is not available mostly fails on its tokenizer, which is small.
        load_tokenizer(where)
    encoder = EncoderChoice.of(config.text, llm)
    if encoder is not None:
        check_encoder(encoder)
