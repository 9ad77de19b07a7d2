"""A recommendation: a ranking as people see it, on the terminal, in a notebook, as a table and as JSON."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from rich.cells import set_cell_size
from rich.text import Text

from lkgrag.serving.ranked import PathExplanation, RankedItem, Ranking
from lkgrag.utils import console as terminal
from lkgrag.utils.text import fit, one_line, print_line, print_wrapped, shown_title, two_places

if TYPE_CHECKING:
    from rich.console import Console

#: Columns of a title in the terminal, and most characters of a worded path.
TITLE, LONGEST = 38, 280
#: History items that are shown.
LATEST = 5
#: Version of :meth:`Recommendation.to_dict`.
FORMAT = 1


@dataclass(frozen=True)
class Recommendation(Ranking):
    """A ranking for one user, with the forms in which people want to see it; attributes as of :class:`Ranking`."""

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

    def to_frame(self, frame: str = "pandas") -> Any:
        """The ranking as a table; see :meth:`Recommendations.to_frame`."""
        return Recommendations([self]).to_frame(frame)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return Recommendations([self])._repr_html_()

    def __str__(self) -> str:
        """What :meth:`show` prints, for ``print``."""
        return Recommendations([self]).__str__()

    def show(self, console: Console | None = None, explained: int = 3) -> None:
        """Print for a terminal of 80 columns. The figure before a path is its salience: more says more for the item.

        Args:
            console: where to print; by default to stdout.
            explained: items whose paths are listed, from the first one on.
        """
        console = terminal.console if console is None else console
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
        if self.note:
            print_wrapped(console, 2, Text(self.note, style="dim"))
        if self.target is not None:
            there = any(i.item == self.target for i in self.items)
            note = "* chosen in truth" if there else "the item chosen in truth is not in this list"
            console.print(f"  {note}", style="dim")

    def _latest(self) -> Text:
        """The last titles of the history, each short enough to leave room for the others."""
        titles = [fit(shown_title(title), TITLE) for _, title in self.history[-LATEST:]]
        more = "... " if len(self.history) > LATEST else ""
        return Text(f"history ({len(self.history)}): {more}{' > '.join(titles)}")


class Recommendations(list[Recommendation]):
    """Rankings, one a user: a list that also gives itself as a table, and that a notebook shows."""

    def to_frame(self, frame: str = "pandas") -> Any:
        """All rankings as one table, with a row for each user and rank.

        Args:
            frame: ``pandas``, ``polars`` or ``arrow``.

        Returns:
            A table of that library with the columns ``user`` (empty for a plain history), ``rank`` (1 is best),
            ``item``, ``title``, ``score``, its parts ``lm``, ``scorer``, ``prior`` and ``request``, and
            ``explanation``: the worded paths, the most salient first, behind why variety moved the item and what of
            the request it is.

        Raises:
            ConfigError: there is no such kind of table, or its library is not installed.
        """
        # Only here: other uses of a ranking do not wait for pandas.
        from lkgrag.serving.frames import frame_of

        return frame_of(self, frame)

    def __str__(self) -> str:
        """What :meth:`show` prints, for ``print``."""
        text = io.StringIO()
        self.show(terminal.PlainConsole(file=text, width=80, color_system=None))
        return text.getvalue().strip("\n")

    def show(self, console: Console | None = None, explained: int = 3) -> None:
        """Print each ranking; see :meth:`Recommendation.show`."""
        for ranking in self:
            ranking.show(console, explained)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        # Only here: it is for notebooks.
        from lkgrag.serving.notebook import html_of

        return html_of(self)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Recommendation: ...

    @overload
    def __getitem__(self, index: slice) -> Recommendations: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Recommendation | Recommendations:
        """A ranking, or a part of them."""
        found = super().__getitem__(index)
        return Recommendations(found) if isinstance(found, list) else found
