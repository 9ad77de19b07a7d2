"""The fit of the fusion's weights on candidate lists whose scores are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lkgrag.config import TERMS
from lkgrag.ranker.fusion import TermWeights
from lkgrag.ranker.logit import STRENGTHS, fit_ridge
from lkgrag.utils.standard_errors import standard_error

#: Folds of users, for the choice of the strength and for cross-fitted weights.
FOLDS = 5
#: The weights where nothing is known: each term counts as much as any other.
EQUAL = TermWeights(1.0, 1.0, 1.0)
#: Index of the LM among the terms.
LM = 0
#: Weights of the retriever's ranking: the prior alone.
_PRIOR_ALONE = np.asarray([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class TermLists:
    """Candidate lists with the three terms of the fused score, to fit weights on.

    Attributes:
        terms: float64 ``[3, E, C]``: centred LM, centred scorer, prior.
        mask: bool ``[E, C]``, the filled slots.
        target: int64 ``[E]``, candidate slot of the target; -1 if no candidate is the target. Such a list
            is left out of the fit.
        user: int64 ``[E]``, user index of each list.
        read: bool ``[E]``, the lists that the LM read, whose LM term is known; all by default.
    """

    terms: NDArray[np.float64]
    mask: NDArray[np.bool_]
    target: NDArray[np.int64]
    user: NDArray[np.int64]
    read: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        """Number of lists."""
        return len(self.target)

    @property
    def is_read(self) -> NDArray[np.bool_]:
        """:attr:`read`, filled in, bool ``[E]``."""
        return np.ones(len(self), bool) if self.read is None else self.read

    def __getitem__(self, index: NDArray[np.bool_]) -> TermLists:
        """The lists selected by a mask, bool ``[E]``."""
        return TermLists(
            self.terms[:, index],
            self.mask[index],
            self.target[index],
            self.user[index],
            self.is_read[index],
        )


@dataclass(frozen=True)
class FittedWeights:
    """Weights of the fused score, fitted with and without the language model; each sums to one.

    Attributes:
        with_lm: of all three terms.
        without_lm: of scorer and prior; the language model has none.
        control: of scorer and prior, fitted as ``with_lm`` is, with the language model's scores left out. So
            the two differ by the language model alone.
        gain: how much lower the cross-entropy of held-out users is with the language model than with
            :attr:`control`, in nats a list, on the lists that it read; 0 without one.
        gain_se: its standard error, over users; NaN with fewer than two.
    """

    with_lm: TermWeights
    without_lm: TermWeights
    control: TermWeights
    gain: float = 0.0
    gain_se: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without infinity, which JSON lacks."""
        finite = {
            name: value if math.isfinite(value) else None
            for name, value in (("gain", self.gain), ("gain_se", self.gain_se))
        }
        names = ("with_lm", "without_lm", "control")
        return {**{name: list(getattr(self, name)) for name in names}, **finite}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> FittedWeights:
        """What :meth:`to_dict` gave."""
        finite = {n: math.inf if value[n] is None else value[n] for n in ("gain", "gain_se")}
        with_lm, without_lm, control = (
            TermWeights(*value[name]) for name in ("with_lm", "without_lm", "control")
        )
        return cls(with_lm, without_lm, control, finite["gain"], finite["gain_se"])

    @property
    def lm_earns_weight(self) -> bool:
        """Whether the language model helps on other users' lists by more than one standard error."""
        return self.with_lm.lm > 0 and self.gain > self.gain_se

    @property
    def chosen(self) -> TermWeights:
        """The weights to rank with: a language model that earns no weight has none."""
        return self.with_lm if self.lm_earns_weight else self.without_lm


@dataclass(frozen=True)
class CrossFittedWeights:
    """For each of ``E`` lists, weights that were fitted on other users, each float64 ``[E, 3]``.

    The names are those of :class:`FittedWeights`.

    Attributes:
        with_lm: of all three terms.
        without_lm: without the language model.
        chosen: those of the two that other users' lists chose.
        control: as of :class:`FittedWeights`.
    """

    with_lm: NDArray[np.float64]
    without_lm: NDArray[np.float64]
    chosen: NDArray[np.float64]
    control: NDArray[np.float64]


