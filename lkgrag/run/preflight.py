"""What a run would fail on later, checked before anything is computed or written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.config import PUBLISHED

if TYPE_CHECKING:
    import torch

    from lkgrag.config import Config


def preflight(config: Config, device: torch.device) -> None:
    """Check the names of systems, scorer, verbaliser and language model, and whether its type suits the device.

    A built-in language model is fetched here.

    Args:
        config: of the run.
        device: of this process.

    Raises:
        LkgragError: naming the option and what it takes.
    """
    from lkgrag.prompt.verbalisers.resolver import resolve_verbaliser
    from lkgrag.retrieval.systems import check_systems
    from lkgrag.run.ranker_stages import NO_LLM
    from lkgrag.scorer.resolver import resolve_scorer

    check_systems(config.retrieval)
    resolve_scorer(config.scorer.name)
    if config.prompt.verbaliser not in PUBLISHED:
        resolve_verbaliser(config.prompt.verbaliser)
    if config.llm.name != NO_LLM:
        from lkgrag.llm.four_bit import refuse_four_bit
        from lkgrag.llm.loading import compute_dtype, load_tokenizer, locate

        compute_dtype(config.llm, device)
        if config.llm.quantization == "nf4":
            refuse_four_bit(device)
        # A model that cannot be had mostly shows by its tokenizer, which is small.
        load_tokenizer(locate(config.llm.name))
