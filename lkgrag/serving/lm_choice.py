"""Whether a ranker serves with its language model, and with which weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.config.schema import SERVING
from lkgrag.errors import ConfigError, nearest

if TYPE_CHECKING:
    from lkgrag.ranker.fusion import TermWeights
    from lkgrag.ranker.fusion_weights import FittedWeights


def choose_serving(
    weights: TermWeights, fitted: FittedWeights | None, lm: str, has_lm: bool, where: str
) -> tuple[TermWeights, bool]:
    """The weights of the score, and whether the language model reads the prompts.

    Args:
        weights: that the ranker was saved with.
        fitted: the weights with and without the language model, if known.
        lm: ``auto``, ``always`` or ``never``.
        has_lm: whether the ranker has a language model.
        where: the ranker, for messages.

    Raises:
        ConfigError: ``lm`` is another word, or ``always`` without a language model, or ``never`` where nothing
            else ranks.
    """
    if lm not in SERVING:
        raise ConfigError(
            f"serving.lm={lm!r} is none of {', '.join(SERVING)}.{nearest(str(lm), SERVING)}"
        )
    if lm == "always" and not has_lm:
        raise ConfigError(
            f"serving.lm=always: {where} has no language model; set serving.lm=auto, or train one with llm.name"
        )
    is_read = has_lm and (lm == "always" or (lm == "auto" and weights.lm > 0))
    if is_read:
        with_lm = fitted.with_lm if fitted is not None else weights
        # A language model without a weight of its own still reads, but decides nothing.
        return (with_lm if weights.lm == 0 else weights), True
    if not has_lm or weights.lm == 0:
        return weights, False
    without = fitted.without_lm if fitted is not None else weights._replace(lm=0.0)
    if without.scorer == without.prior == 0:
        raise ConfigError(
            f"serving.lm=never: {where} was trained with training.fuse=[], so nothing else than its language model "
            "ranks; set serving.lm=auto"
        )
    return without._replace(lm=0.0).normalised(), False
