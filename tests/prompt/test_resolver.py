"""One resolver for verbalisers and whole prompts."""

import importlib.metadata

import pytest
import torch

from lkgrag.config import PUBLISHED, PromptConfig
from lkgrag.errors import ConfigError
from lkgrag.prompt import (
    BasePrompter,
    Prompter,
    PromptLayout,
    PublishedPrompter,
    Verbaliser,
    build_prompter,
    register_verbaliser,
    resolver,
)
from lkgrag.prompt.builder import check_prompt
from lkgrag.prompt.resolver import GROUP, REGISTERED, resolve_verbaliser
from lkgrag.prompt.verbalisers import Compact, Silent
from lkgrag.testing.llm import tiny_tokenizer
from lkgrag.testing.prompts import toy_paths

DATA, PATHS = toy_paths()
TOKENIZER = tiny_tokenizer()
ORDER = torch.arange(4).repeat(3, 1)


class Shout(Verbaliser):
    def word(self, paths, bundles, index, grade):
        return [TOKENIZER("!", add_special_tokens=False)["input_ids"] for _ in index]


class Loud(PublishedPrompter):
    instruction = "Shout the letter."


class Unfinished(Verbaliser):
    pass


class Choosy(Verbaliser):
    def __init__(self, tokenizer, data, config):
        raise ValueError("too quiet")

    word = Shout.word


class Silly(PublishedPrompter):
    def __init__(self, tokenizer, data, config, layout):
        raise RuntimeError("no prompt today")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Names that a test registers are gone after it."""
    monkeypatch.setattr(resolver, "_registered", {})


def build(verbaliser, layout="candidates"):
    return build_prompter(TOKENIZER, DATA, PromptConfig(verbaliser=verbaliser), layout)


def text(prompter):
    tokens = prompter.fit([PATHS])(PATHS, None, ORDER)
    return TOKENIZER.decode(tokens.input_ids[0, : tokens.lengths[0]])


def test_names_of_this_package():
    assert resolve_verbaliser("compact") is Compact
    assert resolve_verbaliser("none") is Silent
    assert set(REGISTERED) >= set(PUBLISHED)
    for name in REGISTERED:
        assert issubclass(resolve_verbaliser(name), Verbaliser | BasePrompter)


def test_a_verbaliser_is_used_by_the_prompter_and_a_whole_prompt_is_built_itself():
    compact, published = build("compact"), build("reference", "letters")
    assert type(compact) is Prompter
    assert type(compact.verbaliser) is Compact
    assert type(published) is PublishedPrompter


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_prompts_are_classes_of_the_same_registry(name):
    cls = resolve_verbaliser(name)
    assert issubclass(cls, PublishedPrompter)
    assert cls.words_paths == (name == "reference")
    assert "### Response:" in text(build(name, "letters"))


def test_a_registered_verbaliser_is_found_by_its_name():
    register_verbaliser("shout", Shout)
    assert resolve_verbaliser("shout") is Shout
    assert "|!!" in text(build("shout"))


def test_a_registered_prompt_is_found_by_its_name():
    register_verbaliser("loud", Loud)
    assert "Shout the letter." in text(build("loud", "letters"))


def test_a_registered_name_comes_before_those_of_this_package():
    register_verbaliser("compact", Shout)
    assert resolve_verbaliser("compact") is Shout


@pytest.mark.parametrize("cls", [Shout, Loud])
def test_a_class_is_found_by_its_address(cls):
    assert resolve_verbaliser(f"{__name__}:{cls.__name__}") is cls


def test_a_class_is_found_by_its_entry_point(monkeypatch):
    point = importlib.metadata.EntryPoint("shout", f"{__name__}:Shout", GROUP)
    monkeypatch.setattr(
        "lkgrag.utils.plugins.entry_points", lambda group: [point] if group == GROUP else []
    )
    assert resolve_verbaliser("shout") is Shout
    with pytest.raises(ConfigError, match="Did you mean 'shout'"):
        resolve_verbaliser("shoot")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("compakt", "Did you mean 'compact'?"),
        ("referense", "Did you mean 'reference'?"),
        ("nonsense", "There are compact, llamarec, none, reference"),
        ("nowhere:Shout", "no module 'nowhere'"),
        ("pathlib:Path", "pathlib:Path is no subclass of lkgrag.prompt.verbalisers.Verbaliser"),
        ("pathlib:Path", "or lkgrag.prompt.BasePrompter"),
        ("pathlib:PurePath.name", "is no subclass of"),
        (f"{__name__}:Unfinished", "Unfinished has no method word"),
    ],
)
def test_wrong_names_are_refused_in_one_line(name, message):
    with pytest.raises(ConfigError, match=r"^prompt\.verbaliser") as caught:
        resolve_verbaliser(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_nearest_name_may_be_a_registered_one():
    register_verbaliser("shout", Shout)
    with pytest.raises(ConfigError, match="Did you mean 'shout'"):
        resolve_verbaliser("shoot")


@pytest.mark.parametrize("wrong", [dict, Shout.word, "shout", None])
def test_what_is_no_wording_cannot_be_registered(wrong):
    with pytest.raises(ConfigError, match=r"is no subclass of lkgrag\.prompt\.Verbaliser"):
        register_verbaliser("shout", wrong)
    with pytest.raises(ConfigError, match="no verbaliser 'shout'"):
        resolve_verbaliser("shout")


@pytest.mark.parametrize(
    ("cls", "layout", "message"),
    [
        (Choosy, "candidates", "Choosy cannot be built: ValueError('too quiet')"),
        (Silly, "letters", "Silly cannot be built: RuntimeError('no prompt today')"),
        (Loud, "candidates", "its prompts have the layout letters"),
    ],
)
def test_a_class_that_cannot_be_built_is_told_in_one_line(cls, layout, message):
    with pytest.raises(ConfigError, match=r"^prompt\.verbaliser=") as caught:
        build(f"{__name__}:{cls.__name__}", layout)
    assert message in str(caught.value)


class Fails(Shout):
    def word(self, paths, bundles, index, grade):
        raise ValueError("no word today " * 500)


class FailsToFit(Shout):
    def fit(self, batches):
        raise KeyError("nothing")


@pytest.mark.parametrize(("cls", "method"), [(Fails, "word"), (FailsToFit, "fit")])
def test_a_verbaliser_that_fails_is_told_in_one_short_line(cls, method):
    name = f"{__name__}:{cls.__name__}"
    with pytest.raises(
        ConfigError, match=rf"{name}: {method}\(\) of {cls.__name__} fails"
    ) as caught:
        text(build(name, "candidates"))
    assert len(str(caught.value)) < 600


def test_a_prompt_that_cannot_be_is_refused_before_it_is_made():
    letters, candidates = PromptLayout.LETTERS, PromptLayout.CANDIDATES
    check_prompt(PromptConfig(), letters, 52)
    check_prompt(PromptConfig(), candidates, 53)
    check_prompt(PromptConfig(verbaliser="reference"), letters, 52)
    with pytest.raises(ConfigError, match=r"retrieval\.k=53: .* 52"):
        check_prompt(PromptConfig(), letters, 53)
    with pytest.raises(ConfigError, match=r"set llm\.readout=letters"):
        check_prompt(PromptConfig(verbaliser="llamarec"), candidates, 20)
    with pytest.raises(ConfigError, match="Did you mean 'compact'"):
        check_prompt(PromptConfig(verbaliser="compakt"), candidates, 20)
