"""Values of options, from YAML and from Python, by the type that the schema declares.

What an option takes as text is the text as it is written, also in lists and mappings: ``no``, ``007``, ``1e3``,
``???`` and ``${HOME}`` are texts, and nothing is ever put in for them. Only a bare ``null`` means no value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from os import PathLike, fspath
from typing import Any

import yaml

from lkgrag.config.documents import NONE, Loader, compose, pairs_of
from lkgrag.errors import ConfigError, short

#: Words for true and false, in lower case.
SWITCHES = {"true": True, "yes": True, "on": True, "y": True, "1": True}
SWITCHES |= {"false": False, "no": False, "off": False, "n": False, "0": False}
#: The word for no value, and YAML's others for it.
NULL, YAML_NULLS = "null", ("", "~", "Null", "NULL")
#: Types in words, as messages have them.
WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}
#: Kinds of lists and mappings, with an example.
EXAMPLES = {
    "list[int]": "a list, as [5,10]",
    "list[str]": "a list, as [a,b]",
    "dict[str, str]": "a mapping, as {user: uid}",
    "dict[str, Any]": "a mapping, as {name: value}",
    "dict[str, dict[str, Any]]": "a mapping of mappings, as {name: {option: value}}",
}


def of_text(text: str, key: str, kind: str) -> Any:
    """The value that ``key=text`` gives an option.

    Args:
        text: as typed.
        key: of the option, for messages.
        kind: the option's type as the schema writes it, as ``list[str] | None``.

    Raises:
        ConfigError: the text is no such value.
    """
    kind, is_optional = _split(kind)
    if kind == "str":
        if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
            node = _parse(text, key)
            return node.value if isinstance(node, yaml.ScalarNode) else text
        return _plain_text(text, key, is_optional)
    if kind.startswith("list") and "," in text and not text.lstrip().startswith(("[", "{")):
        text = f"[{text}]"
    # Tags and anchors of YAML would swallow what is a text here.
    node = _split_texts(text.strip(), kind) if set(text) & set("!&*") else None
    try:
        node = node or _parse(text, key)
    except ConfigError:
        # `[???]` and `[${x}]` are no YAML, but texts.
        node = _split_texts(text.strip(), kind)
        if node is None:
            raise
    return _of_node_or_null(node, key, kind, is_optional)


def of_node(node: yaml.Node, key: str, kind: str) -> Any:
    """The value that a node of a YAML document gives an option; see :func:`of_text`."""
    kind, is_optional = _split(kind)
    if kind == "str" and isinstance(node, yaml.ScalarNode) and not _is_null(node):
        return node.value if node.style else _plain_text(node.value, key, is_optional)
    return _of_node_or_null(node, key, kind, is_optional)


def of_python(value: Any, key: str, kind: str) -> Any:
    """The value that an object of Python gives an option; see :func:`of_text`."""
    kind, is_optional = _split(kind)
    if value is not None:
        return _of_python(value, key, kind)
    if is_optional:
        return None
    raise ConfigError(
        f"option '{key}' takes {_takes(kind)}, not None; leave it out for the default"
    )


def inner_kind(kind: str) -> str | None:
    """The type of a mapping's values; None for what is no mapping."""
    if kind == "Any":
        return kind
    return kind[len("dict[str, ") : -1] if kind.startswith("dict[") else None


def _split(kind: str) -> tuple[str, bool]:
    """A type without ``| None``, and whether it may be null."""
    return kind.removesuffix(" | None"), kind.endswith(" | None")


def _parse(text: str, key: str) -> yaml.Node | None:
    try:
        return compose(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"option '{key}': {short(text)!r} is not readable as a value; put a text with such characters "
            "in quotes"
        ) from error


