import os
import subprocess
import sys
import textwrap

import pytest

from lkgrag.config import ScorerConfig
from lkgrag.errors import ConfigError
from lkgrag.prompt.resolver import resolve_verbaliser
from lkgrag.scorer import PathScorer, build_scorer, code_of, resolve_scorer
from lkgrag.scorer.metapath_attention import MetapathAttention
from lkgrag.scorer.resolver import check_search
from lkgrag.scorer.shortest import Shortest
from lkgrag.testing import toy_kg, toy_paths


class Needy(PathScorer):
    def __init__(self, metadata, num_nodes, metapaths, width, depth=1):
        super().__init__(metadata, num_nodes, metapaths)
        if width < 0:
            raise ValueError("width must not be negative")
        self.width = width

    def forward(self, data, paths):
        return paths.weight * self.width


class Stubborn(PathScorer):
    def __init__(self, graph):
        super().__init__([], {}, [])

    def forward(self, data, paths):
        return paths.weight


class Abstract(PathScorer):
    pass


def build(name, **kwargs):
    return build_scorer(ScorerConfig(name=name, kwargs=kwargs), toy_kg(), toy_paths().metapaths)


def test_registered_names():
    assert resolve_scorer("metapath_attention") is MetapathAttention
    assert resolve_scorer("shortest") is Shortest
    assert build("metapath_attention", dim=8).dim == 8


def test_module_and_class():
    assert resolve_scorer("lkgrag.scorer.shortest:Shortest") is Shortest
    assert build(f"{__name__}:Needy", width=3).width == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("metapath_atention", "Did you mean 'metapath_attention'"),
        (
            "nonsense",
            "There are graphsage, hgt, kgat, lightgcn, metapath_attention, nbfnet, published, reference, rgcn",
        ),
        ("no_such_package.scorer:X", "no module 'no_such_package'"),
        ("lkgrag.scorer.shortest:Longest", "cannot import lkgrag.scorer.shortest:Longest"),
        ("pathlib:Path", "no subclass of lkgrag.scorer.PathScorer"),
        (":X", "cannot import :X"),
        ("pathlib:", "cannot import pathlib:"),
        (".odd:Base", "cannot import .odd:Base (TypeError: the 'package' argument is required"),
        (f"{__name__}:Abstract", "has no method forward"),
    ],
)
def test_wrong_names(name, message):
    with pytest.raises(ConfigError, match=r"scorer\.name") as caught:
        resolve_scorer(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("class X(\n    pass\n", "SyntaxError: "),
        ("x = undefined", "NameError: name 'undefined' is not defined"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("import no_such_package", "no module 'no_such_package'"),
    ],
)
def test_a_module_that_fails_as_it_is_imported(tmp_path, monkeypatch, code, cause):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_module.py").write_text(code)
    for option, resolve in {
        "scorer.name": resolve_scorer,
        "prompt.verbaliser": resolve_verbaliser,
    }.items():
        with pytest.raises(ConfigError) as caught:
            resolve("broken_module:X")
        assert str(caught.value).startswith(f"{option}=broken_module:X: ")
        assert cause in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("metapath_attention", {"dims": 8}, "no option 'dims'. Did you mean 'dim'?"),
        ("metapath_attention", {"dim": 0}, "dim must be at least 1"),
        ("metapath_attention", {"dim": "wide"}, "cannot be built with scorer.kwargs"),
        ("metapath_attention", {"dropout": 1.5}, "dropout must lie in"),
        ("metapath_attention", {"metapaths": []}, "'metapaths' is given by the program"),
        ("shortest", {"dim": 8}, "Shortest has no option 'dim'. (it has none)"),
        (f"{__name__}:Needy", {}, "needs the option 'width'"),
        (f"{__name__}:Needy", {"width": -1}, "width must not be negative"),
        (f"{__name__}:Stubborn", {}, "must take metadata, num_nodes, metapaths by name"),
    ],
)
def test_wrong_options(name, kwargs, message):
    with pytest.raises(ConfigError, match=r"scorer\.") as caught:
        build(name, **kwargs)
    assert message in str(caught.value)


