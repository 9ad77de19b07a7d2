"""Average precision: the mean of the precisions at the places of the true items, of which there is one."""

import numpy as np

from lkgrag.evaluation import Metric, register_metric


def average_precision(rank, k):
    """With one true item at place r, the mean is the precision there, 1/r."""
    return np.where((rank > 0) & (rank <= k), 1.0 / np.maximum(rank, 1), 0.0)


MAP = register_metric(Metric("map", "MAP", average_precision, has_cutoff=True))
