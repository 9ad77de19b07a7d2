"""A recommendation: ranked items, the parts of their scores, and the paths that explain them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rich.cells import set_cell_size
from rich.text import Text

from lkgrag.utils.text import fit, one_line, print_line, print_wrapped, shown_title, two_places

if TYPE_CHECKING:
    from rich.console import Console

#: Columns of a title in the terminal, and most characters of a worded path and of a name in it.
TITLE, LONGEST, NAME = 38, 280, 80
#: History items that are shown.
LATEST = 5
#: Version of :meth:`Recommendation.to_dict`.
FORMAT = 1


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
class Recommendation:
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values with stable keys, as ``format=json`` prints them.

        Keys keep their name and meaning as long as ``format`` is 1; new keys may come. The keys, in
        this order:

        - ``format``: 1, the version of this layout.
        - ``user``: id of the user; null for a plain history.
        - ``target``: id of the item that was chosen in truth; null where unknown.
        - ``request``: what was asked for in words; null without a request.
        - ``history``: the items that the ranker saw, oldest first: ``item`` (id) and ``title`` of each.
        - ``items``: the ranking, best first. Each item has:

          - ``rank`` (1 is best), ``item`` (id) and ``title``;
          - ``score`` and its parts ``lm``, ``scorer``, ``prior`` and ``request``, which add up to it. The parts
            are weighted, and the weights of the first three sum to one;
          - ``asked``, why the item is what was asked for; empty where it is not, or without a request;
          - ``moved``, the places that it rose (or fell, where negative) because variety was asked for, and ``alike``,
            how alike it is to the most alike item above it; 0 where no variety was asked for;
          - ``paths``, most salient first; empty without explanation or without paths. Each path has
            ``words`` (a phrase about the item), ``salience`` (a number, higher is more), ``nodes``
            (``[type, name]`` from the history item to this one), ``relations`` (one a step, so one fewer
            than nodes) and ``index`` (of each node within its type, as in the run's
            ``kg/nodes.parquet``).
        """
        return {
            "format": FORMAT,
            "user": self.user,
            "target": self.target,
            "request": self.request,
            "history": [{"item": i, "title": t} for i, t in self.history],
            "items": [asdict(item) for item in self.items],
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Recommendation:
        """The recommendation that :meth:`to_dict` wrote."""
        items = [
            RankedItem(**{**item, "paths": [PathExplanation(**p) for p in item["paths"]]})
            for item in value["items"]
        ]
        history = [(h["item"], h["title"]) for h in value["history"]]
        return cls(items, history, value["user"], value["target"], value.get("request"))

    def show(self, console: Console, explained: int = 3) -> None:
        """Print for a terminal of 80 columns.

        Args:
            console: where to print.
            explained: items whose paths are listed, from the first one on.
        """
        who = f"user {one_line(self.user)}" if self.user is not None else "a history"
        console.print()
        print_line(console, Text(fit(who, console.width), style="bold"))
        print_wrapped(console, 2, self._latest())
        if self.request is not None:
            print_wrapped(console, 2, Text(f"request: {fit(one_line(self.request), LONGEST)}"))
        columns = ("score", *self.parts)
        head = "".join(f"{name:>8}" for name in columns)
        # Five figures leave less room in 80 columns.
        width = min(TITLE, 74 - len(head))
        console.print(Text(f"  {'':>4}{'title':<{width}}{head}"), style="dim")
        for item in self.items:
            mark = "*" if item.item == self.target else " "
            title = set_cell_size(fit(shown_title(item.title), width - 2), width)
            figures = "".join(f"{two_places(getattr(item, name)):>8}" for name in columns)
            line = f"  {item.rank:>2}{mark} {title}{figures}"
            print_line(console, Text(line, style="bold" if mark == "*" else ""))
            if item.variety:
                print_wrapped(console, 7, Text(item.variety, style="cyan"))
            if item.rank <= explained or mark == "*":
                if item.asked:
                    print_wrapped(
                        console, 7, Text(fit(one_line(item.asked), LONGEST), style="cyan")
                    )
                for path in item.paths:
                    words = fit(path.shown(), LONGEST)
                    salience = two_places(path.salience, "+")
                    print_wrapped(console, 7, Text(f"{salience}  {words}", style="cyan"))
        if self.target is not None:
            there = any(i.item == self.target for i in self.items)
            note = "* chosen in truth" if there else "the item chosen in truth is not in this list"
            console.print(f"  {note}", style="dim")

    def _latest(self) -> Text:
        """The last titles of the history, each short enough to leave room for the others."""
        titles = [fit(shown_title(title), TITLE) for _, title in self.history[-LATEST:]]
        more = "... " if len(self.history) > LATEST else ""
        return Text(f"history ({len(self.history)}): {more}{' > '.join(titles)}")
