"""The tables on the pages are those of the stored results."""

import pytest

from benchmarks import common, tables


def test_pages_are_written_from_stored_results():
    """Every stored result fills its page as it stands in the repository."""
    for name in ("speed", "scale"):
        found = tables.stored(name)
        if found is None:
            pytest.skip(f"no benchmarks/results/{name}.json yet")
        page = (tables.DOCS / f"{name}.md").read_text()
        for marker, text in tables.pages(name, found).items():
            assert f"<!-- {marker} -->\n{text}\n<!-- /{marker} -->" in page


def test_the_stored_costs_of_a_large_model_stand_on_its_page():
    found = common.stored("large")
    assert tables.large(found) in (tables.DOCS / "large-models.md").read_text()
