"""Small studies: their options, and trials that take no time."""

import numpy as np

from lkgrag.config.loading import load_config
from lkgrag.tuning.options import read_options
from lkgrag.tuning.trial import Gains

SPACE = """
retrieval: {decay: {low: 0.6, high: 0.95, step: 0.05}}
scorer: {pretrain_lr: {low: 0.0005, high: 0.01, log: true}}
kg.exclude: {choices: [[], [co_rated]]}
"""


def study_options(pairs, **own):
    """The pairs of a run without ``out`` of another command, and the options of a study."""
    return pairs, read_options({k: str(v) for k, v in own.items()}, load_config(pairs))


def fake_trial(config, shop, cache, metric):
    """Gains that follow from the options alone: a high decay is best."""
    val = shop.dataset.split.val
    noise = np.random.default_rng(0).random(len(val)) / 10
    gain = config.retrieval.decay / 2 + noise
    return Gains(val.user, val.position, gain)
