"""What a ranking holds: its items, the parts of their scores, and the paths that explain them."""

from __future__ import annotations

from dataclasses import dataclass, field

from lkgrag.utils.text import fit, one_line, two_places

#: Most characters of a name in a worded path.
NAME = 80


#: The note of a ranking whose paths decide nothing.
NO_REASON = (
    "the path scorer has no weight in these scores: the paths show what it found, not what decided"
)


@dataclass(frozen=True)
class PathExplanation:
    """One path that the model was shown.

    Attributes:
        words: the path in words.
        salience: how much the path matters to the scorer; higher is more.
        nodes: ``[type, name]`` of each node from the history item to the candidate; the name is empty if
            the graph has none that a reader understands.
        relations: the relation of each step.
        index: of each node within its type in the graph; empty if unknown.
    """

    words: str
    salience: float
    nodes: list[list[str]]
    relations: list[str]
    index: list[int] = field(default_factory=list)

    def shown(self) -> str:
        """The words in one line; very long names are cut, so that the words after them stay readable."""
        text = one_line(self.words)
        for name in sorted({one_line(name) for _, name in self.nodes}, key=len, reverse=True):
            cut = fit(name, NAME)
            text = text.replace(name, cut) if cut != name else text
        return text


@dataclass(frozen=True)
class RankedItem:
    """One item of a ranking.

    Attributes:
        rank: 1 is best.
        item: its id.
        title: its title.
        score: fused score, the sum of its parts. The weights of ``lm``, ``scorer`` and ``prior`` sum to one.
        lm: the language model's part, weighted; 0 if it has no weight.
        scorer: the path scorer's part, weighted.
        prior: the retriever's part, weighted.
        paths: the item's worded paths, most salient first; empty without explanation.
        request: the part of what was asked for in words, weighted; 0 without a request.
        asked: why the item is what was asked for, as ``asked for: perfume, summer``; empty where it is not.
        moved: places that the item rose, or fell where it is negative, because variety was asked for; 0 without.
        alike: how alike it is to the most alike item above it, 0 to 1; 0 where no variety was asked for.
    """

    rank: int
    item: str
    title: str
    score: float
    lm: float
    scorer: float
    prior: float
    paths: list[PathExplanation] = field(default_factory=list)
    request: float = 0.0
    asked: str = ""
    moved: int = 0
    alike: float = 0.0

    @property
    def variety(self) -> str:
        """Why the item stands elsewhere than by its score; empty where it does not."""
        if self.moved == 0:
            return ""
        where = "up" if self.moved > 0 else "down"
        return f"{where} {abs(self.moved)} for variety: {two_places(self.alike)} like an item above"


@dataclass(frozen=True)
class Ranking:
    """A ranking for one user.

    Attributes:
        items: best first.
        history: ``(id, title)`` of the history items that the ranker saw, oldest first.
        user: the user's id; None for a plain history.
        target: id of the item that was chosen in truth; None where unknown.
        request: what was asked for in words; None without a request.
    """

    items: list[RankedItem]
    history: list[tuple[str, str]]
    user: str | None = None
    target: str | None = None
    request: str | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """The score's parts that are not 0 for every item; ``lm``, for one, is 0 without a language model."""
        names = ("lm", "scorer", "prior", "request")
        return tuple(n for n in names if any(getattr(item, n) for item in self.items))

    @property
    def paths_decide(self) -> bool:
        """Whether the path scorer moves some item; without a weight on validation it does not."""
        return len(self.items) < 2 or "scorer" in self.parts

    @property
    def note(self) -> str:
        """What a reader of the paths must know; empty where they are among the reasons of the scores."""
        has_paths = any(item.paths for item in self.items)
        return "" if self.paths_decide or not has_paths else NO_REASON
