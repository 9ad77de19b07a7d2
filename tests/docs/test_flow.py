"""The picture of the flow is what its script draws, and can be read."""

import importlib.util
import itertools
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def flow():
    spec = importlib.util.spec_from_file_location("flow", DOCS / "flow.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by its name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_file_is_what_the_script_draws(flow):
    assert flow.FILE.read_text(encoding="utf-8") == flow.picture(), "run python docs/flow.py"


def test_it_is_narrow_and_its_text_large_enough(flow):
    root = ElementTree.fromstring(flow.picture())
    assert root.tag == f"{SVG}svg"
    assert float(root.get("width")) <= 900
    sizes = [float(text.get("font-size")) for text in root.iter(f"{SVG}text")]
    assert len(sizes) > 30
    assert min(sizes) >= 12


def test_no_box_covers_another(flow):
    tags = [arrow.tag for arrow in flow.ARROWS if arrow.label]
    for a, b in itertools.combinations([*flow.BOXES, flow.MARK, *tags], 2):
        beside = a.x + a.width <= b.x or b.x + b.width <= a.x
        assert beside or a.y + a.height <= b.y or b.y + b.height <= a.y, (a, b)


def test_every_text_fits_its_box_and_every_box_the_picture(flow):
    for box in [*flow.BOXES, *flow.CHIPS, flow.MARK]:
        assert box.x >= 0
        assert box.x + box.width <= flow.WIDTH
        assert box.y + box.height <= flow.HEIGHT
        assert flow.text_width(box.heading, flow.HEADING) < box.width - 8, box
        for line in box.lines:
            assert flow.text_width(line, flow.TEXT) < box.width - 8, box


def test_its_example_is_that_of_the_tutorial(flow):
    tutorial = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    for rank, title, reason in flow.EXAMPLE:
        assert f"   {rank}  {title} " in tutorial
        assert reason in tutorial
