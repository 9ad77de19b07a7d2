"""What is served: a ranker with and without its language model, and the index of its titles."""

from __future__ import annotations

import hashlib
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.errors import ConfigError, LkgragError, RunError
from lkgrag.service.search import TitleIndex
from lkgrag.serving.ranker import Ranker
from lkgrag.serving.saved_run import find_ranker
from lkgrag.utils.layout import META
from lkgrag.utils.sums import DONE

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

#: Times that a ranker is read anew because it was replaced meanwhile, and seconds between them.
TRIES, PAUSE = 5, 0.5


@dataclass(frozen=True)
class Served:
    """A ranker as the service asks it; nothing changes it.

    Attributes:
        by_lm: the ranker with (True) and without (False) its language model, where it can rank so.
        default: whether the language model ranks where a request does not say.
        titles: the index of titles.
        digest: of the ranker's files.
    """

    by_lm: dict[bool, Ranker]
    default: bool
    titles: TitleIndex
    digest: str

    @classmethod
    def of(cls, ranker: Ranker, digest: str = "") -> Served:
        """Serve a ranker, after one ranking of each kind that loads what is loaded late.

        Raises:
            LkgragError: it cannot rank.
        """
        default = ranker.lm is not None
        by_lm = {default: ranker}
        if default:
            by_lm = {True: ranker.with_serving("always")}
            # Trained with training.fuse=[], nothing else than the language model ranks.
            with suppress(ConfigError):
                by_lm[False] = ranker.with_serving("never")
        context = ranker.context
        try:
            # Of the files that are there now: an update may replace them later.
            _ = context.attributes
        except LkgragError as error:
            log.warning("where= cannot be used: %s", error)
        history = context.catalogue.ids[:1]
        for variant in by_lm.values():
            variant.recommend(history, k=1)
        return cls(by_lm, default, TitleIndex(context.catalogue), digest)

    @property
    def ranker(self) -> Ranker:
        """The ranker as it serves by default."""
        return self.by_lm[self.default]

    def choose(self, lm: bool | None) -> Ranker:
        """The ranker with or without its language model.

        Args:
            lm: None for the default.

        Raises:
            ConfigError: it cannot rank so.
        """
        if lm is None:
            return self.ranker
        if lm in self.by_lm:
            return self.by_lm[lm]
        if lm:
            raise ConfigError(
                "lm: this service ranks without a language model; leave lm out, or start it with serving.lm=always"
            )
        raise ConfigError("lm: nothing else than the language model ranks here; leave lm out")


def digest_of(folder: Path) -> str | None:
    """A hash that tells a saved ranker from its successor; None where there is none, as in the midst of a copy."""
    for name in (DONE, META):
        with suppress(OSError):
            return hashlib.sha256((folder / name).read_bytes()).hexdigest()[:16]
    return None


def load_served(
    folder: Path,
    device: torch.device | str | None = None,
    lm: str | None = None,
    index: str | None = None,
) -> Served:
    """Read a saved ranker, and make sure that all files are of the same one.

    Args:
        folder: of the ranker.
        device: as of :meth:`lkgrag.Ranker.from_pretrained`.
        lm: as of :meth:`lkgrag.Ranker.from_pretrained`.
        index: as of :meth:`lkgrag.Ranker.with_index`; None: as saved.

    Raises:
        LkgragError: it cannot be read, or is replaced again and again.
    """
    for _ in range(TRIES):
        before = digest_of(find_ranker(folder))
        try:
            ranker = Ranker.from_pretrained(folder, device, lm)
            ranker = ranker if index is None else ranker.with_index(index)
            served = Served.of(ranker, before or "")
        except (LkgragError, OSError):
            if before == digest_of(folder):
                raise
        else:
            if before == digest_of(folder):
                return served
        # It was replaced meanwhile: what was read may be of both.
        time.sleep(PAUSE)
    raise RunError(f"{folder}: replaced again and again while it was read; try later")