#: An element of a list or mapping: a quoted text, or anything but commas outside of brackets.
_ELEMENT = re.compile(
    r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?:\{[^{}]*\}|\[[^\[\]]*\]|[^,{}\[\]"'])+)\s*(?:,|\Z)"""
)


def _split_texts(text: str, kind: str) -> yaml.Node | None:
    """A list or mapping of texts with characters that YAML takes for something else; None if it is none."""
    if kind not in ("list[str]", "dict[str, str]") or text[:1] + text[-1:] not in ("[]", "{}"):
        return None
    inner, place, elements = text[1:-1], 0, []
    while place < len(inner):
        match = _ELEMENT.match(inner, place)
        if match is None:
            return None
        elements.append(match[1].strip())
        place = match.end()
    if text[0] == "[":
        return yaml.SequenceNode("", [_text_node(element) for element in elements])
    pairs = [element.partition(": ") for element in elements]
    if not all(colon for _, colon, _ in pairs):
        return None
    return yaml.MappingNode("", [(_text_node(a), _text_node(b)) for a, _, b in pairs])


def _text_node(text: str) -> yaml.ScalarNode:
    """A text as it stands there, without its quotes."""
    text = text.strip()
    is_quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""
    node = yaml.compose(text, Loader) if is_quoted else None
    tag = "tag:yaml.org,2002:str"
    return node if isinstance(node, yaml.ScalarNode) else yaml.ScalarNode(tag, text, style="'")


def _plain_text(text: str, key: str, is_optional: bool) -> str | None:
    if text == NULL:
        if is_optional:
            return None
        raise ConfigError(
            f"option '{key}' takes a text, got null; for that text write {key}='\"null\"'"
        )
    if is_optional:
        _refuse_none(text, key)
    return text


def _refuse_none(text: str, key: str) -> None:
    """Refuse what Python writes where options have ``null``."""
    if text == NONE:
        raise ConfigError(
            f"option '{key}': {text!r} is a text; for no value write {key}=null, for that text '\"{text}\"'"
        )


def _is_null(node: yaml.Node) -> bool:
    """Whether a node is ``null``, or nothing at all, as after a colon."""
    is_plain = isinstance(node, yaml.ScalarNode) and not node.style
    return is_plain and node.value in (NULL, *YAML_NULLS)


def _of_node_or_null(node: yaml.Node | None, key: str, kind: str, is_optional: bool) -> Any:
    if node is None or _is_null(node):
        if is_optional or kind == "Any":
            return None
        got = "nothing" if node is None or not node.value else NULL
        raise ConfigError(
            f"option '{key}' takes {_takes(kind)}, got {got}; leave it out for the default"
        )
    if isinstance(node, yaml.ScalarNode) and not node.style and is_optional:
        _refuse_none(node.value, key)
    return _of_node(node, key, kind)


def _takes(kind: str) -> str:
    return WORDS.get(kind) or EXAMPLES.get(kind, "a value")


def _wrong(key: str, kind: str, value: object) -> ConfigError:
    return ConfigError(f"option '{key}' takes {_takes(kind)}, got {value}")


def _of_node(node: yaml.Node, key: str, kind: str) -> Any:
    if kind == "Any":
        return _anything(node, key)
    if kind.startswith("list["):
        inner = kind[5:-1]
        if not isinstance(node, yaml.SequenceNode):
            raise _wrong(key, kind, _describe(node, kind))
        return [_of_node(value, key, inner) for value in node.value]
    if kind.startswith("dict["):
        inner = str(inner_kind(kind))
        if not isinstance(node, yaml.MappingNode):
            raise _wrong(key, kind, _describe(node, kind))
        pairs = pairs_of(node, f"option '{key}'")
        return {name: _of_node(value, f"{key}.{name}", inner) for name, value in pairs}
    if not isinstance(node, yaml.ScalarNode):
        raise _wrong(key, kind, _describe(node, kind))
    if kind == "str":
        if not node.style and not node.value:
            # `{user:uid}` is read as a key without a value.
            raise ConfigError(f"option '{key}': there is no value; a colon needs a space after it")
        return str(node.value)
    value = node.value.strip()
    # YAML writes infinity and NaN with a point in front.
    text = re.sub(r"^([-+]?)\.(inf|nan)$", r"\1\2", value.lower()) if kind == "float" else value
    return _convert(text, key, kind, value)


def _convert(text: str, key: str, kind: str, shown: str) -> Any:
    """A text as a number or a switch."""
    kinds: dict[str, Callable[[str], Any]] = {
        "int": lambda word: int(word, 16 if word.lower().startswith("0x") else 10), "float": float, "bool": lambda word: SWITCHES[word.lower()],
    }  # fmt: skip
    try:
        return kinds[kind](text)
    except (ValueError, KeyError):
        raise _wrong(key, kind, repr(short(shown))) from None


def _anything(node: yaml.Node, key: str) -> Any:
    """Plain values of a node whose type is free."""
    if isinstance(node, yaml.MappingNode):
        pairs = pairs_of(node, f"option '{key}'")
        return {name: _anything(value, f"{key}.{name}") for name, value in pairs}
    if isinstance(node, yaml.SequenceNode):
        return [_anything(value, key) for value in node.value]
    try:
        return Loader("").construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"option '{key}': {short(str(node.value))!r} is not readable") from error


def _describe(node: yaml.Node, kind: str) -> str:
    """What stands there instead."""
    if isinstance(node, yaml.ScalarNode):
        if not node.value:
            return "nothing"
        one = "[]" if node.value.lower() == NONE.lower() else f"[{short(node.value)}]"
        return f"{short(node.value)!r}" + (f"; write {one}" if kind.startswith("list") else "")
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    names = [k.value for k, _ in node.value if isinstance(k, yaml.ScalarNode)]
    return f"a mapping of {short(', '.join(map(str, names)))}"


def _of_python(value: Any, key: str, kind: str) -> Any:
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        # A scalar of NumPy, which need not be imported for this.
        value = value.item()
    if kind == "Any":
        return value
    if kind.startswith("list["):
        if not isinstance(value, list | tuple):
            raise _wrong(key, kind, _name(value))
        return [_of_python(v, key, kind[5:-1]) for v in value]
    if kind.startswith("dict["):
        if not isinstance(value, dict):
            raise _wrong(key, kind, _name(value))
        inner = str(inner_kind(kind))
        return {str(n): _of_python(v, f"{key}.{n}", inner) for n, v in value.items()}
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "str":
        value = fspath(value) if isinstance(value, PathLike) else value
        if isinstance(value, str) or is_number:
            return str(value)
    elif kind == "bool":
        if isinstance(value, bool):
            return value
    elif isinstance(value, str):
        return _convert(value, key, kind, value)
    elif is_number and (kind == "float" or value % 1 == 0):
        return float(value) if kind == "float" else int(value)
    raise _wrong(key, kind, _name(value))


def _name(value: object) -> str:
    return f"{short(repr(value))} ({type(value).__name__})"
