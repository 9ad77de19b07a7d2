"""What is imported when: libraries that take seconds only where they are used."""

import json
import re
import resource
import subprocess
import sys

import pytest

#: Libraries that a run without a language model does without.
LM = {"peft", "bitsandbytes", "gguf", "sentencepiece"}
#: Libraries that draw, track or learn vectors of words: a ranking does without.
DRAWN = {"matplotlib", "tensorboard", "torch.utils.tensorboard", "sklearn"}
#: What a command waits for that only answers a wrong line, or --help.
HEAVY = {
    "torch",
    "torch_geometric",
    "transformers",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "argcomplete",
}


def python(*args):
    """The stderr of the interpreter, and the seconds of the processor that it took: other programs do not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run([sys.executable, *args], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return out.stderr, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "most"),
    [
        (["-c", "import lkgrag"], 0.3),
        (["-m", "lkgrag", "--help"], 2),
        (["-m", "lkgrag.train", "--help"], 2),
        (["-m", "lkgrag", "train", "--help"], 2),
        (["-m", "lkgrag", "train", "sed=1"], 2),
        (["-m", "lkgrag", "recommend", "run=absent", "users=1"], 2),
        (["-m", "lkgrag", "trian"], 2),
    ],
)
def test_what_needs_no_torch_does_not_wait_for_it(words, most):
    found = [python("-X", "importtime", *words) for _ in range(3)]
    imported = set(re.findall(r"\| +([\w.]+)$", found[0][0], flags=re.M))
    assert "lkgrag" in imported
    assert not imported & HEAVY
    assert min(seconds for _, seconds in found) < most


#: Runs commands, then lists what they have imported.
PROGRAM = """
import json, runpy, sys
sys.argv = [sys.argv[1], *sys.argv[2:]]
try:
    runpy.run_module(sys.argv[0], run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def imported(*line):
    """The modules that a command has imported at its end."""
    err, _ = python("-c", PROGRAM, *map(str, line))
    return set(json.loads(err.splitlines()[-1]))


@pytest.mark.slow
def test_a_ranking_without_a_language_model_imports_nothing_of_it(run_without_lm):
    modules = imported("lkgrag.recommend", f"run={run_without_lm}", "users=u1", "k=1")
    assert "torch_geometric" in modules
    assert not modules & (LM | DRAWN)


@pytest.mark.slow
def test_a_training_without_a_language_model_imports_nothing_of_it(run_without_lm, tmp_path):
    """Every stage is made anew; ``training.tracker=none`` needs no TensorBoard."""
    config = run_without_lm / "config.yaml"
    line = (f"config={config}", f"out={tmp_path / 'out'}", f"cache.root={tmp_path / 'cache'}")
    modules = imported("lkgrag.train", *line)
    assert "matplotlib" in modules, "the report draws"
    assert not modules & (LM | {"tensorboard", "torch.utils.tensorboard"})


@pytest.mark.slow
def test_transformers_is_only_imported_by_pytorch_geometric():
    """It imports transformers itself; nothing of ours does before a language model is asked for."""
    code = """import json, sys, torch_geometric
before = set(sys.modules)
import lkgrag.run.pipeline, lkgrag.serving.shards
print(json.dumps(sorted(set(sys.modules) - before)), file=sys.stderr)"""
    after = json.loads(python("-c", code)[0].splitlines()[-1])
    new = {name.partition(".")[0] for name in after}
    assert "lkgrag" in new
    assert not new & (LM | {"transformers", "tensorboard"})
