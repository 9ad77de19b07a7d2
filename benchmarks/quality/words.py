"""Names of the rows and data sets of the quality benchmark, as its pages and pictures have them."""

from __future__ import annotations

#: One-line meanings of the rows.
WORDS = {
    "random": "random order of the candidates",
    "popularity": "popularity",
    "itemitem": "item-item counts",
    "graph_itemitem": "graph counts + item-item",
    "ease": "EASE",
    "text": "text towers",
    "lrurec": "LRURec",
    "retriever": "fused retriever",
    "scorer": "fused + path scorer, no LM",
    "scorer-pathless": "fused + a learned stage two without paths",
    "scorer-behaviour": "fused + path scorer without behaviour relations",
    "scorer-metadata": "fused + path scorer without metadata relations",
    "scorer-titles": "fused + path scorer without paths over like titles",
    "scorer-prior": "path scorer without the prior",
    "scorer-negatives": "fused + path scorer, random negatives",
    "scorer-crossfit": "fused + path scorer without cross-fitting",
    "retriever-four": "fused retriever without EASE",
    "scorer-four": "fused without EASE + path scorer, no LM",
    "retriever-ease": "fused retriever with EASE",
    "scorer-ease": "fused with EASE + path scorer, no LM",
    "lkgrag": "**lkgrag**",
    "lm": "its LM alone",
    "lm-shuffled": "its LM alone, another candidate's paths in words",
    "llamarec": "LlamaRec (LM, no paths)",
    "llamarec+fusion": "LlamaRec + fusion with the prior",
    "llamarec-tenfold": "LlamaRec + fusion, ten times the prompts",
    "llamarec-tenfold-lm": "LlamaRec (LM, no paths), ten times the prompts",
    "shortest": "LM + shortest paths",
    "reference": "published method (`reference`)",
    "reference+fusion": "published method + fusion with the prior",
    "reference-tenfold": "published method + fusion, ten times the prompts",
    "reference-tenfold-lm": "published method, ten times the prompts",
    "lkgrag-shuffled": "lkgrag, another candidate's paths in words",
    "lkgrag-words": "lkgrag, paths in the fusion only",
    "lkgrag-selection": "lkgrag, random paths in words",
    "lkgrag-gate": "lkgrag without the LM's route of the gradient",
    "lkgrag-prior": "lkgrag without the prior",
    "lkgrag-negatives": "lkgrag, random negatives",
    "lkgrag-crossfit": "lkgrag without cross-fitting",
    "lkgrag-titles": "lkgrag without paths over like titles",
    "lkgrag-behaviour": "lkgrag without behaviour relations",
    "lkgrag-metadata": "lkgrag without metadata relations",
    **{f"lkgrag-ties{n}": f"lkgrag, tied times in order {n + 1} of 5" for n in range(1, 5)},
}
#: Data sets, in the order of the page.
TITLES = {
    "ml-100k": "MovieLens 100K, leave-one-out",
    "ml-100k-rolling": "MovieLens 100K, rolling",
    "ml-latest-small": "MovieLens latest-small, leave-one-out",
    "ml-latest-small-rolling": "MovieLens latest-small, rolling",
    "ml-100k-time": "MovieLens 100K, split in time",
    "ml-latest-small-time": "MovieLens latest-small, split in time",
    "amazon-beauty": "Amazon Beauty",
    "amazon-beauty-clean": "Amazon Beauty without the suspect relations",
}
#: Rows of README's picture, which shows what each gains over the fused retriever.
SHOWN = {
    "llamarec+fusion": "LlamaRec + fusion",
    "reference+fusion": "published method + fusion",
    "scorer": "paths, no LM",
    "lkgrag": "lkgrag",
}
