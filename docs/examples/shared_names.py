"""Words a path by what it goes through, in place of its kind: ``Ridley Scott 9``, not ``director9``."""

import numpy as np

from lkgrag.prompt import Verbaliser, clean_title
from lkgrag.prompt.pieces import encode_pieces

#: Longest name, in tokens.
LONGEST = 6


class SharedNames(Verbaliser):
    """The value on a bundle's strongest path, and the bundle's grade."""

    def word(self, paths, bundles, index, grade):
        """Tokens of each bundle of ``index``, as they stand behind a candidate's title."""
        # The last path of each bundle is its strongest.
        order = np.lexsort((paths.weight.numpy(), bundles.of_path))
        strongest = np.empty(len(bundles), np.int64)
        strongest[bundles.of_path[order]] = order
        names = [f" {self.name(paths, path)}" for path in strongest[index]]
        grades = [f" {digit}" for digit in grade[index]]
        name_ids = encode_pieces(self.tokenizer, names, before="a")
        grade_ids = encode_pieces(self.tokenizer, grades, before="a")
        return [a[:LONGEST] + b for a, b in zip(name_ids, grade_ids)]

    def name(self, paths, path):
        """The node behind the history item, as a genre; between items, the relation."""
        _, relation, node_type = paths.metapaths[int(paths.metapath[path])][0]
        if node_type in ("item", "user"):
            return relation.replace("_", " ")
        return clean_title(self.data[node_type].name[int(paths.nodes[path, 1])])
