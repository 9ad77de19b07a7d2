"""Spaces: which options are tuned, and which values they may take."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from lkgrag.config.fields import show, value_of
from lkgrag.config.loading import option_of
from lkgrag.errors import ConfigError, nearest
from lkgrag.scorer.resolver import resolve_scorer

if TYPE_CHECKING:
    from optuna.trial import Trial

    from lkgrag.config import Config


@dataclass(frozen=True)
class Parameter:
    """One option and its values: a range, or a list.

    Attributes:
        key: of the option.
        low: the smallest value of a range.
        high: the largest one.
        log: whether the range is even in the logarithm.
        step: between two values; None for a range without gaps, or for whole numbers in steps of 1.
        choices: the values of a list; empty for a range.
    """

    key: str
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the range is one of whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def labels(self) -> list[Any]:
        """What stands for each choice in a study, which keeps numbers, truth values, texts and null only.

        A study takes ``1``, ``true`` and ``1.0`` for the same, so the second and the third of them are texts.
        """
        labels: list[Any] = []
        for choice in self.choices:
            is_plain = choice is None or isinstance(choice, bool | int | float)
            is_like = any(choice == x and type(choice) is not type(x) for x in labels)
            labels.append(choice if is_plain and not is_like else show(choice))
        return labels

    def contains(self, value: Any) -> bool:
        """Whether a value is among those of the parameter."""
        if self.choices:
            return any(type(c) is type(value) and c == value for c in self.choices)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not self.low <= value <= self.high:
            return False
        return self.step is None or is_whole_number((value - self.low) / self.step)

    def stored(self, value: Any) -> Any:
        """What a study keeps for one of the values."""
        if not self.choices:
            return value
        return next(
            label
            for label, c in zip(self.labels, self.choices, strict=True)
            if type(c) is type(value) and c == value
        )

    def suggest(self, trial: Trial) -> Any:
        """The value that the study proposes for a trial."""
        if self.choices:
            label = trial.suggest_categorical(self.key, self.labels)
            place = [(type(x), x) for x in self.labels].index((type(label), label))
            return self.choices[place]
        if self.is_whole:
            return trial.suggest_int(
                self.key, int(self.low), int(self.high), step=int(self.step or 1), log=self.log
            )
        value = trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.log)
        # A sum of steps has digits of rounding.
        return value if self.step is None else float(f"{value:.12g}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in the file."""
        if self.choices:
            return {"choices": list(self.choices)}
        out: dict[str, Any] = {"low": self.low, "high": self.high}
        return (
            out | ({"log": True} if self.log else {}) | ({"step": self.step} if self.step else {})
        )


@dataclass(frozen=True)
class Space:
    """What is tuned.

    Attributes:
        name: of the space: that of a shipped one, or the file's stem.
        parameters: in the order of the file.
        is_shipped: whether it comes with this package.
    """

    name: str
    parameters: tuple[Parameter, ...]
    is_shipped: bool = False

    def for_scorer(self, config: Config) -> Space:
        """The space without options that the scorer does not take.

        Args:
            config: names the scorer.

        Raises:
            ConfigError: the space is the user's own, and names such an option.
        """
        cls = resolve_scorer(config.scorer.name)
        declared = getattr(cls, "options_class", None)
        if declared is not None:
            # Networks take keywords of any name, and check them by this class.
            signature, takes_all = [f.name for f in fields(declared)], False
        else:
            given = inspect.signature(cls).parameters
            signature = [name for name, p in given.items() if p.kind is not p.VAR_KEYWORD]
            takes_all = len(signature) < len(given)
        left = []
        for parameter in self.parameters:
            _, _, option = parameter.key.partition("scorer.kwargs.")
            if takes_all or not option or option in signature:
                left.append(parameter)
            elif not self.is_shipped:
                raise ConfigError(
                    f"space={self.name}: option '{parameter.key}': the scorer {config.scorer.name} takes no "
                    f"'{option}'.{nearest(option, signature)} Leave it out"
                )
        return replace(self, parameters=tuple(left))

    def own_values(self, config: Config) -> dict[str, Any]:
        """The values of a configuration, by key, where they are among those of the space.

        Args:
            config: before tuning.
        """
        out = {}
        for parameter in self.parameters:
            option, words = option_of(parameter.key, "")
            value = value_of(config, option)
            for word in words:
                value = value.get(word) if isinstance(value, dict) else None
            if parameter.contains(value):
                out[parameter.key] = value
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in the file."""
        return {p.key: p.to_dict() for p in self.parameters}


def is_whole_number(number: float) -> bool:
    """Whether a quotient is a whole number, but for rounding."""
    return abs(number - round(number)) < 1e-6
