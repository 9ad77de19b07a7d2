"""What a recommendation is: ranked items, their three score parts, and the paths that explain them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

#: Columns of a title in the terminal.
TITLE = 38
#: Version of :meth:`Recommendation.to_dict`.
FORMAT = 1


def one_line(text: str) -> str:
    """Text that cannot break a line or move the cursor of a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


@dataclass(frozen=True)
class PathExplanation:
    """One path that the model was shown.

    Attributes:
        words: the path in words.
        salience: how much the scorer thinks that it matters, higher is more.
        nodes: ``[type, name]`` of each node from the history item to the candidate.
        relations: the relation of each step.
    """

    words: str
    salience: float
    nodes: list[list[str]]
    relations: list[str]


@dataclass(frozen=True)
class RankedItem:
    """One item of a ranking.

    Attributes:
        rank: 1 is best.
        item: its id.
        title: its title.
        score: fused, the sum of the three parts; divided by ``b``, like them, where that is above 1.
        lm: the language model's part.
        scorer: the path scorer's part, weighted by ``a``.
        prior: the retriever's part, weighted by ``b``.
        paths: the paths worded for it, most salient first; empty without explanation.
    """

    rank: int
    item: str
    title: str
    score: float
    lm: float
    scorer: float
    prior: float
    paths: list[PathExplanation] = field(default_factory=list)


@dataclass(frozen=True)
class Recommendation:
    """A ranking for one user.

    Attributes:
        items: best first.
        history: ``(id, title)`` of the history items that the ranker saw, oldest first.
        user: the user's id, None for a raw history.
        target: the id of the item that was chosen in truth, where that is known.
    """

    items: list[RankedItem]
    history: list[tuple[str, str]]
    user: str | None = None
    target: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values with stable keys, as ``format=json`` prints them."""
        return {
            "format": FORMAT,
            "user": self.user,
            "target": self.target,
            "history": [{"item": i, "title": t} for i, t in self.history],
            "items": [asdict(item) for item in self.items],
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Recommendation:
        """What :meth:`to_dict` gave."""
        items = [
            RankedItem(**{**item, "paths": [PathExplanation(**p) for p in item["paths"]]})
            for item in value["items"]
        ]
        history = [(h["item"], h["title"]) for h in value["history"]]
        return cls(items, history, value["user"], value["target"])

    def show(self, console: Console, explained: int = 3) -> None:
        """Print for a terminal of 80 columns.

        Args:
            console: where to.
            explained: items whose paths are listed.
        """
        who = f"user {self.user}" if self.user is not None else "a history"
        console.print(f"\n[bold]{escape(who)}[/]")
        latest = " > ".join(one_line(t) for _, t in self.history[-5:])
        more = "... " if len(self.history) > 5 else ""
        text = f"  history ({len(self.history)}): {more}{latest}"
        console.print(Text(text), soft_wrap=False)
        head = "".join(f"{name:>8}" for name in ("score", "lm", "scorer", "prior"))
        console.print(Text(f"  {'':>4}{'title':<{TITLE}}{head}"), style="dim")
        for item in self.items:
            mark = "*" if item.item == self.target else " "
            # Counted in columns of the terminal: some scripts take two a character.
            title = one_line(item.title)
            if cell_len(title) > TITLE - 2:
                title = set_cell_size(title, TITLE - 3).rstrip() + "…"
            parts = "".join(f"{v:>8.2f}" for v in (item.score, item.lm, item.scorer, item.prior))
            line = f"  {item.rank:>2}{mark} {set_cell_size(title, TITLE)}{parts}"
            console.print(Text(line, style="bold" if mark == "*" else ""))
            if item.rank <= explained or mark == "*":
                for path in item.paths:
                    words = Text(f"{path.salience:+.2f}  {one_line(path.words)}", style="cyan")
                    console.print(Padding(words, (0, 0, 0, 7), expand=False))
        if self.target is not None:
            there = any(i.item == self.target for i in self.items)
            note = "* chosen in truth" if there else "the item chosen in truth is not in this list"
            console.print(f"  {note}", style="dim")
