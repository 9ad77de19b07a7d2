"""What a run would fail on later, checked before anything is computed or written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.config import NO_LLM
from lkgrag.llm.readouts.resolver import resolve_readout
from lkgrag.prompt.builder import check_prompt
from lkgrag.retrieval.systems import check_systems
from lkgrag.scorer.resolver import resolve_scorer

if TYPE_CHECKING:
    import torch

    from lkgrag.config import LLMConfig, PromptConfig, RetrievalConfig, ScorerConfig


def preflight(
    retrieval: RetrievalConfig,
    scorer: ScorerConfig,
    prompt: PromptConfig,
    llm: LLMConfig,
    device: torch.device,
) -> None:
    """Check the names of systems, scorer, verbaliser, readout and language model, and its type on the device.

    A built-in language model is fetched here.

    Args:
        retrieval: options of stage one.
        scorer: of the scorer.
        prompt: of the prompts.
        llm: of the language model.
        device: of this process.

    Raises:
        LkgragError: naming the option and what it takes.
    """
    check_systems(retrieval)
    resolve_scorer(scorer.name)
    check_prompt(prompt, resolve_readout(llm.readout).layout, retrieval.k)
    if llm.name != NO_LLM:
        # Only here: a run without a language model does not wait for transformers.
        from lkgrag.llm.four_bit import refuse_four_bit
        from lkgrag.llm.loading import compute_dtype, load_tokenizer, locate

        compute_dtype(llm, device)
        if llm.quantization == "nf4":
            refuse_four_bit(device)
        # A model that cannot be had mostly shows by its tokenizer, which is small.
        load_tokenizer(locate(llm.name))
