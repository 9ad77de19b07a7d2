"""YAML documents as nodes, and plain values as YAML. What a node means is said by :mod:`lkgrag.config.values`."""

from __future__ import annotations

import re
from typing import Any

import yaml

from lkgrag.errors import ConfigError, short

#: Most values of a document once its aliases are written out.
MOST_NODES = 1_000_000
#: Python's word for no value.
NONE = "None"
#: In C where it is there: files of thousands of columns are not a matter of seconds.
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(_BASE):
    """YAML in which ``1e3`` is a number, and a date is text."""


# The table is shared with the class above it until it is copied.
Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+\Z"),
    list("-+0123456789"),
)


class Dumper(yaml.SafeDumper):
    """Puts every text in quotes that would be read as something else."""


Dumper.yaml_implicit_resolvers = {k: list(v) for k, v in Loader.yaml_implicit_resolvers.items()}
Dumper.add_implicit_resolver("tag:lkgrag,none", re.compile(rf"{NONE}\Z"), [NONE[0]])


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # Some of the others are breaks of lines, which YAML folds.
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Dumper.add_representer(str, _represent)


def dump(values: dict[str, Any]) -> str:
    """Plain values as YAML, which :func:`of_node` reads back."""
    text: str = yaml.dump(values, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return text


def compose(stream: Any) -> yaml.Node | None:
    """The root of a YAML document; None if it is empty.

    Raises:
        yaml.YAMLError: it is no YAML, holds several documents, or its aliases make it endless or huge.
    """
    node: yaml.Node | None = yaml.compose(stream, Loader)
    if node is not None:
        _count_nodes(node, {})
    return node


def _count_nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """How many nodes there are below a node once its aliases are written out.

    Raises:
        yaml.YAMLError: too many, or a node lies within itself.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        # Until it is counted: who meets it meanwhile is within it.
        known[id(node)] = 0
        pairs = isinstance(node, yaml.MappingNode)
        below = [x for pair in node.value for x in pair] if pairs else node.value
        known[id(node)] = 1 + sum(_count_nodes(x, known) for x in below)
    if not 0 < known[id(node)] <= MOST_NODES:
        is_endless = not known[id(node)]
        raise yaml.YAMLError(
            "an alias stands within its own anchor"
            if is_endless
            else f"its aliases make more than {MOST_NODES:,} values"
        )
    return known[id(node)]


def pairs_of(node: yaml.MappingNode, label: str) -> list[tuple[str, yaml.Node]]:
    """The keys, as texts, and the values of a mapping; ``<<`` is merged.

    Raises:
        ConfigError: a key is no text, or comes twice, or ``<<`` is given no mapping.
    """
    loader = Loader("")
    # A merged key may be overridden, any other key stands once.
    own = [k.value for k, _ in node.value if isinstance(k, yaml.ScalarNode)]
    try:
        loader.flatten_mapping(node)
    except yaml.YAMLError as error:
        raise ConfigError(f"{label}: '<<' takes a mapping, or a list of mappings") from error
    out: dict[str, yaml.Node] = {}
    for name, value in node.value:
        if not isinstance(name, yaml.ScalarNode):
            raise ConfigError(f"{label}: a key must be a name, not a list or a mapping")
        if own.count(name.value) > 1:
            raise ConfigError(
                f"{label}: the key '{short(name.value)}' stands there twice; leave one"
            )
        out[name.value] = value
    return list(out.items())
