"""From the word of ``llm.readout`` to a readout."""

import importlib.metadata

import pytest
import torch

from lkgrag.config import LLMConfig, PromptConfig, load_config
from lkgrag.errors import ConfigError, ModelError
from lkgrag.llm import LinearReadout, LMScorer, Readout
from lkgrag.llm.readouts import Attention, at
from lkgrag.llm.readouts.candidates import CandidateReadout
from lkgrag.llm.readouts.letters import LetterReadout
from lkgrag.llm.readouts.resolver import GROUP, REGISTERED, build_readout, resolve_readout
from lkgrag.prompt import Prompter, PromptLayout
from lkgrag.testing.llm import tiny_llama, tiny_tokenizer
from lkgrag.testing.prompts import toy_paths

DATA, PATHS = toy_paths()
TOKENIZER = tiny_tokenizer()


class Norm(Readout):
    """The size of the hidden state at each candidate's end; nothing is learned."""

    layout = PromptLayout.CANDIDATES
    attention = Attention.BLOCKS

    def forward(self, hidden, tokens):
        return at(hidden, tokens.read).norm(dim=-1)


class Unfinished(Readout):
    pass


class Choosy(Norm):
    def __init__(self, model, config, seed):
        raise ValueError("no such model")


class Wide(Norm):
    def forward(self, hidden, tokens):
        return at(hidden, tokens.read)


def address(cls):
    return f"{__name__}:{cls.__name__}"


def tokens_of(layout):
    make = Prompter(TOKENIZER, DATA, PromptConfig(), layout).fit([PATHS])
    return make(PATHS, None, torch.arange(4).repeat(3, 1))


def test_names_of_this_package():
    assert resolve_readout("candidates") is CandidateReadout
    assert resolve_readout("letters") is LetterReadout
    for name in REGISTERED:
        assert load_config({"llm.readout": name}).llm.readout == name


def test_a_readout_names_its_layout_and_its_attention():
    assert CandidateReadout.layout is PromptLayout.CANDIDATES
    assert CandidateReadout.attention is Attention.BLOCKS
    assert LetterReadout.layout is PromptLayout.LETTERS
    assert LetterReadout.attention is Attention.CAUSAL


def test_only_a_linear_readout_can_be_probed():
    assert issubclass(CandidateReadout, LinearReadout)
    assert not issubclass(LetterReadout, LinearReadout)


def test_a_class_is_found_by_its_address_and_scores_candidates(tmp_path):
    scorer = LMScorer(tiny_llama(len(TOKENIZER)), LLMConfig(readout=address(Norm)))
    assert type(scorer.readout) is Norm
    tokens = tokens_of(Norm.layout)
    with torch.no_grad():
        scores = scorer(tokens)
        expected = at(scorer.hidden(tokens), tokens.read).norm(dim=-1)
    assert torch.equal(scores, expected.masked_fill(tokens.read < 0, 0.0))
    # Without a state there is no file of it.
    scorer.save(tmp_path / "lm")
    assert not (tmp_path / "lm" / "readout.safetensors").exists()


def test_the_configuration_takes_a_class():
    name = address(Norm)
    assert load_config({"llm.readout": name}).llm.readout == name
    # It may read letters, as published prompts need; what builds the prompts knows.
    load_config({"llm.readout": name, "prompt.verbaliser": "llamarec"})


def test_the_configuration_takes_an_entry_point(monkeypatch):
    point = importlib.metadata.EntryPoint("norm", address(Norm), GROUP)
    points = importlib.metadata.EntryPoints([point])
    with pytest.raises(ConfigError, match=r"'llm\.readout': 'norm' is none of candidates, letters"):
        load_config({"llm.readout": "norm"})
    for module in ("lkgrag.config.checks", "lkgrag.utils.plugins"):
        monkeypatch.setattr(
            f"{module}.entry_points", lambda group: points if group == GROUP else []
        )
    assert load_config({"llm.readout": "norm"}).llm.readout == "norm"
    assert resolve_readout("norm") is Norm
    with pytest.raises(ConfigError, match="Did you mean 'norm'"):
        resolve_readout("nrom")


@pytest.mark.parametrize("key", ["llm.attention", "prompt.order", "llm.gate"])
def test_other_options_take_no_class(key):
    with pytest.raises(ConfigError, match=f"'{key}'"):
        load_config({key: address(Norm)})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("leters", "Did you mean 'letters'?"),
        ("nonsense", "There are candidates, letters"),
        ("nowhere:Norm", "no module 'nowhere'"),
        ("pathlib:Path", "pathlib:Path is no subclass of lkgrag.llm.readouts.Readout"),
        (f"{__name__}:Unfinished", "Unfinished has no method forward"),
    ],
)
def test_wrong_names_are_refused_in_one_line(name, message):
    with pytest.raises(ConfigError, match=r"^llm\.readout") as caught:
        resolve_readout(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_class_that_cannot_be_built_is_told_in_one_line():
    model = tiny_llama(len(TOKENIZER))
    with pytest.raises(ConfigError, match=r"Choosy cannot be built: ValueError\('no such model'\)"):
        build_readout(model, LLMConfig(readout=address(Choosy)), 0)


def test_scores_of_another_shape_are_refused():
    scorer = LMScorer(tiny_llama(len(TOKENIZER)), LLMConfig(readout=address(Wide)))
    with pytest.raises(ConfigError, match=r"must have shape \[3, 4\], got \[3, 4, 32\]"):
        scorer(tokens_of(Wide.layout))


class Fails(Norm):
    def forward(self, hidden, tokens):
        raise ValueError("no score today " * 500)


def test_a_readout_that_fails_is_told_in_one_short_line():
    scorer = LMScorer(tiny_llama(len(TOKENIZER)), LLMConfig(readout=address(Fails)))
    with pytest.raises(
        ConfigError, match=r"^llm\.readout=.*:Fails: its forward\(\) fails"
    ) as caught:
        scorer(tokens_of(Fails.layout))
    assert len(str(caught.value)) < 600


def test_blocks_refuse_windows_by_the_name_of_the_class():
    model = tiny_llama(len(TOKENIZER))
    model.config.layer_types = ["full_attention", "sliding_attention"]
    for cls, word in ((Norm, address(Norm)), (CandidateReadout, "candidates")):
        with pytest.raises(ModelError, match=rf"llm\.readout={word} needs full attention"):
            cls.check(model.config)
    LetterReadout.check(model.config)