def fit_weights(
    lists: TermLists,
    start: TermWeights = EQUAL,
    seed: int = 0,
    fuse: Sequence[str] = TERMS,
) -> FittedWeights:
    """Fit the weights of the three terms on lists whose terms are known.

    The model is a conditional logit with one non-negative weight a term, fitted in two steps:

    1. The weights of scorer and prior are fitted on all lists, with a ridge towards the prior alone.
    2. All three weights are fitted on the lists that the LM read, with a ridge towards the first result. A
       control is fitted likewise, with the LM's scores left out.

    Cross-validation over users chooses the strength of each ridge. A scorer that does not help on the lists of
    other users gets no weight: then the strongest ridge wins, which stands for no move at all. Many lists
    can thus weigh scorer and prior, even if the LM reads few.

    The LM costs far more than all else. So it must help on other users' lists by more than one standard error
    (the rule of Breiman et al. 1984, section 3.4.3), or :attr:`FittedWeights.chosen` leaves it out.

    Args:
        lists: the lists to fit on.
        start: the result if no list has a target.
        seed: of the folds.
        fuse: those of ``scorer`` and ``prior`` that count; the weight of any other is 0.
    """
    usable = lists[lists.target >= 0]
    m, y, user, read = usable.mask, usable.target, usable.user, usable.is_read
    x = np.where(m, usable.terms, 0.0)
    used = np.asarray([1.0, *(float(t in fuse) for t in TERMS)])
    if len(y) == 0 or used.sum() == 1:
        # Without another term the LM ranks alone.
        return _without_lists(TermWeights(*(np.asarray(start) * used)), alone=used.sum() == 1)
    x = x * used[:, None, None]
    spread = x[LM, read].std(where=m[read]) if read.any() else 0.0
    scale = np.asarray([spread, x[1].std(where=m), 1.0])
    # A term that is constant (no language model, no path) may have any weight.
    divisor = np.where(scale > 0, scale, 1.0)
    x = x / divisor[:, None, None]
    fold = _draw_folds(user, seed)
    without_lm = x.copy()
    without_lm[LM] = 0.0
    first = fit_ridge(without_lm, m, y, fold, _PRIOR_ALONE, np.asarray([1.0, 1.0, 0.0]))
    base = _state(first.weights, divisor, used)
    if scale[LM] == 0:
        return FittedWeights(base, base, base)
    x, m, y, fold, user = x[:, read], m[read], y[read], fold[read], user[read]
    # Without the strongest ridge, so that the LM's worth is measured with a weight, if it can have one at all.
    with_lm, control = (
        fit_ridge(terms, m, y, fold, first.weights, np.ones(3), first.by_fold, STRENGTHS[1:])
        for terms in (x, without_lm[:, read])
    )
    gain = with_lm.measure_gain(x, m, y, fold, control.by_fold)
    return FittedWeights(
        _state(with_lm.weights, divisor, used),
        base,
        _state(control.weights, divisor, used),
        float(gain.mean()),
        standard_error(gain, user),
    )


def _without_lists(weights: TermWeights, alone: bool) -> FittedWeights:
    """The weights where nothing can be fitted; nothing then speaks against the LM."""
    base = weights.normalised() if alone else weights._replace(lm=0.0).normalised()
    return FittedWeights(weights.normalised(), base, base, gain=np.inf)


def _state(
    w: NDArray[np.float64], divisor: NDArray[np.float64], used: NDArray[np.float64]
) -> TermWeights:
    """Weights of standardised terms as weights of the terms, which sum to one."""
    lm, scorer, prior = (w / divisor * used).tolist()
    return TermWeights(lm, scorer, prior).normalised()


def cross_fit_weights(
    lists: TermLists,
    start: TermWeights = EQUAL,
    seed: int = 0,
    fuse: Sequence[str] = TERMS,
    kept: NDArray[np.bool_] | None = None,
) -> CrossFittedWeights:
    """Weights for each list, fitted without any list of its user.

    The figures on validation use them, so that no list measures weights that were fitted on it.

    Args:
        lists: ``E`` lists.
        start: as of :func:`fit_weights`.
        seed: of the folds.
        fuse: as of :func:`fit_weights`.
        kept: bool ``[E]``, the lists to fit on; all by default.
    """
    kept = np.ones(len(lists), bool) if kept is None else kept
    fold = _draw_folds(lists.user, seed)
    rows = {
        f.name: np.tile(np.asarray(start, np.float64), (len(lists), 1))
        for f in fields(CrossFittedWeights)
    }
    for number in np.unique(fold):
        fitted = fit_weights(lists[(fold != number) & kept], start, seed + 1, fuse)
        for name, weights in rows.items():
            weights[fold == number] = getattr(fitted, name)
    return CrossFittedWeights(**rows)


def _draw_folds(user: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The fold of each list, int64 ``[E]``; all lists of a user are in one fold."""
    draw = np.random.default_rng([seed, 0xF01D])
    return draw.integers(0, FOLDS, int(user.max(initial=0)) + 1)[user]
