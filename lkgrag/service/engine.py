"""The thread that ranks: requests wait in one queue, and those that can share a forward pass do."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lkgrag.errors import DataError, LkgragError
from lkgrag.service.schemas import RecommendBody
from lkgrag.service.warnings import collected
from lkgrag.serving.arguments import check_k
from lkgrag.serving.asked import ask
from lkgrag.serving.diversity import check_diversity
from lkgrag.serving.limits import Limits, limit, tell_short
from lkgrag.serving.ranking import rank_in_batches
from lkgrag.serving.requests import Request, limited, request_for, request_of_user, user_ids
from lkgrag.utils.files import nan_to_none

if TYPE_CHECKING:
    from lkgrag.service.served import Served
    from lkgrag.serving.context import Context
    from lkgrag.serving.ranker import Ranker
    from lkgrag.serving.recommendation import Recommendation


class TooBusyError(LkgragError):
    """So many requests wait that another one is refused."""


@dataclass(frozen=True)
class Answer:
    """A ranking for the client.

    Attributes:
        body: JSON, as :meth:`~lkgrag.serving.recommendation.Recommendation.to_dict` gives it.
        warnings: what the ranker said of the request.
    """

    body: bytes
    warnings: list[str]


@dataclass(frozen=True)
class Job:
    """A ranking that waits.

    Attributes:
        ranker: that ranks.
        request: what is ranked.
        k: items to give.
        explain: word the paths.
        limits: of the request.
        warnings: so far.
        future: of the answer.
    """

    ranker: Ranker
    request: Request
    k: int
    explain: bool
    limits: Limits | None
    warnings: list[str]
    future: Future[Answer] = field(default_factory=Future)

    @property
    def kind(self) -> tuple[object, ...]:
        """Jobs of one kind can share a forward pass; those with limits rank alone."""
        alone = None if self.limits is None else id(self)
        return id(self.ranker), self.k, self.explain, alone


class Preparer:
    """Turns bodies into jobs, in any thread.

    The table of users and the encoder of requests serve one thread at a time.
    """

    def __init__(self) -> None:
        self._users, self._encoder = threading.Lock(), threading.Lock()

    def prepare(self, served: Served, body: RecommendBody) -> Job:
        """Check a body against the ranker.

        Raises:
            LkgragError: an item, a user or an attribute is unknown, or as of :meth:`lkgrag.Ranker.recommend`.
        """
        ranker = served.choose(body.lm)
        context = ranker.context
        with collected() as warnings:
            check_k(context, body.k)
            limits = limit(context, body.exclude, body.where)
            request = self._request(context, body)
            if body.request is not None or body.weight is not None:
                with self._encoder:
                    request = replace(request, asked=ask(context, body.request, body.weight))
            varied = check_diversity(context, body.diversity)
            (request,) = limited([replace(request, diversity=varied)], limits)
        return Job(ranker, request, body.k, body.explain, limits, warnings)

    def _request(self, context: Context, body: RecommendBody) -> Request:
        if body.history is not None:
            return request_for(context, body.history, body.candidates, body.ratings)  # type: ignore[arg-type]
        try:
            (user,) = user_ids([body.user])
            with self._users:
                return request_of_user(context, user, body.candidates)
        except DataError as error:
            # The field of a body has another name than the argument of a method.
            line = str(error)
            if line.startswith("users"):
                raise DataError(
                    f"user{line.removeprefix('users').replace('element 1', 'it', 1)}"
                ) from error
            raise


class Engine:
    """Ranks in a thread of its own, so that the service answers meanwhile.

    Args:
        together: rankings that share a forward pass at most.
        most: rankings that wait at most.
        tell: called with the size of each forward pass.
    """

    def __init__(
        self, together: int, most: int, tell: Callable[[int], object] = lambda size: None
    ) -> None:
        self._together, self._most, self._tell = together, most, tell
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="rank", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """How many rankings wait."""
        return len(self._jobs)

    def submit(self, jobs: list[Job]) -> None:
        """Let jobs wait for their turn: all of them, or none.

        Raises:
            TooBusyError: too many wait.
        """
        with self._changed:
            if self._is_closed or len(self._jobs) + len(jobs) > self._most:
                raise TooBusyError("the service is busy; try again soon")
            self._jobs.extend(jobs)
            self._changed.notify()

    def close(self, seconds: float = 5.0) -> None:
        """End the thread after the jobs that wait."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _work(self) -> None:
        while jobs := self._take():
            self._tell(len(jobs))
            self._answer(jobs)

    def _take(self) -> list[Job]:
        """The oldest job and others of its kind; empty at the end."""
        with self._changed:
            while True:
                while not self._jobs:
                    if self._is_closed:
                        return []
                    self._changed.wait()
                kind = self._jobs[0].kind
                same = [job for job in self._jobs if job.kind == kind][: self._together]
                chosen = {id(job) for job in same}
                self._jobs = deque(job for job in self._jobs if id(job) not in chosen)
                # Whoever asked may have gone, or waited too long.
                if alive := [job for job in same if job.future.set_running_or_notify_cancel()]:
                    return alive

    def _answer(self, jobs: list[Job]) -> None:
        """Rank for jobs of one kind; where one makes the whole fail, each is ranked alone."""
        try:
            answers = _rank(jobs)
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
            else:
                for job in jobs:
                    self._answer([job])
            return
        for job, answer in zip(jobs, answers, strict=True):
            job.future.set_result(answer)


def _rank(jobs: list[Job]) -> list[Answer]:
    first = jobs[0]
    model, context = first.ranker.model, first.ranker.context
    requests = [job.request for job in jobs]
    answers = []
    batches = rank_in_batches(model, context, requests, first.k, first.explain)
    rankings = [ranking for batch in batches for ranking in batch]
    for job, ranking in zip(jobs, rankings, strict=True):
        with collected() as warnings:
            tell_short([ranking], job.k, job.limits)
        answers.append(Answer(to_json(ranking), [*job.warnings, *warnings]))
    return answers


def to_json(ranking: Recommendation) -> bytes:
    """A ranking as JSON in ASCII: any text is within, also one that UTF-8 cannot write."""
    return json.dumps(nan_to_none(ranking.to_dict()), default=_plain, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    """A number of NumPy as a plain one."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON")
