"""Tests lie where they belong, and those of processes and whole runs are marked as slow: the inner loop leaves them out."""

import ast
from pathlib import Path

import pytest
from helpers import RUNS

TESTS = Path(__file__).parent
#: What takes seconds: modules that start processes, and what carries out a whole run.
PROCESSES = {"subprocess", "multiprocessing", "helpers.processes"}
WHOLE_RUNS = {("lkgrag.run.pipeline", "train")}


def _names(node):
    """The names by which what takes seconds is imported anywhere in a piece of code."""
    for part in ast.walk(node):
        if isinstance(part, ast.Import):
            for alias in part.names:
                if alias.name in PROCESSES:
                    yield (alias.asname or alias.name).split(".")[0]
        elif isinstance(part, ast.ImportFrom):
            for alias in part.names:
                whole = f"{part.module}.{alias.name}"
                slow = part.module in PROCESSES or whole in PROCESSES
                if slow or (part.module, alias.name) in WHOLE_RUNS:
                    yield alias.asname or alias.name


def _functions(tree):
    """The functions of a module by name, each with the classes it is in."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node, ()
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef):
                    yield part.name, part, (node,)


def _is_slow(decorators):
    return any(ast.unparse(decorator).startswith("pytest.mark.slow") for decorator in decorators)


def _all_users(names, uses):
    """Some names and the functions that use one of them, be it through others."""
    users = set(names)
    while more := {name for name, used in uses.items() if used & users} - users:
        users |= more
    return users


def unmarked(source):
    """The tests of a file that take seconds and are not marked."""
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            marks = node.value.elts if isinstance(node.value, ast.List) else [node.value]
            if _is_slow(marks):
                return []
    everywhere = {name for node in tree.body if _is_import(node) for name in _names(node)}
    functions = {name: (node, classes) for name, node, classes in _functions(tree)}
    uses = {
        name: {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        | {argument.arg for argument in node.args.args}
        for name, (node, _) in functions.items()
    }
    direct = {n for n, (node, _) in functions.items() if uses[n] & {*everywhere, *_names(node)}}
    takes, by_fixture = _all_users(direct, uses), _all_users(RUNS, uses)
    return [
        name
        for name, (node, classes) in functions.items()
        if name.startswith("test_") and name in takes - by_fixture
        if not _is_slow([*node.decorator_list, *(d for c in classes for d in c.decorator_list)])
    ]


def _is_import(node):
    return isinstance(node, ast.Import | ast.ImportFrom)


@pytest.mark.parametrize(
    "path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: str(path.relative_to(TESTS))
)
def test_processes_and_whole_runs_are_marked_as_slow(path):
    assert unmarked(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess\ndef test_x(): subprocess.run([])",
        "import subprocess\ndef call(): subprocess.run([])\ndef test_x(): call()",
        "from subprocess import run\ndef made(): run([])\ndef test_x(made): pass",
        "from helpers import processes\nclass TestIt:\n  def test_x(self): processes.run('x')",
        "from helpers.processes import run\ndef test_x(): run('x')",
        "def test_x():\n  from lkgrag.run.pipeline import train\n  train(1)",
        "from lkgrag.run.pipeline import train as go\ndef test_x(): go(1)",
        "import subprocess\n@pytest.mark.network\ndef test_x(): subprocess.run([])",
    ],
)
def test_what_takes_seconds_is_seen(source):
    assert unmarked(source) == ["test_x"]
    assert unmarked(f"pytestmark = pytest.mark.slow\n{source}") == []
    marked = source.replace("def test_x", "@pytest.mark.slow\ndef test_x")
    if "class" not in source:
        assert unmarked(marked) == []


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess\ndef test_x(): pass",
        "from lkgrag import train\ndef test_x(): train.main()",
        "from lkgrag.run.pipeline import train\ndef test_x(small_run): train(small_run)",
        "from helpers import processes\ndef made(small_run): processes.run('x')\ndef test_x(made): pass",
        "def other():\n  from lkgrag.run.pipeline import train\ndef test_x(train): train()",
    ],
)
def test_what_takes_none_needs_no_mark(source):
    assert unmarked(source) == []


#: Folders of tests that are of no room of the package.
OTHERS = {"benchmarks", "docs", "helpers", "integration"}


def test_tests_lie_in_the_folder_of_what_they_test():
    for path in sorted(TESTS.rglob("test_*.py")):
        folder = path.parent.relative_to(TESTS)
        if folder.parts and folder.parts[0] not in OTHERS:
            assert (TESTS.parent / "lkgrag" / folder / "__init__.py").exists(), path
        elif folder.parts and folder.parts[0] in ("benchmarks", "docs"):
            assert (TESTS.parent / folder).is_dir(), path
