"""The ranker that serves people: a model and its context; its public address is ``lkgrag.Ranker``."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from lkgrag.utils.files import user_path

if TYPE_CHECKING:
    import torch

    from lkgrag.llm import LMScorer
    from lkgrag.prompt import BasePrompter
    from lkgrag.ranker.fusion import Fusion
    from lkgrag.ranker.model import RankerModel
    from lkgrag.scorer import PathScorer
    from lkgrag.serving.context import Context
    from lkgrag.serving.recommendation import Recommendation, Recommendations


class RankingOptions(TypedDict, total=False):
    """Options of :meth:`Ranker.recommend_users` that other methods pass on."""

    candidates: Sequence[object] | None
    request: str | None
    weight: float | None
    exclude: Iterable[object] | os.PathLike[str] | None
    where: Mapping[str, object] | None
    diversity: float


log = logging.getLogger(__name__)


class Ranker:
    """Ranks items for users of the data and for anyone's history, and explains the rankings.

    Args:
        model: scores candidates; it is put into evaluation mode.
        context: graph, retriever, catalogue, users and configuration.
        metrics: of the run that trained it, as in ``metrics.json``; or the run's folder, which is read when they are
            asked for; None where they are unknown.
    """

    #: Rankers that an older version pickled have none.
    _metrics: dict[str, Any] | Path | None = None

    def __init__(
        self, model: RankerModel, context: Context, metrics: dict[str, Any] | Path | None = None
    ) -> None:
        self.model = model.eval()
        self.context = context
        self._metrics = metrics

    def __repr__(self) -> str:
        """What it ranks for, and by what."""
        context, lm = self.context, self.lm
        parts = [
            f"{len(context.users):,} users",
            f"{len(context.catalogue):,} items",
            f"scorer={type(self.scorer).__name__}",
            f"llm={'none' if lm is None else context.config.llm.name}",
            f"device={self.device}",
        ]
        return f"{type(self).__name__}({context.config.data.name}: {', '.join(parts)})"

    @property
    def metrics(self) -> dict[str, Any] | None:
        """The figures of the run that trained it, ``metrics[system][split][population][metric]``.

        They are the content of ``metrics.json``, so other keys stand beside the systems. None for a ranker without its
        run. An update does not change them.

        Raises:
            RunError: the file is damaged.
        """
        if isinstance(self._metrics, Path):
            # Only here: as in from_pretrained.
            from lkgrag.serving.saved_run import read_metrics

            self._metrics = read_metrics(self._metrics)
        return self._metrics

    @property
    def device(self) -> torch.device:
        """The model's device."""
        return self.model.device

    @property
    def lm(self) -> LMScorer | None:
        """The model's language model; None without one."""
        return self.model.lm

    @property
    def scorer(self) -> PathScorer:
        """The model's path scorer."""
        return self.model.scorer

    @property
    def prompter(self) -> BasePrompter | None:
        """The model's prompter, which words its prompts; None without a language model."""
        return self.model.prompter

    @property
    def fusion(self) -> Fusion:
        """The model's fusion: the weights of the score's terms."""
        return self.model.fusion

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        device: torch.device | str | None = None,
        lm: str | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
    ) -> Ranker:
        """Read what :meth:`save_pretrained` wrote, or fetch what :meth:`push_to_hub` pushed.

        Args:
            folder: a saved ranker, or a run or an export that holds one as ``ranker``; or a repository of the Hugging
                Face Hub as ``owner/name``. A folder of this name comes first.
            device: by default a GPU if there is one, else the CPU.
            lm: whether to serve with the language model: ``always``, ``never``, or ``auto``, which leaves out a
                language model that earned no weight on validation. By default what the run's ``serving.lm`` says.
            revision: branch, tag or commit on the Hub; by default ``main``.
            token: for the Hub; by default that of ``hf auth login``.
            cache_dir: for files of the Hub; by default its own cache.
            force_download: fetch files of the Hub that the cache has already.

        Raises:
            ConfigError: ``lm`` is another word, or ``always`` for a ranker without a language model.
            AssetError: the Hub cannot be reached, or has no such ranker, or a file came damaged.
            LkgragError: the folder is no saved ranker or has a newer format, a file is missing or broken,
                or the device cannot be used.
        """
        # Only here: `from lkgrag import Ranker` does not wait for torch.
        from lkgrag.serving.loading import load
        from lkgrag.serving.saved_run import find_run

        place = user_path(folder, "folder")
        if isinstance(folder, str) and not place.exists():
            # Only here: the client of the Hub is not needed for folders.
            from lkgrag.serving.hub import Fetch, fetch, is_hub_name

            if is_hub_name(folder):
                place = fetch(folder, Fetch(revision, token, cache_dir, force_download))
        elif revision is not None:
            log.warning(
                "revision=%s: %s is a folder here, so the Hub is not asked", revision, folder
            )
        return cls(*load(place, device, lm), find_run(place))

    def with_serving(self, lm: str) -> Ranker:
        """The same ranker as it serves with ``serving.lm``; parts are shared.

        Args:
            lm: as of :meth:`from_pretrained`.

        Raises:
            ConfigError: ``always`` for a ranker without a language model.
        """
        # Only here, as above.
        from lkgrag.ranker.fusion import Fusion
        from lkgrag.ranker.model import RankerModel
        from lkgrag.serving.lm_choice import choose_serving

        weights, is_read = choose_serving(
            self.fusion.weights, self.context.fitted, lm, self.lm is not None, "this ranker"
        )
        model = self.model if is_read else self.model.without_lm()
        fusion = Fusion(weights.scorer, weights.prior, self.fusion.terms, weights.lm)
        served = RankerModel(model.lm, model.scorer, model.prompter, fusion.to(self.device))
        return Ranker(served, self.context, self._metrics)

    def with_index(self, index: str) -> Ranker:
        """The same ranker as it finds candidates with ``serving.index``; parts are shared.

        Args:
            index: ``auto``, ``exact``, ``hnsw`` or ``ivfpq``, as the option ``serving.index``. An index is built here.

        Raises:
            ConfigError: ``index`` is another word, or its library is not installed.
        """
        # Only here: as in from_pretrained.
        from lkgrag.retrieval.index.choice import check_index
        from lkgrag.serving.context import with_index

        check_index(index)
        return Ranker(self.model, with_index(self.context, index), self._metrics)

    def with_graph_store(
        self,
        path: str | os.PathLike[str],
        cache: int | str = "256MB",
        memory: int | str = "256MB",
    ) -> Ranker:
        """The same ranker as it reads paths from a graph database; parts are shared, and rankings are equal.

        Args:
            path: of a database that ``lkgrag.export format=ladybug`` wrote of this ranker's run.
            cache: bytes of the rows that are kept, or in words.
            memory: bytes of the database's pages that are kept, or in words.

        Raises:
            ConfigError: ladybug is not installed, or the ranker's paths are of a kind that a store cannot give.
            DataError: the database is missing, locked, damaged or of another version, or holds another graph.
        """
        # Only here: as in from_pretrained.
        from lkgrag.serving.graph_store import with_graph_store

        context = with_graph_store(self.context, path, cache, memory)
        return Ranker(self.model, context, self._metrics)

    def save_pretrained(self, folder: str | os.PathLike[str], histories: bool = True) -> None:
        """Write the ranker and all that it needs to rank for anyone, except the base language model.

        Args:
            folder: a new or empty folder, or one with a ranker, which is replaced.
            histories: also write who chose what and when. Without it, nobody's id, history, rating or attribute is in
                the folder; the ranker then ranks for raw histories alone, and cannot be updated.

        Raises:
            ConfigError: ``histories`` is no truth value; or, without histories, a custom part may hold them.
            LkgragError: the folder cannot be written, or holds something else.
        """
        # Only here: as in from_pretrained.
        from lkgrag.serving.arguments import check_switch
        from lkgrag.serving.saving import save
        from lkgrag.serving.withheld import without_users

        check_switch("histories", histories)
        place, model, context = user_path(folder, "folder"), self.model, self.context
        if not histories:
            model, context = without_users(model, context)
        save(model, context, place)

    def push_to_hub(
        self,
        repo_id: str,
        histories: bool = False,
        commit_message: str = "Push ranker",
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        create_pr: bool | None = None,
    ) -> str:
        """Push the ranker to a repository of the Hugging Face Hub, with a model card.

        It is done by :class:`huggingface_hub.ModelHubMixin`. Nothing is created on the Hub before all files are written
        here. Files of a ranker that was pushed there before are deleted; earlier commits of the repository keep them.

        Args:
            repo_id: ``owner/name``; it is created if it is not there.
            histories: as of :meth:`save_pretrained`, but left out unless asked for.
            commit_message: of the commit.
            private: whether a new repository is private; None: public, unless the owner's default is private.
            token: with write access; by default that of ``hf auth login``.
            branch: that gets the commit; by default ``main``.
            create_pr: open a pull request instead.

        Returns:
            The address of the commit.

        Raises:
            ConfigError: the name is none; or, without histories, a custom part may hold them.
            AssetError: the Hub cannot be reached, or refuses.
            LkgragError: a file cannot be written.
        """
        # Only here: as in from_pretrained.
        from lkgrag.serving.hub import Push, push

        how = Push(histories, commit_message, private, token, branch, create_pr)
        return push(self.model, self.context, repo_id, how)

    def recommend(
        self,
        history: Sequence[object],
        candidates: Sequence[object] | None = None,
        k: int = 10,
        explain: bool = True,
        ratings: Sequence[float] | None = None,
        request: str | None = None,
        weight: float | None = None,
        exclude: Iterable[object] | os.PathLike[str] | None = None,
        where: Mapping[str, object] | None = None,
        diversity: float = 0.0,
    ) -> Recommendation:
        """Rank items for anyone, in the data or not.

        Args:
            history: items by id or exact title, oldest first; may be empty.
            candidates: the items to rank; by default the retriever proposes them.
            k: items to return.
            explain: word the paths.
            ratings: one rating for each history item; none by default.
            request: what is asked for, in words, such as ``"a light perfume for summer"``.
            weight: how much the request counts, in multiples of what was learned in training: 1 by default, 0
                for the history alone. From about 100 on, the request alone decides.
            exclude: items by id or exact title that are left out before ranking, as those out of stock; or the path of
                a text file with one a line. Unknown ones are told in a warning.
            where: what items must have, as ``{"genre": "Drama", "year": ["1994", "1995"]}``: one of the values of each
                attribute. Also before ranking.
            diversity: how much variety counts, from 0, the order of the scores, to 1. Among the candidates, items are
                chosen one after the other: those much like an item above them come later (maximal marginal
                relevance; see :func:`lkgrag.serving.diversity.reorder`).

        Returns:
            At most ``k`` items, best first; fewer if there are fewer candidates, which a warning says if ``exclude`` or
            ``where`` leave too few.

        Raises:
            DataError: a list is a text or no list, an item is unknown (the message names the nearest ones) or had
                too few interactions, the list of candidates is empty, or the ratings are not one number for each
                history item; or ``exclude`` or ``where`` name nothing that is known, or leave no item.
            ConfigError: ``k`` is no whole number, below 1 or larger than the catalogue, the request says nothing, the ranker
                cannot read requests, or ``diversity`` is no number from 0 to 1 or the items have nothing that tells
                how alike they are.
            LkgragError: the encoder's files are not available.
        """
        # Only here: as in from_pretrained.
        from lkgrag.serving.asked import ask
        from lkgrag.serving.diversity import check_diversity
        from lkgrag.serving.limits import limit, tell_short
        from lkgrag.serving.ranking import rank
        from lkgrag.serving.requests import limited, request_for

        one = request_for(self.context, history, candidates, ratings)
        varied = check_diversity(self.context, diversity)
        one = replace(one, asked=ask(self.context, request, weight), diversity=varied)
        limits = limit(self.context, exclude, where)
        found = rank(self.model, self.context, limited([one], limits), k, explain)
        tell_short(found, k, limits)
        return found[0]

    def recommend_users(
        self,
        users: Sequence[str],
        candidates: Sequence[object] | None = None,
        k: int = 10,
        explain: bool = True,
        request: str | None = None,
        weight: float | None = None,
        exclude: Iterable[object] | os.PathLike[str] | None = None,
        where: Mapping[str, object] | None = None,
        diversity: float = 0.0,
    ) -> Recommendations:
        """Rank items for users of the data, from their whole histories.

        Args:
            users: ids of users.
            candidates: the items to rank for everyone; by default the retriever proposes them to each.
            k: items to return to each.
            explain: word the paths.
            request: what is asked for, in words, the same for all.
            weight: as in :meth:`recommend`.
            exclude: as in :meth:`recommend`.
            where: as in :meth:`recommend`.
            diversity: as in :meth:`recommend`.

        Returns:
            One ranking a user, in the order of ``users``: a list, which also gives itself as a table.

        Raises:
            DataError: a list is a text or no list, or is empty, or a user or an item is unknown (the message names
                the nearest ones) or had too few interactions; or the ranker was shared without users; or as in
                :meth:`recommend`.
            ConfigError: as in :meth:`recommend`.
            LkgragError: the encoder's files are not available.
        """
        # Only here: as in from_pretrained.
        from lkgrag.serving.asked import ask
        from lkgrag.serving.diversity import check_diversity
        from lkgrag.serving.limits import limit, tell_short
        from lkgrag.serving.ranking import rank
        from lkgrag.serving.recommendation import Recommendations
        from lkgrag.serving.requests import limited, requests_of_users, user_ids

        self.context.users.refuse_unknown()
        asked = ask(self.context, request, weight)
        varied = check_diversity(self.context, diversity)
        requests = [
            replace(request, asked=asked, diversity=varied)
            for request in requests_of_users(self.context, user_ids(users), candidates)
        ]
        limits = limit(self.context, exclude, where)
        found = rank(self.model, self.context, limited(requests, limits), k, explain)
        tell_short(found, k, limits)
        return Recommendations(found)

    def recommend_frame(
        self,
        users: Any = None,
        k: int = 10,
        frame: str | None = None,
        explain: bool = True,
        **options: Unpack[RankingOptions],
    ) -> Any:
        """Rank items for users of the data, as one table.

        Args:
            users: ids in a list, an array, or a column of pandas, polars or Arrow; a table with a column of users; the
                :class:`~pathlib.Path` of a file with them; None or ``"all"`` for everyone. Each user counts once.
            k: items a user.
            frame: ``pandas``, ``polars`` or ``arrow``; by default that of ``users``, and pandas for a list.
            explain: word the paths.
            **options: ``candidates``, ``request``, ``weight``, ``exclude``, ``where`` and ``diversity``, as of
                :meth:`recommend`.

        Returns:
            A row for each user and rank, in the order of ``users``, with the columns of
            :meth:`Recommendations.to_frame`. The column ``user`` has the values and the type that were given.

        Raises:
            DataError: as :meth:`recommend_users`.
            ConfigError: there is no such kind of table, or its library is not installed; or as :meth:`recommend`.
            LkgragError: the encoder's files are not available.
        """
        # Only here: as in from_pretrained.
        from lkgrag.serving.frames import asked_users, check_frame, frame_of

        wanted = None if frame is None else check_frame(frame)
        if users is None or (isinstance(users, str) and users == "all"):
            asked, ids = None, self.users()
        else:
            asked = asked_users(users)
            ids = asked.ids
        found = self.recommend_users(ids, k=k, explain=explain, **options)
        return frame_of(found, wanted or (asked.frame if asked else "pandas"), asked)

    def update(
        self,
        interactions: Any,
        items: Any = None,
        triples: Any = None,
        users: Any = None,
        unchosen: bool = True,
    ) -> Ranker:
        """Add new interactions, users and items, without training again.

        Histories grow, and new users are known. Counts and the graph are made anew of all interactions, as from the
        beginning; what was learned stays. New items get scores from their titles, attributes and first
        interactions. Known users and items keep their indices. An interaction that is known already counts once.

        If anything fails, the ranker stays as it was. Files do not change: :meth:`save_pretrained` writes them.

        Args:
            interactions: tables as of :meth:`lkgrag.Interactions.from_frames`, or an :class:`lkgrag.Interactions`; what
                is known already may be among them. None for none.
            items: new items with titles and attributes; a row of a known item replaces the values that it gives.
            triples: new triples, of relations that the ranker knows.
            users: attributes of users.
            unchosen: whether items without an interaction become items, too.

        Returns:
            The ranker itself.

        Raises:
            DataError: a table does not fit, or there is nothing in it; or new triples turn a relation into another.
            RunError: the ranker was saved by a version that kept no data, or shared without histories.
            ConfigError: a custom part cannot be extended.
        """
        # Only here: as in from_pretrained.
        from lkgrag.serving.context import with_index
        from lkgrag.serving.updating import tables_of, update_context, update_model

        tables, config = tables_of(self.context, interactions, items, triples, users)
        scorer, context, _ = update_context(self.scorer, self.context, tables, config, unchosen)
        context = with_index(context, context.config.serving.index)
        self.model, self.context = update_model(self.model, scorer, context), context
        return self

    def users(self) -> list[str]:
        """Ids of the users of the data; none in a ranker that was shared without histories."""
        return list(self.context.users)
