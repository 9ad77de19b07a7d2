"""From ``llm.readout`` to a readout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.llm.readouts.base import Readout
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.plugins import resolve

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lkgrag.config import LLMConfig

#: Readouts of this package; imported when asked for.
REGISTERED = {
    "candidates": "lkgrag.llm.readouts.candidates:CandidateReadout",
    "letters": "lkgrag.llm.readouts.letters:LetterReadout",
}
#: Entry points of other packages: name = "package.module:Class".
GROUP = "lkgrag.readouts"
OPTION = "llm.readout"


def resolve_readout(name: str) -> type[Readout]:
    """The class that ``llm.readout`` means.

    Args:
        name: a name of :data:`REGISTERED`, the name of an entry point of :data:`GROUP`, or
            ``package.module:Class``. This package's names come first.

    Raises:
        ConfigError: there is no such readout, it cannot be imported, or it is no readout.
    """
    return resolve(name, REGISTERED, GROUP, OPTION, Readout, "readout")


def build_readout(model: PreTrainedModel, config: LLMConfig, seed: int) -> Readout:
    """Build the readout of a configuration for a model.

    Args:
        model: the causal language model, before LoRA is put on it.
        config: of the language model.
        seed: of the initial weights.

    Raises:
        ConfigError: the readout is unknown, or its class cannot be built.
        ModelError: it cannot read the model.
    """
    cls = resolve_readout(config.readout)

    def tell(error: BaseException) -> str:
        return f"{OPTION}={config.readout}: {cls.__name__} cannot be built: {error!r}"

    with guard_custom_code(tell):
        return cls(model, config, seed)
