"""The examples of a custom verbaliser and a custom readout keep their contracts."""

import sys
from importlib import import_module
from pathlib import Path

import torch

from lkgrag.config import PromptConfig
from lkgrag.prompt import Prompter
from lkgrag.testing.llm import tiny_tokenizer
from lkgrag.testing.prompts import toy_paths

sys.path.append(str(Path(__file__).parents[2] / "docs" / "examples"))
# As the pages say, each in a test file beside the class.
TestSharedNames = import_module("test_shared_names").TestSharedNames
TestMeanReadout = import_module("test_mean_readout").TestMeanReadout


def test_the_verbaliser_names_what_is_shared():
    data, paths = toy_paths()
    tokenizer = tiny_tokenizer()
    config = PromptConfig(verbaliser="shared_names:SharedNames", paths=8, max_tokens=5000)
    tokens = Prompter(tokenizer, data, config).fit([paths])(
        paths, None, torch.arange(4).repeat(3, 1)
    )
    text = tokenizer.decode(tokens.input_ids[0, : tokens.lengths[0]])
    # A genre of the films, and a relation between them.
    assert " Horror 0" in text
    assert " co rated 2" in text
