"""The rows of the benchmark are configurations."""

import json

from benchmarks.quality import rows as quality_rows
from lkgrag.config.identity import to_dict
from lkgrag.config.loading import load_config


def test_every_row_is_a_configuration(tmp_path):
    settings = quality_rows.read_settings()
    for data in settings["data"]:
        for row in quality_rows.rows_with_runs(settings):
            config = load_config(quality_rows.overrides(settings, data, row, 1, {}, tmp_path))
            assert config.seed == 1
            # The one row beyond the common budget says so in its name.
            assert config.training.max_examples == (4000 if row.endswith("-tenfold") else 400)
    configs = [
        load_config(quality_rows.overrides(settings, "ml-100k", row, 0, {}, tmp_path))
        for row in quality_rows.rows_with_runs(settings)
        if not row.endswith(("-crossfit", "-ease", "-four"))
    ]
    same = {json.dumps([to_dict(c.kg), to_dict(c.retrieval)]) for c in configs}
    # The same candidates for all.
    assert len(same) == 1


def test_of_two_words_on_an_option_the_narrower_counts(tmp_path):
    settings = {
        "budget": {"training.max_examples": 1, "evaluation.max_events": 1, "kg.prune": 1},
        "data": {"ml-100k": {"evaluation.max_events": 2, "kg.prune": 2}},
        "rows": {"scorer": {"kg.prune": 3, "seeds": 1}},
        "quick": {},
    }
    found = quality_rows.overrides(settings, "ml-100k", "scorer", 0, {}, tmp_path)
    assert found["training.max_examples"] == "1"
    assert found["evaluation.max_events"] == "2"
    assert found["kg.prune"] == "3"
    assert "seeds" not in found
    quick = {**settings, "quick": {"kg.prune": 4}}
    assert quality_rows.overrides(quick, "ml-100k", "scorer", 0, {}, tmp_path)["kg.prune"] == "4"


def test_a_row_may_name_its_seeds():
    settings = {
        "seeds": [0, 1, 2],
        "rows": {"all": {}, "one": {"seeds": 1}, "named": {"seeds": [1, 2, 7]}},
    }
    assert [quality_rows.seeds_of(settings, row) for row in settings["rows"]] == [
        [0, 1, 2],
        [0],
        [1, 2],
    ]
