"""Custom classes: how they are named, what is refused in one line, and what identifies their code."""

import hashlib
import sys
from abc import ABC, abstractmethod
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from lkgrag.errors import ConfigError
from lkgrag.utils import plugins
from lkgrag.utils.plugins import Call


class Base(ABC):
    @abstractmethod
    def forward(self):
        """Do it."""


class Whole(Base):
    def forward(self):
        return 1

    class Inner(Base):
        def forward(self):
            return 2


class Half(Base):
    @abstractmethod
    def backward(self):
        """Undo it."""


class Other:
    pass


KNOWN = {"whole": f"{__name__}:Whole", "wholesome": f"{__name__}:Whole.Inner"}
GROUP = "lkgrag.things"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(code, name="custom_things"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(code)
        return name

    yield write
    sys.modules.pop("custom_things", None)


@pytest.fixture
def points(monkeypatch):
    """Entry points of the group."""
    registered = []
    monkeypatch.setattr(plugins, "entry_points", lambda group: registered if group == GROUP else [])
    return lambda name, value: registered.append(EntryPoint(name, value, GROUP))


def resolve(name, base=Base):
    return plugins.resolve(name, KNOWN, GROUP, "thing.name", base, "thing")


def refusal(name, base=Base):
    """The one line by which a name is refused; it begins with the option."""
    with pytest.raises(ConfigError) as error:
        resolve(name, base)
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith("thing.name")
    return text


def test_a_class_is_imported_by_module_and_name():
    assert resolve(f"{__name__}:Whole") is Whole
    assert resolve(f"{__name__}:Whole.Inner") is Whole.Inner


def test_a_name_of_this_package_means_its_class():
    assert resolve("whole") is Whole
    assert resolve("wholesome") is Whole.Inner


def test_an_entry_point_means_its_class(points):
    points("installed", f"{__name__}:Whole")
    assert resolve("installed") is Whole


def test_an_entry_point_does_not_hide_a_name_of_this_package(points):
    points("whole", f"{__name__}:Whole.Inner")
    assert resolve("whole") is Whole


def test_an_entry_point_of_another_group_is_no_name(monkeypatch):
    point = EntryPoint("elsewhere", f"{__name__}:Whole", "lkgrag.others")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group != GROUP else [])
    assert "'elsewhere'" in refusal("elsewhere")


def test_an_unknown_name_is_told_with_the_names_there_are(points):
    points("installed", f"{__name__}:Whole")
    text = refusal("wole")
    assert "no thing 'wole'" in text
    assert "Did you mean 'whole'" in text
    assert "installed, whole, wholesome" in text
    assert "package.module:Class" in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_package.things:X", "no module 'no_such_package'"),
        ("lkgrag.no_such_module:X", "no module 'lkgrag.no_such_module'"),
        ("pathlib:Part", "AttributeError"),
        ("pathlib:", "cannot import pathlib:"),
        (":X", "cannot import :X"),
        (".odd:X", "TypeError"),
        ("pathlib:Path.nothing", "AttributeError"),
    ],
)
def test_what_cannot_be_imported_is_told_with_its_cause(name, words):
    text = refusal(name)
    assert text.startswith(f"thing.name={name}: ")
    assert words in text


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("class X(\n    pass\n", "SyntaxError"),
        ("undefined", "NameError: name 'undefined' is not defined"),
        ("raise RuntimeError('one\\ntwo')", "RuntimeError: one two"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("import no_such_package", "no module 'no_such_package'"),
        ("raise KeyboardInterrupt", None),
    ],
)
def test_a_module_that_fails_as_it_is_imported(module, code, cause):
    name = f"{module(code)}:X"
    if cause is None:
        # The user's own interruption is passed on.
        with pytest.raises(KeyboardInterrupt):
            resolve(name)
    else:
        assert cause in refusal(name)


def test_an_entry_point_that_cannot_be_imported_is_told_by_its_name(points):
    points("installed", "no_such_package:X")
    assert refusal("installed").startswith("thing.name=installed: ")


@pytest.mark.parametrize("name", ["Other", "KNOWN", "resolve"])
def test_what_is_no_such_class_is_told_with_the_class_it_must_be(name):
    text = refusal(f"{__name__}:{name}")
    assert f"{__name__}:{name}" in text
    assert "Base" in text


def test_a_class_may_derive_from_either_of_two_bases():
    assert resolve(f"{__name__}:Other", (Base, Other)) is Other
    assert resolve(f"{__name__}:Whole", (Base, Other)) is Whole
    text = refusal("pathlib:Path", (Base, Other))
    assert "Base or " in text
    assert "Other" in text


