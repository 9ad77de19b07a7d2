"""Synthetic data of the scale benchmark, and the arithmetic of its slopes."""

import numpy as np
import pytest

from benchmarks.scale import synthetic
from benchmarks.scale.graph import row_read_seconds, values_of
from benchmarks.scale.slopes import GIB, projection, slopes
from lkgrag.config import KGConfig
from lkgrag.kg import build_kg
from lkgrag.utils.files import read_json


@pytest.fixture(scope="module")
def made():
    return synthetic.make(2, seed=3, hub=0.3)


def test_degrees_are_those_of_the_real_data(made):
    said = read_json(synthetic.FILE)
    x = made.interactions
    assert synthetic.counts(np.diff(x.indptr)) == {k: 2 * n for k, n in said["user"].items()}
    popularity = np.bincount(x.item, minlength=x.num_items)
    assert synthetic.counts(popularity) == {k: 2 * n for k, n in said["item"].items()}
    triples = x.triples[x.triples["relation"] == "also_bought"]
    degree = np.bincount(triples["head"].cat.codes, minlength=x.num_items)[: x.num_items]
    want = said["relations"]["also_bought"]["source"]
    # One side may have some ends more than the other; they are left out.
    assert degree.sum() == pytest.approx(2 * sum(int(d) * n for d, n in want.items()), rel=0.01)
    assert degree.max() <= max(map(int, want))


def test_most_edges_stay_in_their_community(made):
    triples = made.interactions.triples
    also = triples[triples["relation"] == "also_bought"]
    home = made.community[also["head"].cat.codes]
    there = made.community[also["tail"].cat.codes]
    # Of those joined across, half come back to one of two communities.
    assert (home == there).mean() == pytest.approx(1 - synthetic.ACROSS / 2, abs=0.005)
    # Ids say nothing of the community.
    assert abs(np.corrcoef(np.arange(len(made.community)), made.community)[0, 1]) < 0.02


def test_the_hub_joins_its_share(made):
    x = made.interactions
    data = build_kg(x, np.diff(x.indptr), KGConfig(behaviour=False, users=False))
    assert data["item", "has_theme", "theme"].num_edges == int(0.3 * x.num_items)
    assert data["theme"].num_nodes == 1


def test_prompts_are_of_users_and_their_communities(made):
    history, candidates = synthetic.prompts(made, 20, 0)
    assert history.shape == candidates.shape == (20, 20)
    assert (history[:, 0] >= 0).all()
    homes = made.community[candidates]
    assert (homes == homes[:, :1]).all()


def scales():
    small = {"edges": 1000, "items": 50, "users": 100, "build_seconds": 1.0, "peak_gib": 1.0}
    large = {"edges": 11_000, "items": 500, "users": 1000, "build_seconds": 21.0, "peak_gib": 3.0}
    return {
        "graph": {
            "scales": {
                "1": {**small, "map_gib": 0.5, "mapped_prompts_a_second": 9.0},
                "10": {**large, "map_gib": 1.5, "mapped_prompts_a_second": 4.0},
            }
        },
        "users": {
            "lrurec": {
                "1": {"items": 50, "users": 100, "users_a_second": 100.0},
                "10": {
                    "items": 500,
                    "users": 1000,
                    "users_a_second": 20.0,
                    "examples": 6000,
                    "examples_a_second": 50.0,
                },
            }
        },
    }


def test_slopes_by_hand():
    slope = slopes(scales())
    assert slope["build_seconds_an_edge"] == pytest.approx(20 / 10_000)
    assert slope["build_bytes_an_edge"] == pytest.approx(2 * GIB / 10_000)
    assert slope["index_bytes_an_edge"] == pytest.approx(GIB / 10_000)
    assert slope["scoring_seconds_a_user_and_item"] == pytest.approx((0.05 - 0.01) / 450)
    row = projection(slope, 10_000, 100_000)
    assert row["items"] == 5000
    assert row["build_hours"] == pytest.approx(200 / 3600)
    assert row["index_gib"] == pytest.approx(10)
    assert row["paths_hours"] == pytest.approx(10_000 / 4 / 3600)
    assert row["epoch_hours"] == pytest.approx(10_000 * 6 / 50 / 3600)
    assert row["scoring_hours"] == pytest.approx(10_000 * 5000 * 0.04 / 450 / 3600)
    assert row["lrurec_gib"] == pytest.approx(5000 * 64 * 16 / GIB)


def test_growth_is_compared_with_edges_and_memory():
    figures = ("prompts_a_second", "prompts_a_second_up_to_4", "touched", "touched_up_to_4")
    rows = {"1": (30.0, 900.0, 10.0, 5.0, 1e-8), "100": (20.0, 50.0, 11.0, 20.0, 6e-8)}
    found = {
        scale: {
            **dict(zip((*figures, "row_read_seconds"), row, strict=True)),
            "peak_gib": 3.0,
            "hub_times_median": 1.2,
        }
        for scale, row in rows.items()
    }
    values = values_of(found)
    assert values["C2_edges"] == pytest.approx(1.1)
    assert values["C2_time"] == pytest.approx(1.5)
    # 18 times the time for 4 times the edges, with reads that take 6 times as long.
    assert values["C2_four"] == pytest.approx(75)
    assert values["C2_rate"] == 50


def test_rows_of_large_tables_take_longer_to_reach():
    assert 0 < row_read_seconds(2**14) < row_read_seconds(2**27)
