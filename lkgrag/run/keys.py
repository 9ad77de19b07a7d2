"""Keys: all that invalidates a cached stage, a checkpoint or stored scores stands on this page.

A key is a dictionary of plain values. Its hash (:func:`lkgrag.config.identity.digest`) names a folder of
the cache. A value that is in no key changes no result. Each key includes the keys of earlier stages:

==============  =========================================================================================
stage           depends on
==============  =========================================================================================
data            options of ``data`` but ``root``, and a hash of the files (:attr:`lkgrag.data.Dataset.key`)
kg              data, options of ``kg``, code of custom relation sources, and how many interactions of each
                user train
vectors         the encoder (name, layer, hash of local files), and the items' texts
lrurec          data, LRURec's options and version, those interactions, whether it is validated, epochs, seed
text            data, the encoder, those interactions, version of the towers, seed
own             data, options of ``kg``, the encoder, those interactions, the class of a custom retriever, its
                options and code, seed
retrieval       data, options of ``kg`` and ``retrieval``, the encoder, version of LRURec, code of custom retrievers, seed
requests        retrieval, version of the model
scorer          retrieval, options of ``paths`` and ``scorer``, ``training.negatives``, code of a custom scorer
out_of_fold     scorer, number of folds
training        retrieval, options of ``paths``, ``scorer``, ``prompt``, ``llm`` and ``training``, custom code
scores          trained weights and queries (:class:`lkgrag.evaluation.score_cache.ScoreCache`), all options
                that scores depend on, custom code
==============  =========================================================================================

The graph's key has no encoder: the vectors are put on the graph when it is read. Keys without an encoder have
no entry for one.

No key includes options that say how a run is carried out, not what it computes
(:data:`lkgrag.config.identity.NOT_HASHED`, :data:`lkgrag.config.identity.CARRIED_OUT`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lkgrag.config.identity import computed, digest, retrieval_identity, to_dict
from lkgrag.kg import custom_relation_code
from lkgrag.llm.readouts.resolver import resolve_readout
from lkgrag.prompt.resolver import resolve_verbaliser
from lkgrag.retrieval import LRURecOptions
from lkgrag.retrieval.custom import custom_code
from lkgrag.retrieval.resolver import resolve_system
from lkgrag.scorer import code_of
from lkgrag.text import EncoderChoice
from lkgrag.utils.plugins import source_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lkgrag.config import Config, LLMConfig, PromptConfig, RetrievalConfig, ScorerConfig

Key = dict[str, Any]
#: Raised where other systems are fused by default.
DEFAULT_SYSTEMS = 2
#: Raised where LRURec learns something else.
LRUREC = 1
#: Raised where the text towers learn something else.
TEXT_TOWERS = 1
#: Raised where the model of requests computes something else.
REQUEST_MODEL = 1


def hash_train_end(train_end: NDArray[np.int64]) -> str:
    """A hash of how many interactions of each user train, int64 ``[num_users]``."""
    return hashlib.sha256(train_end.astype("<i8").tobytes()).hexdigest()


@dataclass(frozen=True)
class StageKeys:
    """The keys of one run's stages.

    Attributes:
        data: the key of the data set.
        config: of the run.
    """

    data: Key
    config: Config

    def kg(self, train_end: NDArray[np.int64]) -> Key:
        """Key of the graph of the first ``train_end[user]`` interactions of each user."""
        return {**self._graph(), "train_end": hash_train_end(train_end)}

    def _graph(self) -> Key:
        """The part of a key that every graph of the run depends on."""
        return {**self.data, "kg": to_dict(self.config.kg), **custom_relation_code()}

    def vectors(self, texts: Sequence[str]) -> Key:
        """Key of the vectors of the items' texts.

        Args:
            texts: one for each item.
        """
        text = json.dumps(list(texts), separators=(",", ":"))
        return {**self._encoder, "texts": hashlib.sha256(text.encode()).hexdigest()}

    @cached_property
    def _encoder(self) -> Key:
        """The part of a key that all that may read ``data["item"].x`` depends on; empty without an encoder."""
        choice = EncoderChoice.of(self.config.text, self.config.llm)
        return {} if choice is None else {"text": choice.identity()}

    def lrurec(self, train_end: NDArray[np.int64], is_validated: bool, epochs: int | None) -> Key:
        """Key of LRURec, trained on the first ``train_end[user]`` interactions of each user.

        Args:
            train_end: int64 ``[num_users]``.
            is_validated: whether validation decides when training stops.
            epochs: number of epochs; None for ``retrieval.epochs``.
        """
        return {
            **self.data,
            "train_end": hash_train_end(train_end),
            "lrurec": asdict(LRURecOptions.of(self.config.retrieval)),
            "lrurec_version": LRUREC,
            "validated": is_validated,
            "most_epochs": epochs,
            "seed": self.config.seed,
        }

    def text(self, train_end: NDArray[np.int64]) -> Key:
        """Key of the text towers, trained on the first ``train_end[user]`` interactions of each user.

        Args:
            train_end: int64 ``[num_users]``.
        """
        return {
            **self.data,
            **self._encoder,
            "train_end": hash_train_end(train_end),
            "towers": TEXT_TOWERS,
            "seed": self.config.seed,
        }

    def custom_retriever(self, target: str, train_end: NDArray[np.int64]) -> Key:
        """Key of a custom retriever, fitted on the first ``train_end[user]`` interactions of each user.

        Args:
            target: its name in ``retrieval.systems``.
            train_end: int64 ``[num_users]``.
        """
        cls = resolve_system(target)
        return {
            **self.kg(train_end),
            **self._encoder,
            "target": target,
            "kwargs": self.config.retrieval.kwargs.get(cls.name),
            "code": source_hash(cls),
            "seed": self.config.seed,
        }

    def retrieval(self) -> Key:
        """Key of stage one, in full and cross-fitted."""
        key = {
            **self._graph(),
            **self._encoder,
            "retrieval": retrieval_identity(self.config.retrieval),
            # Stages of older versions, whose weights are constant, have no such entry.
            "fusion": "by count",
            "seed": self.config.seed,
            **custom_code(self.config.retrieval),
        }
        if self.config.retrieval.systems is None or "lrurec" in self.config.retrieval.systems:
            key["lrurec_version"] = LRUREC
        if self.config.retrieval.systems is None:
            key["default_systems"] = DEFAULT_SYSTEMS
        return key

    def requests(self) -> Key:
        """Key of the model of requests in words."""
        return {**self.retrieval(), "requests": REQUEST_MODEL}

    def scorer(self) -> Key:
        """Key of the scorer after its training alone."""
        key = {
            **self.retrieval(),
            "paths": to_dict(self.config.paths),
            "scorer": to_dict(self.config.scorer),
            # The scorer is trained on these lists.
            "negatives": self.config.training.negatives,
        }
        code = code_of(self.config.scorer.name)
        if code is not None:
            # An edited scorer is another one, whatever its name.
            key["code"] = code
        return key

    def out_of_fold(self, folds: int) -> Key:
        """Key of the scores of training lists by scorers that have not seen them.

        Args:
            folds: of the users.
        """
        return {**self.scorer(), "folds": folds}

    def training(self, prompts: int) -> str:
        """A hash of all that the ranker's training depends on; a checkpoint with another hash is refused.

        Args:
            prompts: the budget of training prompts.
        """
        sections, options = ("paths", "scorer", "prompt", "llm", "training"), computed(self.config)
        parts = {name: options[name] for name in sections}
        parts["training"] = {**parts["training"], "max_examples": prompts}
        return digest({**self.retrieval(), **parts, **self.code()})

    def scores(self) -> Key:
        """Key of scores, beside the trained weights and the queries.

        Of ``evaluation`` only the batch size counts, because rounding depends on it. The number of events is
        part of the queries, and the other options act after scoring.
        """
        options = computed(self.config)
        sections = ("data", "kg", "retrieval", "paths", "scorer", "prompt", "llm")
        return {
            "seed": self.config.seed,
            "batch_size": self.config.evaluation.batch_size,
            **{name: options[name] for name in sections},
            **self._encoder,
            # Edited code computes something else, whatever its name.
            **self.code(),
        }

    def code(self) -> dict[str, str]:
        """Hashes of the run's custom code; see :func:`hash_custom_code`."""
        config = self.config
        return hash_custom_code(config.retrieval, config.scorer, config.prompt, config.llm)


def hash_custom_code(
    retrieval: RetrievalConfig, scorer: ScorerConfig, prompt: PromptConfig, llm: LLMConfig
) -> dict[str, str]:
    """Hashes of a run's custom code, by the option that names it; built-in code has none.

    Raises:
        ConfigError: a retriever, scorer, verbaliser or readout cannot be imported.
    """
    code = {
        "scorer.name": code_of(scorer.name),
        **custom_code(retrieval),
        **custom_relation_code(),
        "prompt.verbaliser": source_hash(resolve_verbaliser(prompt.verbaliser)),
        "llm.readout": source_hash(resolve_readout(llm.readout)),
    }
    return {option: value for option, value in code.items() if value is not None}
