"""Options of rankings by workers of a Ray cluster: wrong ones get one line before anything starts."""

import sys

import pytest

from lkgrag import recommend
from lkgrag.cli.crew_options import CrewOptions, parse_crew
from lkgrag.errors import LkgragError

pytest.importorskip("ray", reason="needs the extra lkgrag[ray]")


def ranked(pairs):
    return parse_crew(pairs, "accelerate", "python -m lkgrag.recommend")


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({"engine": "Ray"}, "none of accelerate, ray. Did you mean 'ray'"),
        ({"engine": ""}, "none of accelerate, ray"),
        ({"workers": "2"}, "'workers' is for engine=ray"),
        ({"engine": "accelerate", "address": "auto"}, "'address' is for engine=ray"),
        ({"engine": "ray", "workers": "0"}, "'workers'"),
        ({"engine": "ray", "workers": "2.5"}, "'workers'"),
        ({"engine": "ray", "address": ""}, "no address of a cluster"),
        ({"engine": "ray", "address": "head"}, "no address of a cluster"),
        ({"engine": "ray", "address": "head:0"}, "no address of a cluster"),
        ({"engine": "ray", "address": "head:70000"}, "no address of a cluster"),
        ({"engine": "ray", "address": "http://head:6379"}, "no address of a cluster"),
        ({"engine": "ray", "address": "ray://head:1/x"}, "no address of a cluster"),
    ],
)
def test_options_that_do_not_fit(pairs, message):
    with pytest.raises(LkgragError) as error:
        ranked(pairs)
    assert message in str(error.value)


@pytest.mark.parametrize("address", ["auto", "10.0.0.1:6379", "ray://head:10001", "[::1]:6379"])
def test_addresses(address):
    assert ranked({"engine": "ray", "address": address}) == CrewOptions(None, address)


def test_only_whole_folders_and_no_launcher(monkeypatch, tmp_path):
    with pytest.raises(LkgragError, match="set users=all and out=recs/"):
        recommend.body({"run": str(tmp_path), "users": "u1", "engine": "ray"}, set())
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(LkgragError, match="not by accelerate launch"):
        ranked({"engine": "ray"})


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LkgragError, match=r'pip install "lkgrag\[ray\]"'):
        ranked({"engine": "ray"})
    assert ranked({}) is None


def test_workers_and_their_threads():
    here = CrewOptions(None, None)
    assert here.count(-1, 8) == (8, 1)
    assert here.count(2, 8) == (4, 2)
    assert CrewOptions(2, None).count(-1, 8) == (2, 4)
    assert CrewOptions(2, None).count(-1, 1) == (2, 1)
    assert CrewOptions(None, "auto").count(-1, 8) == (0, 1)
    assert CrewOptions(64, "auto").count(2, 8) == (64, 2)
    with pytest.raises(LkgragError, match="workers=9: this machine has 8 cores"):
        CrewOptions(9, None).count(-1, 8)
