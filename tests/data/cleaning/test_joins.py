import logging

import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Interactions
from lkgrag.data.frames import to_frame
from lkgrag.data.tables import Tables
from lkgrag.errors import DataError

CONFIG = DataConfig(min_user=1, min_item=1)
EVENTS = {"user": ["u", "u"], "item": ["a", "b"]}


def triples(*rows):
    return [dict(zip(("head", "relation", "tail"), row)) for row in rows]


def read(links, rows):
    parts = (to_frame(EVENTS, "e"), None, None, to_frame(triples(*rows), "t"))
    return Interactions.from_tables(Tables(*parts, to_frame(links, "l"), "toy.inter"), CONFIG)


def test_what_joins_nothing_is_counted_in_one_warning(caplog):
    links = {"item": ["a", "b", "z"], "entity": ["m1", "m9", "m7"]}
    with caplog.at_level(logging.WARNING):
        x = read(links, [("m1", "by", "p"), ("q", "by", "r")])
    (record,) = caplog.records
    for words in ("1 links name no item", "2 of 4 entities", "1 linked entities"):
        assert words in record.message
    assert x.stats["unjoined"] == record.message


def test_no_warning_where_all_is_joined(caplog):
    with caplog.at_level(logging.WARNING):
        x = Interactions.from_frames(EVENTS, triples=triples(("a", "by", "p")), config=CONFIG)
    assert not caplog.records
    assert "unjoined" not in x.stats


@pytest.mark.parametrize(
    ("links", "words"),
    [
        ({"item": ["a"], "entity": ["m2"]}, ["'m1'", "'m2'"]),
        ({"item": ["z"], "entity": ["m1"]}, ["'m1'", "no link names an item", "'a'"]),
    ],
)
def test_nothing_joined_is_an_error(links, words):
    with pytest.raises(DataError) as error:
        read(links, [("m1", "by", "p")])
    assert all(word in str(error.value) for word in ["toy.inter", *words])


def test_nothing_joined_in_memory_is_an_error():
    with pytest.raises(DataError, match="not one joins an item"):
        Interactions.from_frames(EVENTS, triples=triples(("A", "by", "p")), config=CONFIG)
