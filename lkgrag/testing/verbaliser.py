"""The suite of a verbaliser.

In a test file of yours::

    from lkgrag.testing import VerbaliserTests

    class TestMyVerbaliser(VerbaliserTests):
        verbaliser = MyVerbaliser

Every test is of the contracts in :mod:`lkgrag.prompt.base` and :mod:`lkgrag.prompt.verbalisers.base`, on
three prompts of a toy graph and a tiny tokenizer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lkgrag.prompt import BasePrompter, Prompter, PromptLayout, Verbaliser
from lkgrag.testing.prompter import PrompterTests, toy_batch, toy_salience, toy_tokenizer

if TYPE_CHECKING:
    from lkgrag.paths import PathBatch


class VerbaliserTests(PrompterTests):
    """Inherit, and set ``verbaliser``.

    Attributes:
        verbaliser: the class under test; of a module, not of a function.
        options: of :class:`~lkgrag.config.PromptConfig`.
    """

    prompter = Prompter
    verbaliser: ClassVar[type[Verbaliser]]

    @property
    def wording(self) -> type[BasePrompter] | type[Verbaliser]:
        """The class that ``prompt.verbaliser`` names."""
        return self.verbaliser

    def worded(self, paths: PathBatch, every: int = 1) -> list[list[int]]:
        """The words of every so many of the chosen bundles."""
        made = self.fitted(PromptLayout.CANDIDATES)
        assert isinstance(made, Prompter)
        bundles, choice, grade = made.verbaliser.choose(paths, toy_salience(), None)
        return made.verbaliser.word(paths, bundles, choice.index[::every], grade)

    def test_every_chosen_bundle_has_words(self) -> None:
        """Its tokens are the tokenizer's, and there is at least one."""
        words = self.worded(toy_batch()[1])
        assert bool(words) == self.verbaliser.words_paths
        assert all(len(ids) for ids in words)
        assert all(0 <= i < len(toy_tokenizer()) for ids in words for i in ids)

    def test_words_stay_in_their_line(self) -> None:
        """A line break would end the candidate's line, a separator its evidence."""
        for ids in self.worded(toy_batch()[1]):
            text = str(toy_tokenizer().decode(ids))
            assert text.splitlines() == [text]
            assert "|" not in text

    def test_words_do_not_depend_on_other_bundles(self) -> None:
        """Every second bundle has the words that it has among all."""
        assert self.worded(toy_batch()[1], every=2) == self.worded(toy_batch()[1])[::2]