SCORER = """
    import torch
    from lkgrag.scorer import PathScorer


    class Weighted(PathScorer):
        def __init__(self, metadata, num_nodes, metapaths, start=1.0):
            super().__init__(metadata, num_nodes, metapaths)
            self.weight = torch.nn.Parameter(torch.full((len(metapaths),), start))

        def forward(self, data, paths):
            return self.weight[paths.metapath] + paths.weight.log()
"""
PROJECT = """
    [build-system]
    requires = ["setuptools"]
    build-backend = "setuptools.build_meta"

    [project]
    name = "toy-scorers"
    version = "0.1"

    [project.entry-points."lkgrag.scorers"]
    weighted = "toy_scorers:Weighted"

    [tool.setuptools]
    py-modules = ["toy_scorers"]
"""
USE = """
    import torch
    from lkgrag.config import ScorerConfig
    from lkgrag.errors import ConfigError
    from lkgrag.scorer import as_path_scores, build_scorer, pretrain, resolve_scorer
    from lkgrag.testing import toy_kg, toy_paths

    data, paths = toy_kg(), toy_paths(num_prompts=12)
    config = ScorerConfig(name="weighted", kwargs={"start": 0.5}, pretrain_epochs=1)
    scorer = build_scorer(config, data, paths.metapaths)
    assert (scorer.weight == 0.5).all()
    scores = as_path_scores(scorer(data, paths), paths)
    loss = torch.nn.functional.cross_entropy(scores.candidate, torch.zeros(12, dtype=torch.int64))
    loss.backward()
    torch.optim.SGD(scorer.parameters(), lr=0.1).step()
    moved = (scorer.weight != 0.5).any()
    result = pretrain(scorer, data, paths, [0] * 12, config)
    assert len(result.curve) == 2 and result.curve[1]["train"] > 0
    assert type(scorer) is resolve_scorer("toy_scorers:Weighted")
    try:
        resolve_scorer("weigthed")
    except ConfigError as error:
        assert "Did you mean 'weighted'" in str(error)
    print("moved", bool(moved))
"""


@pytest.mark.slow
def test_a_scorer_of_an_installed_package_is_found_and_trained(tmp_path):
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    (source / "toy_scorers.py").write_text(textwrap.dedent(SCORER))
    (source / "pyproject.toml").write_text(textwrap.dedent(PROJECT))
    install = ["install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run(
        [sys.executable, "-m", "pip", *install, "--target", str(site), str(source)],
        check=True,
        capture_output=True,
    )
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(USE)],
        env={**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "moved True\n"


def test_code_of_an_edited_scorer_differs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "edited_scorer.py"
    text = "from lkgrag.scorer.shortest import Shortest\n\nclass Mine(Shortest):\n    steps = {}\n"
    hashes = []
    for steps in (1, 22):
        file.write_text(text.format(steps))
        sys.modules.pop("edited_scorer", None)
        hashes.append(code_of("edited_scorer:Mine"))
    assert None not in hashes
    assert hashes[0] != hashes[1]
    assert code_of("metapath_attention") is None


def test_a_scorer_that_cannot_do_with_shortest_paths_is_refused_at_once():
    for name, kwargs in (
        ("metapath_attention", {}),
        ("graphsage", {}),
        ("hgt", {"counts": True}),
    ):
        with pytest.raises(ConfigError, match=f"scorer.name={name} needs all meta-paths before"):
            check_search(ScorerConfig(name=name, kwargs=kwargs), "shortest")
        check_search(ScorerConfig(name=name, kwargs=kwargs), "metapaths")
    for name, kwargs in (("nbfnet", {}), ("shortest", {}), ("graphsage", {"counts": False})):
        check_search(ScorerConfig(name=name, kwargs=kwargs), "shortest")
    # A class of someone else may say so in its constructor.
    check_search(ScorerConfig(name=f"{__name__}:Needy"), "shortest")
