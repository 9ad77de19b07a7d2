"""The suite of a relation source.

In a test file of your own::

    from lkgrag.testing import RelationSourceTests

    class TestMyRelation(RelationSourceTests):
        source = MyRelation

Every test is of the contract in :mod:`lkgrag.kg.base`, on eight users' sequences of ten films.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from lkgrag.config import DataConfig, KGConfig
from lkgrag.data.splits import make_split
from lkgrag.kg import PathWords, build_kg, find_leaks, inverse, load_kg, save_kg
from lkgrag.kg.base import Edges, RelationSource, Training
from lkgrag.kg.checks.audit import LEAK, audit
from lkgrag.kg.sources.making import find_fault
from lkgrag.kg.sources.resolver import check_source, registered
from lkgrag.testing.graph import toy_interactions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.data.interactions import Interactions


class RelationSourceTests:
    """Inherit, and set ``source``.

    Attributes:
        source: the class under test; it is registered while a test runs.
        config: options of the graph, under which the source makes edges of the test data.
    """

    source: ClassVar[type[RelationSource]]
    config: ClassVar[KGConfig] = KGConfig(behaviour_min=1)

    @pytest.fixture
    def interactions(self) -> Interactions:
        """The sequences, their last two items among them; override for data of yours."""
        return toy_interactions()

    @pytest.fixture
    def train_end(self, interactions: Interactions) -> NDArray[np.int64]:
        """All but each user's last two items train, int64 ``[num_users]``."""
        return make_split(interactions, DataConfig()).train_end

    @pytest.fixture(autouse=True)
    def known(self) -> Iterator[None]:
        """The source is registered, and gone after the test."""
        with registered(self.source):
            yield

    @pytest.fixture
    def data(self, interactions: Interactions, train_end: NDArray[np.int64]) -> HeteroData:
        """The graph of the training interactions, with the relation."""
        return build_kg(interactions, train_end, self.config)

    def make(self, training: Training, config: KGConfig | None = None) -> Edges:
        """The edges of a new source."""
        return self.source().edges(training, config or self.config)

    def check(self, training: Training, config: KGConfig | None = None) -> Edges:
        """The edges, which must keep the contract."""
        config = config or self.config
        edges = self.make(training, config)
        fault = find_fault(self.source(), edges, training, config)
        assert fault is None, f"edges() of {self.source.__name__}: {fault}"
        return edges

    def test_the_class_is_a_source(self) -> None:
        """It has a relation, whose name is a free and plain word."""
        check_source(self.source)

    def test_the_words_read_well(self) -> None:
        """They are on one line, and a symmetric relation has the same words both ways."""
        relation = self.source.relation
        names = ("phrase", "inverse", "noun", "short", "short_inverse")
        for word in (getattr(relation, name) for name in names):
            assert word == " ".join(word.split()) != "", f"{word!r} is no phrase on one line"
        if self.source.symmetric:
            assert relation.phrase == relation.inverse, "a symmetric relation reads alike both ways"
            assert relation.short == relation.short_inverse

    def test_edges_keep_the_contract(
        self, interactions: Interactions, train_end: NDArray[np.int64]
    ) -> None:
        """Some edges, with the right shapes, dtypes, nodes and weights, whatever trains."""
        edges = self.check(Training.of(interactions, train_end))
        assert len(edges), "no edge on the test data: override `config` or `interactions`"
        self.check(Training.of(interactions, np.diff(interactions.indptr)))

    def test_the_options_decide(self) -> None:
        """``is_enabled`` gives a truth value, and the suite's own options switch the source on."""
        assert self.source().is_enabled(self.config) is True
        assert self.source().is_enabled(KGConfig(users=False, behaviour=False)) in (True, False)

    def test_nothing_to_make_edges_of(
        self, interactions: Interactions, train_end: NDArray[np.int64]
    ) -> None:
        """Without training interactions nothing is counted; without titles nothing is alike."""
        nobody = self.check(Training.of(interactions, np.zeros_like(train_end)))
        if self.source.made_of == "interactions":
            assert not len(nobody), "edges made of interactions, of which there are none"
        training = Training.of(interactions, train_end)
        bare = self.check(replace(training, titles=(None,) * training.num_items))
        if self.source.made_of == "titles":
            assert not len(bare), "edges made of titles, of which there are none"

    def test_unknown_times_and_ratings(
        self, interactions: Interactions, train_end: NDArray[np.int64]
    ) -> None:
        """NaN in both is borne, with and without ``kg.temporal``."""
        training = Training.of(interactions, train_end)
        blank = replace(
            training,
            time=np.full_like(training.time, np.nan),
            rating=np.full_like(training.rating, np.nan),
        )
        self.check(blank)
        self.check(blank, replace(self.config, temporal=True))

    def test_a_source_has_no_memory(
        self, interactions: Interactions, train_end: NDArray[np.int64]
    ) -> None:
        """The same training gives the same edges, also after another one, and is unchanged."""
        training = Training.of(interactions, train_end)
        before = copy.deepcopy(training)
        first = self.make(training)
        _same_arrays(vars(training), vars(before), "edges() changed its input:")
        np.random.rand(7)
        self.make(Training.of(interactions, np.minimum(train_end, 1)))
        _same_arrays(vars(self.make(training)), vars(first), "other edges at the second call:")

    def test_what_does_not_count_interactions_does_not_see_them(
        self, interactions: Interactions, train_end: NDArray[np.int64]
    ) -> None:
        """Made of titles, or elsewhere, the edges are the same in every fold."""
        if self.source.made_of == "interactions":
            pytest.skip("made of interactions")
        one = self.make(Training.of(interactions, train_end))
        other = self.make(Training.of(interactions, np.minimum(train_end, 1)))
        _same_arrays(vars(one), vars(other), "the edges depend on who has chosen what:")

    def test_a_time_is_when_the_edge_came_to_stand(
        self, interactions: Interactions, train_end: NDArray[np.int64]
    ) -> None:
        """With ``kg.temporal`` the interactions up to an edge's time are enough to make it."""
        if self.source.made_of != "interactions":
            pytest.skip("not made of interactions")
        config = replace(self.config, temporal=True)
        training = Training.of(interactions, train_end)
        edges = self.check(training, config)
        assert edges.time is not None
        times = np.unique(edges.time[np.isfinite(edges.time)])
        assert len(times), "no edge has a time"
        for time in times[:: max(1, len(times) // 8)]:
            until = self.make(_until(training, time), config)
            there = {(a, b) for a, b in until.index.T.tolist()}
            for a, b in edges.index.T[edges.time == time].tolist():
                assert (a, b) in there, (
                    f"edge {a}, {b} has time {time:g}, but the interactions up to then do not make it"
                )

    def test_it_is_in_the_graph(self, data: HeteroData) -> None:
        """By its name, with its attributes, and with an inverse unless it is symmetric."""
        source = self.source()
        assert source.edge_type in data.edge_types
        store = data[source.edge_type]
        if source.owner == "item":
            assert store.weight.dtype.is_floating_point
        back = ("item", f"rev_{source.name}", source.owner)
        assert (back in data.edge_types) is not source.symmetric
        assert inverse(source.edge_type) in data.edge_types
        if not source.symmetric:
            assert data[back].num_edges == store.num_edges

    def test_options_choose_it(
        self, interactions: Interactions, train_end: NDArray[np.int64], data: HeteroData
    ) -> None:
        """``kg.exclude`` leaves it out, and ``kg.relations`` may name it alone."""
        name = self.source.relation.name
        rest = build_kg(interactions, train_end, replace(self.config, exclude=[name]))
        here = [e for e in data.edge_types if e[1] not in (name, f"rev_{name}")]
        assert rest.edge_types == here
        alone = build_kg(interactions, train_end, replace(self.config, relations=[name]))
        assert {e[1].removeprefix("rev_") for e in alone.edge_types} == {name}

    def test_other_folds_have_the_same_edge_types(
        self, interactions: Interactions, train_end: NDArray[np.int64], data: HeteroData
    ) -> None:
        """So that what is trained on one graph fits another."""
        for end in (np.zeros_like(train_end), np.minimum(train_end, 1)):
            assert build_kg(interactions, end, self.config).metadata() == data.metadata()

    def test_the_checks_count_it_again(
        self, interactions: Interactions, train_end: NDArray[np.int64], data: HeteroData
    ) -> None:
        """They agree with a clean graph, and name one that knows more than training."""
        name = self.source.relation.name
        config = self.config

        def leaks(graph: HeteroData) -> list[str]:
            return [
                leak.edge_type[1] for leak in find_leaks(graph, interactions, train_end, config)
            ]

        assert name not in leaks(data)
        split = make_split(interactions, DataConfig())
        verdicts = {f.relation: f.verdict for f in audit(data, interactions, split, config)}
        assert verdicts[name] != LEAK
        edge_type = self.source().edge_type
        later = build_kg(interactions, np.diff(interactions.indptr), config)
        more = later[edge_type].num_edges > data[edge_type].num_edges
        if self.source.made_of == "interactions" and more:
            assert name in leaks(later), "edges made of the test's interactions are not noticed"

    def test_saving_keeps_it(self, data: HeteroData, tmp_path: Path) -> None:
        """A loaded graph has the same edges and attributes."""
        save_kg(data, tmp_path)
        again, edge_type = load_kg(tmp_path), self.source().edge_type
        assert again.edge_types == data.edge_types
        here = {name: values.numpy() for name, values in data[edge_type].items()}
        there = {name: values.numpy() for name, values in again[edge_type].items()}
        _same_arrays(there, here, "other values after saving:")

    def test_a_path_over_it_is_worded(self, data: HeteroData) -> None:
        """One line that names where the path comes from, in both directions."""
        source = self.source()
        words = PathWords(data)
        for edge_type in dict.fromkeys([source.edge_type, inverse(source.edge_type)]):
            if edge_type[0] != "item":
                continue
            start, end = data[edge_type].edge_index[:, 0].tolist()
            sentence = words.sentence((edge_type,), [start, end])
            name = data["item"].name[start]
            assert sentence == " ".join(sentence.split())
            assert name in sentence, f"{sentence!r} does not name {name!r}"


def _until(training: Training, time: float) -> Training:
    """The training interactions of at most this time."""
    keep = training.time <= time
    columns = ("user", "item", "position", "time", "rating")
    return replace(training, **{name: getattr(training, name)[keep] for name in columns})


def _same_arrays(a: dict, b: dict, message: str) -> None:
    """Fail unless both hold the same values under the same names."""
    assert a.keys() == b.keys()
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=f"{message} {name}")
