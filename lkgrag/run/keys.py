"""What identifies a stage, a training and a set of scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.utils.plugins import source_hash

if TYPE_CHECKING:
    from lkgrag.config import Config


def code_of_others(config: Config) -> dict[str, str]:
    """Hashes of the code of others that a run computes with, by the option that names it.

    Raises:
        ConfigError: a retriever, scorer or verbaliser cannot be imported.
    """
    from lkgrag.config import PUBLISHED
    from lkgrag.prompt.verbalisers.resolver import resolve_verbaliser
    from lkgrag.retrieval.custom import custom_code
    from lkgrag.scorer import code_of

    found = {"scorer.name": code_of(config.scorer.name), **custom_code(config.retrieval)}
    if config.prompt.verbaliser not in PUBLISHED:
        found["prompt.verbaliser"] = source_hash(resolve_verbaliser(config.prompt.verbaliser))
    return {option: code for option, code in found.items() if code is not None}
