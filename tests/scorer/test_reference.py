import numpy as np
import pytest
import torch

from lkgrag.scorer.reference import ReferencePreference
from lkgrag.scorer.shortest import Shortest
from lkgrag.testing import toy_kg, toy_paths


@pytest.fixture(scope="module")
def data():
    return toy_kg()


@pytest.fixture(scope="module")
def paths(data):
    return toy_paths(data=data)


def build(cls, data, paths):
    torch.manual_seed(0)
    return cls(data.metadata(), {t: data[t].num_nodes for t in data.node_types}, paths.metapaths)


def test_tfidf_by_hand(data, paths):
    scorer = build(ReferencePreference, data, paths)
    tfidf = scorer.tfidf(data, paths)
    place = scorer.relations.index("directed_by")
    # One director an item: every document has the term, so its IDF is 1.
    idf = {"directed_by": 1.0}
    items = data["item"].num_nodes
    sequels = (("item", "sequel", "item"), ("item", "rev_sequel", "item"))
    having = set()
    for edge_type in sequels:
        having |= set(data[edge_type].edge_index[0].tolist())
    idf["sequel"] = np.log((1 + items) / (1 + len(having))) + 1
    counts = torch.zeros(len(scorer.relations))
    of = paths.metapath[paths.sample == 0]
    for m in of.tolist():
        for edge_type in paths.metapaths[m]:
            counts[scorer.relations.index(edge_type[1].removeprefix("rev_"))] += 1
    ratio = tfidf[0] / counts.clamp(min=1)
    sequel = scorer.relations.index("sequel")
    if counts[sequel] and counts[place]:
        assert ratio[sequel] / ratio[place] == pytest.approx(idf["sequel"] / idf["directed_by"])
    assert tfidf.norm(dim=1)[0] == pytest.approx(1.0)
    assert ((tfidf[0] > 0) == (counts > 0)).all()


def test_directions_are_one_class(data, paths):
    scorer = build(ReferencePreference, data, paths)
    assert "followed_by" in scorer.relations
    assert not any(r.startswith("rev_") for r in scorer.relations)


def test_strangers_have_the_mean_preference(data, paths):
    scorer = build(ReferencePreference, data, paths)
    unknown = int((paths.user < 0).nonzero()[0])
    with torch.no_grad():
        before = scorer(data, paths).salience
        scorer.user.weight.copy_(scorer.user.weight.mean(0, keepdim=True).expand(8, -1))
        after = scorer(data, paths).salience
    theirs = paths.sample == unknown
    torch.testing.assert_close(before[theirs], after[theirs])
    assert not torch.allclose(before[~theirs], after[~theirs])


def test_shorter_then_stronger(data, paths):
    salience = build(Shortest, data, paths)(data, paths).salience
    edges = torch.tensor([len(m) for m in paths.metapaths])[paths.metapath]
    assert salience[edges == 1].min() >= salience[edges == 2].max()
    single = edges == 1
    order = torch.argsort(salience[single])
    assert (paths.weight[single][order].diff() >= 0).all()
