"""The order of the rooms, and what may be imported late.

A module imports its own room and lower ones, never a higher one. It imports at the top; an import inside a
function says why it is there.
"""

import ast
from pathlib import Path

import pytest

import lkgrag

ROOT = Path(lkgrag.__file__).parent
#: From the bottom to the top. The names below the root are the commands; whatever imports them is above.
ROOMS = (
    "errors",
    "utils",
    "config",
    "cli",
    "data",
    "text",
    "kg",
    "paths",
    "retrieval",
    "scorer",
    "prompt",
    "llm",
    "ranker",
    "training",
    "evaluation",
    "serving",
    "report",
    "service",
    "run",
    "tuning",
    "testing",
)
COMMANDS = ("audit", "count", "evaluate", "export", "recommend", "serve", "train", "tune", "update")
#: What type checkers are told of the root's public names, which are imported when they are asked for.
LAZY = {
    # What lets old addresses be found; it imports nothing of this package.
    ("__init__", "utils.moved"),
    ("__init__", "config.loading"),
    ("__init__", "data.interactions"),
    ("__init__", "serving.ranker"),
    ("__init__", "run.fitting"),
    ("__init__", "run.pipeline"),
    ("__init__", "run.reevaluate"),
}


def modules():
    """Every module by its name below ``lkgrag``."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        yield name, path


def imports(path):
    """What a file imports of this package, wherever in it: (module below ``lkgrag``, line)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            top, _, rest = node.module.partition(".")
            if top == "lkgrag":
                for alias in node.names:
                    yield (f"{rest}.{alias.name}" if rest else alias.name), node.lineno
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top, _, rest = alias.name.partition(".")
                if top == "lkgrag" and rest:
                    yield rest, node.lineno


def level(name):
    """How high a module stands; the root itself, which holds the version, is the lowest."""
    room = name.split(".")[0]
    if room in COMMANDS or room == "__main__":
        return len(ROOMS)
    return ROOMS.index(room) if room in ROOMS else -1


def upward():
    """Every import of a higher room."""
    found = []
    for name, path in modules():
        for target, line in imports(path):
            lazy = any(name == n and target.startswith(t) for n, t in LAZY)
            if level(target) > level(name) and not lazy:
                found.append(f"{name} imports {target} (line {line})")
    return found


def test_no_module_imports_a_higher_room():
    assert upward() == []


def test_every_module_belongs_to_a_room():
    rooms = {name.split(".")[0] for name, _ in modules()}
    assert rooms <= {*ROOMS, *COMMANDS, "__init__", "__main__"}


def test_few_modules_are_loose_at_the_root():
    loose = {path.stem for path in ROOT.glob("*.py")}
    assert loose == {"__init__", "__main__", "errors", *COMMANDS}


@pytest.mark.parametrize("room", [r for r in ROOMS if r != "errors"])
def test_every_room_says_what_it_is_for(room):
    tree = ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)


def unexplained(text):
    """Lines of the imports inside functions that begin a block without a comment directly above it."""
    lines = text.splitlines()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    late = {
        node.lineno: node.end_lineno
        for function in ast.walk(ast.parse(text))
        if isinstance(function, functions)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    out, end = [], 0
    for line in sorted(late):
        continues = end and not any(x.strip() for x in lines[end : line - 1])
        if not continues and not lines[line - 2].lstrip().startswith("#"):
            out.append(line)
        end = late[line]
    return out


def test_imports_inside_functions_say_why():
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        found += [f"{file}:{line}" for line in unexplained(path.read_text(encoding="utf-8"))]
    assert found == []


def test_an_import_inside_a_function_is_seen():
    body = ["    import json", "", "    import os", "    os.sep", "    import re"]
    assert unexplained("\n".join(["def f():", *body])) == [2, 6]
    assert unexplained("\n".join(["def f():", "    # Rarely needed.", *body])) == [7]
    assert unexplained("import json\nclass A:\n    import os\n") == []


def cycles():
    """Circles of modules that import one another, in any way."""
    names = {name for name, _ in modules()}
    graph = {}
    for name, path in modules():
        out = set()
        for target, _ in imports(path):
            while target and target not in names:
                target = target.rpartition(".")[0]
            out.add(target)
        graph[name] = out - {name, "", "__init__"}
    low, index, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            circle = []
            while True:
                circle.append(stack.pop())
                if circle[-1] == node:
                    break
            if len(circle) > 1:
                found.append(sorted(circle))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def test_there_are_no_circles():
    assert cycles() == []
