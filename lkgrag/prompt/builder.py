"""From a configuration to a prompter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.errors import ConfigError
from lkgrag.prompt.base import BasePrompter
from lkgrag.prompt.layout import PromptLayout
from lkgrag.prompt.letters import LETTERS
from lkgrag.prompt.prompter import Prompter
from lkgrag.prompt.resolver import OPTION, resolve_verbaliser
from lkgrag.utils.failures import guard_custom_code

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from transformers import PreTrainedTokenizerBase

    from lkgrag.config import PromptConfig


def build_prompter(
    tokenizer: PreTrainedTokenizerBase,
    data: HeteroData,
    config: PromptConfig,
    layout: PromptLayout | str,
) -> BasePrompter:
    """Build the prompter that ``prompt.verbaliser`` asks for.

    Args:
        tokenizer: of the language model.
        data: the graph, for titles and names.
        config: of the prompts.
        layout: that the readout reads.

    Raises:
        ConfigError: there is no such wording, it cannot have that layout, or its class cannot be built.
    """
    cls = resolve_verbaliser(config.verbaliser)
    if not issubclass(cls, BasePrompter):
        return Prompter(tokenizer, data, config, layout)

    def tell(error: BaseException) -> str:
        return f"{OPTION}={config.verbaliser}: {cls.__name__} cannot be built: {error!r}"

    layout = cls.check_layout(layout, config.verbaliser)
    with guard_custom_code(tell):
        return cls(tokenizer, data, config, layout)


def check_prompt(config: PromptConfig, layout: PromptLayout, num_candidates: int) -> None:
    """Refuse what no prompt can hold, before a language model is loaded.

    Args:
        config: of the prompts.
        layout: that the readout reads.
        num_candidates: a prompt.

    Raises:
        ConfigError: there is no such wording, it cannot have that layout, or the candidates outnumber the
            letters.
    """
    cls = resolve_verbaliser(config.verbaliser)
    prompter = cls if issubclass(cls, BasePrompter) else Prompter
    prompter.check_layout(layout, config.verbaliser)
    if layout is PromptLayout.LETTERS and num_candidates > len(LETTERS):
        raise ConfigError(
            f"retrieval.k={num_candidates}: llm.readout reads index letters, of which there are "
            f"{len(LETTERS)}; lower it, or set llm.readout=candidates"
        )
