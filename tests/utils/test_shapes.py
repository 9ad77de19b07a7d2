import pandas as pd

from lkgrag.config import DataConfig
from lkgrag.data import Tables, make_split
from lkgrag.serving.catalogue import Catalogue
from lkgrag.testing import toy_interactions, toy_paths


def test_large_containers_are_shown_by_their_sizes():
    assert repr(Catalogue(["1", "2"], ["Heat", "Fargo"])) == "Catalogue(ids=[2], titles=[2])"
    interactions = toy_interactions()
    shown = repr(interactions)
    assert shown.startswith("Interactions(user_ids=[8], item_ids=[10], indptr=[9], item=[40]")
    assert "items=[10, 3]" in shown, "a table"
    events = "Events(user=[8], position=[8], target=[8])"
    split = make_split(interactions, DataConfig())
    assert repr(split) == f"Split(train_end=[8], val={events}, test={events})"
    assert "nodes=[171, 3], weight=[171], user=[6], history_items=[6, 4]" in repr(toy_paths())
    assert repr(Tables(pd.DataFrame({"user": []}))).endswith(
        "triples=None, links=None, source='data in memory', names=[0], notes=[0])"
    )
