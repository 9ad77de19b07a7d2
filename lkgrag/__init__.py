"""lkgrag: recommendation ranking with a language model and the paths of a knowledge graph."""

__version__ = "0.1.0"