def test_an_abstract_class_is_told_with_the_methods_it_lacks():
    text = refusal(f"{__name__}:Half")
    assert "backward, forward" in text


def built(self, data, sizes, width, depth=1, *rest, seed):
    """As a constructor."""


def open_ended(self, data, **options):
    """As a constructor that takes anything."""


def narrow(self, data):
    """As a constructor that lacks an argument."""


def call(function, given=("data", "sizes")):
    return Call(function, Whole, "the constructor of Whole", given, "thing.name", "thing.kwargs")


def complaint(function, kwargs, given=("data", "sizes")):
    """The one line by which arguments are refused."""
    with pytest.raises(ConfigError) as error:
        call(function, given).check(kwargs)
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("kwargs", [{"width": 1, "seed": 0}, {"width": 1, "depth": 2, "seed": 0}])
def test_a_call_with_all_it_needs_passes(kwargs):
    call(built).check(kwargs)


def test_a_call_that_takes_anything_passes():
    call(open_ended).check({"whatever": 1})
    call(open_ended, ("data", "sizes", "more")).check({})


def test_a_call_that_lacks_an_argument_of_the_program_is_told_by_the_class():
    text = complaint(narrow, {})
    assert text.startswith("thing.name: ")
    assert "the constructor of Whole" in text
    assert "data, sizes" in text
    assert "no 'sizes'" in text


def test_an_argument_of_the_program_is_not_the_user_s_to_give():
    for function in (built, open_ended):
        text = complaint(function, {"data": 1, "width": 1, "seed": 0})
        assert text.startswith("thing.kwargs: ")
        assert "'data'" in text


def test_an_unknown_option_is_told_with_those_there_are():
    text = complaint(built, {"with": 1, "width": 1, "seed": 0})
    assert text.startswith("thing.kwargs: Whole ")
    assert "'with'" in text
    assert "Did you mean 'width'" in text
    assert "width, depth, seed" in text
    assert "it has none" in complaint(narrow, {"width": 1}, ("data",))


@pytest.mark.parametrize(
    ("kwargs", "missing"), [({"seed": 0}, "width"), ({"width": 1}, "seed"), ({}, "width")]
)
def test_an_option_without_a_default_must_be_given(kwargs, missing):
    text = complaint(built, kwargs)
    assert text.startswith("thing.kwargs: Whole ")
    assert f"'{missing}'" in text


def positional(self, data, width, /, depth=1):
    """As a constructor whose first arguments have no name."""


def test_arguments_that_have_no_name_cannot_be_given():
    assert "no 'data'" in complaint(positional, {}, ("data",))
    assert "no option 'width'" in complaint(positional, {"width": 1}, ())


def test_custom_is_what_is_not_of_this_package():
    assert plugins.is_custom(Whole)
    assert plugins.is_custom(Path)
    assert not plugins.is_custom(Call)


def test_a_class_of_this_package_has_no_hash():
    assert plugins.source_hash(Call) is None


def test_the_hash_is_of_the_whole_module(module):
    code = "STEPS = {}\n\n\nclass Mine:\n    pass\n"
    found = []
    for steps in (1, 22):
        name = module(code.format(steps))
        mine = plugins.import_class(f"{name}:Mine", "thing.name", object)
        found.append(plugins.source_hash(mine))
        assert found[-1] == hashlib.sha256(code.format(steps).encode()).hexdigest()
    assert found[0] != found[1]


def test_the_hash_of_a_script_s_class_is_of_the_class_alone(module):
    code = "STEPS = {}\n\n\nclass Mine:\n    steps = {}\n"
    found = {}
    for outside, inside in ((1, 1), (22, 1), (1, 22)):
        name = module(code.format(outside, inside))
        mine = plugins.import_class(f"{name}:Mine", "thing.name", object)
        main = sys.modules["__main__"]
        try:
            # As where the module is run.
            sys.modules["__main__"] = sys.modules[name]
            mine.__module__ = "__main__"
            found[outside, inside] = plugins.source_hash(mine)
        finally:
            sys.modules["__main__"] = main
    assert None not in found.values()
    assert found[1, 1] == found[22, 1] != found[1, 22]


def test_a_class_without_source_has_no_hash():
    names = {"__name__": "typed_in"}
    exec("class Mine:\n    pass", names)
    assert plugins.source_hash(names["Mine"]) is None
    assert plugins.source_hash(int) is None
