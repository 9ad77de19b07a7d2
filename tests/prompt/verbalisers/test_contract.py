"""Every wording of this package keeps the contract."""

import sys
from typing import ClassVar

import pytest
import torch

from lkgrag.prompt import Verbaliser
from lkgrag.prompt.published import LlamaRecPrompter, PublishedPrompter
from lkgrag.prompt.resolver import REGISTERED, resolve_verbaliser
from lkgrag.prompt.verbalisers import Compact, Silent
from lkgrag.testing import PrompterTests, VerbaliserTests


class TestCompact(VerbaliserTests):
    verbaliser = Compact


class TestCompactOfRandomPaths(VerbaliserTests):
    verbaliser = Compact
    options: ClassVar = {"choice": "random", "ratings": True, "paths": 1}


class TestSilent(VerbaliserTests):
    verbaliser = Silent


class TestPublished(PrompterTests):
    prompter = PublishedPrompter


class TestLlamaRec(PrompterTests):
    prompter = LlamaRecPrompter


def test_every_registered_wording_has_its_suite():
    suites = [x for x in vars(sys.modules[__name__]).values() if isinstance(x, type)]
    tested = {vars(suite).get("verbaliser") or vars(suite).get("prompter") for suite in suites}
    assert {resolve_verbaliser(name) for name in REGISTERED} <= tested


class Faulty(Verbaliser):
    """A correct verbaliser, whose faults derive from it."""

    def word(self, paths, bundles, index, grade):
        metapath = bundles.metapath[index]
        return [self.tokenizer(f" w{m}", add_special_tokens=False).input_ids for m in metapath]


class BreaksLines(Faulty):
    def word(self, paths, bundles, index, grade):
        return [
            [*ids, *self.tokenizer("\n").input_ids]
            for ids in super().word(paths, bundles, index, grade)
        ]


class WordsNothing(Faulty):
    words_paths = False


class DrawsWords(Faulty):
    def word(self, paths, bundles, index, grade):
        return [[int(torch.randint(9, (1,)))] for _ in index]


class SeesTheBatch(Faulty):
    def word(self, paths, bundles, index, grade):
        text = f" {len(index)}"
        return [self.tokenizer(text, add_special_tokens=False).input_ids for _ in index]


class TakesSpecialTokens(Faulty):
    def word(self, paths, bundles, index, grade):
        name = str(self.data["item"].name[0])
        return [self.tokenizer(name, add_special_tokens=False).input_ids for _ in index]


class ForgetsItsGrades(Faulty):
    def word(self, paths, bundles, index, grade):
        return [[20 + int(g)] for g in grade[index]]

    def load_tables(self, tables):
        super().load_tables({name: table * 0 for name, table in tables.items()})


class TestFaulty(VerbaliserTests):
    verbaliser = Faulty


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (BreaksLines, "test_words_stay_in_their_line"),
        (WordsNothing, "test_paths_are_worded_as_the_class_says"),
        (DrawsWords, "test_nothing_is_left_to_chance"),
        (SeesTheBatch, "test_words_do_not_depend_on_other_bundles"),
        (SeesTheBatch, "test_prompts_do_not_see_one_another"),
        (TakesSpecialTokens, "test_names_hold_no_special_tokens"),
        (ForgetsItsGrades, "test_tables_bring_back_what_was_learned"),
    ],
)
def test_the_suite_sees_a_fault(fault, test):
    suite = type("Suite", (VerbaliserTests,), {"verbaliser": fault})()
    with pytest.raises(AssertionError):
        getattr(suite, test)()
