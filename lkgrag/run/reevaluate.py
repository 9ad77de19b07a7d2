"""Evaluation of a saved run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.config import NO_LLM
from lkgrag.data.cleaning.texts import normal
from lkgrag.errors import DataError, RunError, nearest, short
from lkgrag.evaluation.elsewhere import SplitLists, check_folder, check_format, write_elsewhere
from lkgrag.evaluation.evaluator import Evaluator
from lkgrag.evaluation.ranked_lists import ranked_lists
from lkgrag.prompt.order import CandidateOrder
from lkgrag.retrieval.system_lists import system_lists
from lkgrag.run import display
from lkgrag.run.cache import StageCache
from lkgrag.run.stages import Stages, load_dataset
from lkgrag.serving.ranker import Ranker
from lkgrag.serving.requests import user_ids
from lkgrag.serving.saved_run import load_run, read_metrics
from lkgrag.utils.device import choose_device, set_threads
from lkgrag.utils.files import user_path, write_json
from lkgrag.utils.layout import OF_RUN, RANKER
from lkgrag.utils.progress import activity, rename_activity, tell

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lkgrag.config import Config, DataConfig
    from lkgrag.data import Interactions
    from lkgrag.evaluation.protocol import Metrics
    from lkgrag.evaluation.result import Evaluation
    from lkgrag.ranker.model import RankerModel
    from lkgrag.retrieval import CandidateLists, FusedRetriever


def evaluate(
    run: str | os.PathLike[str],
    interactions: Interactions | None = None,
    users: Sequence[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    format: str | None = None,
) -> Metrics:
    """Evaluate a saved run again: its files give the same figures, which are printed as tables.

    Args:
        run: folder of a finished run.
        interactions: the data that the run was trained on, if they were in memory.
        users: ids of the users to evaluate; all by default.
        out: a file for the metrics; with ``format`` a folder. None by default.
        format: ``trec``, ``ranx`` or ``recbole``: also write the true items and each system's ranked lists, in which other
            programs find the same figures.

    Returns:
        ``{system: {split: {population: {metric: mean}}}}``.

    Raises:
        RunError: the folder is not a finished run, or ``out`` holds something else.
        ConfigError: there is no such ``format``, or no ``out`` for it.
        DataError: a user is unknown, or the interactions are not those of the run.
        LkgragError: a file is missing or broken.
    """
    folder, config = load_run(run)
    return evaluate_run(folder, config, users, out, interactions, format)


@activity("evaluation")
def evaluate_run(
    folder: Path,
    config: Config,
    users: Sequence[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    interactions: Interactions | None = None,
    form: str | None = None,
) -> Metrics:
    """Evaluate a run whose configuration is read already; see :func:`evaluate`."""
    if form is not None:
        # Before the work, not behind it.
        check_folder(check_format(form, out), user_path(out or "", "out"))
    elif out is not None:
        _check_file(user_path(out, "out"), folder)
    rename_activity("read the data")
    set_threads(config.threads)
    dataset = load_dataset(config, interactions)
    chosen = None if users is None else _find_users(users, dataset.interactions, config.data)
    cache = StageCache(Path(config.cache.root), config.cache.enabled)
    stage_one = Stages(cache, config, dataset, choose_device()).retrieval()
    rename_activity("load the ranker")
    # A language model that serves nobody is evaluated all the same.
    lm = "never" if config.llm.name == NO_LLM else "always"
    ranker = Ranker.from_pretrained(folder / RANKER, lm=lm)
    if ranker.context.updates:
        raise RunError(
            f"run={folder}: its ranker was updated and has seen what tests it; metrics.json has the figures of before "
            "(an update with out=<folder> leaves the run as it is)"
        )
    rename_activity("evaluation")
    evaluator = Evaluator(
        dataset.interactions,
        ranker.context.graph,
        replace(config.evaluation, max_events=_ranked_prompts(folder)),
        CandidateOrder(config.prompt.order, config.seed),
        config.paths.history,
    )
    lists = {"val": stage_one.val, "test": stage_one.test}
    evaluation = evaluator.evaluate(ranker.model, lists, chosen, ranker.context.learned)
    metrics = evaluation.metrics(config.evaluation.ks)
    display.print_tables(
        metrics,
        evaluation.differences(config.evaluation.bootstrap, config.seed),
        config.evaluation.ks,
    )
    if out is not None and form is None:
        write_json(user_path(out, "out"), metrics)
    elif out is not None and form is not None:
        rename_activity("write the lists")
        if chosen is not None:
            lists = {n: part[np.isin(part.events.user, chosen)] for n, part in lists.items()}
        splits = {
            name: _split_lists(evaluator, evaluation, name, ranker.model, part, stage_one.retriever)
            for name, part in lists.items()
        }
        ids = dataset.interactions.user_ids, dataset.interactions.item_ids
        folder = user_path(out, "out")
        for note in write_elsewhere(folder, form, splits, metrics, ids):
            tell(note)
    return metrics


def _check_file(path: Path, run: Path) -> None:
    """Refuse a file for the metrics that is a folder, or one of the run's own.

    Raises:
        RunError: saying which.
    """
    if path.is_dir():
        raise RunError(
            f"out={path}: a folder; name a file for the metrics, as {path / 'again.json'}"
        )
    place, home = path.resolve(), run.resolve()
    if place.is_relative_to(home) and place.relative_to(home).parts[0] in OF_RUN:
        raise RunError(
            f"out={path}: this is a file of the run itself, whose figures would be lost; choose another name"
        )


def _split_lists(
    evaluator: Evaluator,
    evaluation: Evaluation,
    split: str,
    model: RankerModel,
    lists: CandidateLists,
    retriever: FusedRetriever,
) -> SplitLists:
    """All ranked lists of a split.

    Args:
        evaluator: of the run.
        evaluation: its ranks and scores.
        split: ``val`` or ``test``.
        model: that ranks.
        lists: the candidates of the events that were evaluated.
        retriever: the fused stage one.
    """
    result = evaluation.result_of(split)
    missed = evaluator.score_missed(model, split, lists, result.read)
    # One more item than is ranked, as the target may leave its place.
    by_stage_one = system_lists(retriever, evaluator.interactions, lists.events, result.depth + 1)
    ranked = ranked_lists(evaluation, split, by_stage_one, lists.items, missed)
    return SplitLists(result, ranked)


def _ranked_prompts(folder: Path) -> int:
    """Prompts of each split that the run's language model ranked at most; -1 for all.

    Runs of older versions, and exports, have no such record: their language model ranked all.
    """
    metrics = read_metrics(folder) or {}
    return int((metrics.get("budget") or {}).get("ranking", -1))


def _find_users(
    users: Sequence[object], interactions: Interactions, config: DataConfig
) -> NDArray[np.int64]:
    """The user indices of ids, int64, each once.

    Raises:
        DataError: it is no list, it is empty, or a user is unknown; the message names the nearest ones, or says that
            the user had too few interactions.
    """
    index = {normal(user): n for n, user in enumerate(interactions.user_ids)}
    ids = list(dict.fromkeys(user_ids(users)))
    for user in ids:
        if normal(user) not in index:
            why = interactions.dropped.why_user(user, config.min_user)
            number = interactions.num_users
            reason = f"{short(why)}" if why else f"no such user among the {number} of this run."
            hint = (
                "; leave it out" if why else f"{nearest(user, interactions.user_ids)} Leave it out"
            )
            raise DataError(f"users={short(user)}: {reason}{hint}")
    return np.asarray([index[normal(u)] for u in ids], np.int64)
