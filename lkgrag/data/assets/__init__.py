"""Built-in data sets and models: fetched to the user's cache, compared with SHA-256 sums.

``builtin.py`` lists them, ``fetching.py`` gets their files from several sources, ``store.py`` keeps whole
folders of them, ``gguf.py`` turns a model file into a model folder, and ``models.py`` finds the folder that an
option names. Nothing of them may be
redistributed with this package.
"""

from lkgrag.data.assets.builtin import DATASETS, ENCODERS, MODELS
from lkgrag.data.assets.store import fetch_dataset, fetch_encoder, fetch_model

__all__ = ["DATASETS", "ENCODERS", "MODELS", "fetch_dataset", "fetch_encoder", "fetch_model"]
