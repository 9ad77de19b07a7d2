"""Pages that follow from the code: options, presets and command lines.

``lkgrag-options`` lists every option from the dataclasses of :mod:`lkgrag.config`, ``lkgrag-presets``
the shipped YAML files, ``lkgrag-command`` one entry point. The role ``opt`` links an option.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from importlib import resources
from typing import Any, cast

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.roles import XRefRole
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_id

from lkgrag.cli.command import FLAGS, Command
from lkgrag.config import Config
from lkgrag.config.fields import config_fields, default_of, range_of, show
from lkgrag.config.loading import presets

OBJECT, ROLE = "lkgragoption", "opt"
_CODE = re.compile(r"`([^`]+)`")


def words(text: str) -> list[nodes.Node]:
    """Text in which backticks mark code."""
    out: list[nodes.Node] = []
    for place, part in enumerate(_CODE.split(text)):
        if part:
            out.append(nodes.literal(part, part) if place % 2 else nodes.Text(part))
    return out


def paragraph(*parts: nodes.Node) -> nodes.paragraph:
    """A paragraph of nodes."""
    out = nodes.paragraph()
    out += list(parts)
    return out


def code(text: str, language: str) -> nodes.literal_block:
    """A block of code."""
    out = nodes.literal_block(text, text)
    out["language"] = language
    return out


def type_name(annotation: Any) -> str:
    """A type in the words of the page."""
    text = annotation if isinstance(annotation, str) else annotation.__name__
    text = text.replace("dict[str, dict[str, Any]]", "mapping of mappings")
    return text.replace("dict[str, Any]", "mapping").replace(" | None", " or null")


class Options(SphinxDirective):
    """Every option of the configuration, one section for each room."""

    def run(self) -> list[nodes.Node]:
        """Sections of definition lists."""
        self.env.note_dependency(inspect.getfile(Config))
        groups: dict[str, list[tuple[str, Any]]] = {}
        for key, field in config_fields():
            groups.setdefault(key.partition(".")[0] if "." in key else "", []).append((key, field))
        rooms = {f.name: f.default_factory for f in dataclasses.fields(Config)}
        return [
            self._section(room, fields, Config if not room else cast(type, rooms[room]))
            for room, fields in groups.items()
        ]

    def _section(self, room: str, fields: list[tuple[str, Any]], cls: type) -> nodes.section:
        title = room or "The run as a whole"
        section = nodes.section(ids=[f"options-{room or 'run'}"], names=[f"options {title}"])
        section += nodes.title(title, title)
        section += paragraph(*words(inspect.getdoc(cls) or ""))
        items = nodes.definition_list(classes=["simple", "options"])
        for key, field in fields:
            items += self._option(key, field)
        section += items
        return section

    def _option(self, key: str, field: Any) -> nodes.definition_list_item:
        target = make_id(self.env, self.state.document, "opt", key.replace(".", "-"))
        item = nodes.definition_list_item(ids=[target])
        domain = cast(StandardDomain, self.env.get_domain("std"))
        domain.note_object(OBJECT, key, target, location=self.get_location())
        default = show(default_of(field))
        term = nodes.term()
        term += nodes.literal(key, f"{key}={default}")
        term += nodes.inline("", f" {type_name(field.type)}", classes=["option-type"])
        body = nodes.definition()
        body += paragraph(*words(field.metadata["help"]))
        choices = field.metadata["choices"]
        if choices:
            line: list[nodes.Node] = [nodes.Text("One of ")]
            for place, choice in enumerate(choices):
                line += [nodes.Text(", ")] if place else []
                line.append(nodes.literal(choice, choice))
            body += paragraph(*line)
        if limits := range_of(field):
            body += paragraph(nodes.Text(limits.capitalize()))
        item += [term, body]
        return item


class Presets(SphinxDirective):
    """The shipped presets, with their text."""

    def run(self) -> list[nodes.Node]:
        """One section for each preset."""
        out: list[nodes.Node] = []
        for name in presets():
            file = resources.files("lkgrag") / "conf" / f"{name}.yaml"
            self.env.note_dependency(str(file))
            section = nodes.section(ids=[f"preset-{name}"], names=[f"preset {name}"])
            section += nodes.title("", "", nodes.literal("", f"preset={name}"))
            section += code(file.read_text(encoding="utf-8").rstrip(), "yaml")
            out.append(section)
        return out


class CommandLine(Directive):
    """One entry point: ``lkgrag-command`` with the module's name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Summary, options and examples."""
        command: Command = importlib.import_module(self.arguments[0]).COMMAND
        usage = f"python -m {command.name} [key=value ...] [flags]"
        out: list[nodes.Node] = [paragraph(*words(command.summary)), code(usage, "text")]
        rows = {f"{key}={default}": meaning for key, (default, meaning) in command.options.items()}
        if rows:
            out.append(definitions(rows))
        out += [paragraph(nodes.Text("For example:")), code("\n".join(command.examples), "bash")]
        return out


class Flags(Directive):
    """The flags that every entry point has."""

    def run(self) -> list[nodes.Node]:
        """A list of flags."""
        return [definitions(FLAGS)]


def definitions(rows: dict[str, str]) -> nodes.definition_list:
    """A list of code words and their meanings."""
    items = nodes.definition_list(classes=["simple", "options"])
    for head, meaning in rows.items():
        body = nodes.definition("", paragraph(*words(meaning)))
        items += nodes.definition_list_item("", nodes.term("", "", nodes.literal(head, head)), body)
    return items


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the directives and the role known."""
    app.add_object_type(OBJECT, ROLE, objname="option of the configuration")
    # An option that prose names must exist; else the build fails.
    app.add_role_to_domain("std", ROLE, XRefRole(warn_dangling=True), override=True)
    app.add_directive("lkgrag-options", Options)
    app.add_directive("lkgrag-presets", Presets)
    app.add_directive("lkgrag-command", CommandLine)
    app.add_directive("lkgrag-flags", Flags)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
