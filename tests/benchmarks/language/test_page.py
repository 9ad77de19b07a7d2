"""The page of text: its tables are read off the stored result."""

from benchmarks.language import page


def result():
    gap = {"system": "ranker", "row": "words", "over": "without", "per_cent": 6.42, "p": 0.0002}
    rows = {
        "words": {"seeds": [0, 1], "retriever": [0.09, 0.092], "ranker": [0.093, 0.095]},
        "without": {"seeds": [0], "retriever": [0.0818], "ranker": [0.0875]},
    }
    found = {
        "rows": rows,
        "differences": [
            {**gap, "users": 22332, "detectable": 2.04},
            {**gap, "system": "retriever", "users": 22332, "detectable": 2.5},
        ],
    }
    targets = [
        {"name": "L2_beauty", "what": "gain", "value": 6.42, "target": 4, "met": True},
        {"name": "L6_beauty", "what": "encoder", "value": -0.2, "target": 1.5, "met": False},
        {"name": "L5", "what": "relations", "value": None, "target": 66.7, "met": False},
    ]
    return {"val": {"amazon-beauty-clean": found}, "targets": targets}


def test_figures_are_means_over_seeds_in_the_order_of_the_page():
    assert page.figures(result()).splitlines()[2:] == [
        "| without text | 1 | .0818 | .0875 |",
        "| text (the default) | 2 | .0910 | .0940 |",
    ]


def test_differences_are_of_the_ranker():
    (line,) = page.differences(result()).splitlines()[2:]
    assert line == (
        "| text (the default) | without text | Amazon Beauty without the suspect relations, validation | +6.4 % | "
        "< .001 | 22,332 | 2.0 % |"
    )


def test_what_was_not_measured_is_not_claimed():
    assert page.targets(result()).splitlines()[2:] == [
        "| L2_beauty: gain | 6.42 | 4 |",
        "| L6_beauty: encoder | **missed: -0.2** | 1.5 |",
    ]


def test_new_items_have_their_gain_over_the_base():
    rows = [
        {"name": "base", "ndcg@10": 0.1391},
        {"name": "all", "ndcg@10": 0.1441, "gain": 0.0361, "error": 0.0101},
    ]
    assert page.new_items({"new-items": {"rows": rows}}).splitlines()[2:] == [
        "| base | .1391 |  |",
        "| all | .1441 | +3.6 % ± 1.0 |",
    ]


def test_every_row_of_the_suite_has_a_name():
    from benchmarks.language.suite import read_settings

    settings = read_settings()
    assert page.ROWS.keys() == settings["rows"].keys()
    assert page.SETS.keys() == settings["data"].keys()
