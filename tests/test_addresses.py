"""Addresses that were public before the rooms were laid out anew: each of them still works."""

import importlib
import warnings

import pytest

import lkgrag
from lkgrag.utils.moved import MODULES, NAMES

ADDRESSES = {
    "lkgrag.config": (
        "CacheConfig Config DataConfig EvaluationConfig KGConfig LARGEST_SEED LLMConfig "
        "PUBLISHED PathsConfig PromptConfig RetrievalConfig ScorerConfig TERMS TrainingConfig "
        "opt"
    ),
    "lkgrag.data": (
        "Events Interactions Queries Split Tables log_softmax make_split natural_order tie_report"
    ),
    "lkgrag.kg": (
        "Audience KGRow Names PathWords REVERSE Relation RemoteKG SYMMETRIC as_of base_name "
        "build_kg check_no_leak find_leaks inverse kg_table load_kg phrase phrase_metapath "
        "save_kg short short_metapath"
    ),
    "lkgrag.paths": ("Finder PathBatch PathFinder ShortestPaths metapaths path_finder"),
    "lkgrag.retrieval": (
        "CandidateLists EASERetriever Fold FusedRetriever GraphRetriever ItemItemRetriever "
        "LRURec LRURecRetriever PopularityRetriever Progress Retriever SYSTEMS StageOne "
        "Weights candidate_lists crossfitted_lists fit_fusion fit_lrurec fit_stage_one "
        "fit_systems log_shares summary"
    ),
    "lkgrag.scorer": (
        "GROUP PathScorer PathScores Pretraining REGISTERED as_path_scores build_scorer "
        "candidate_from_salience code_of pretrain resolve_scorer"
    ),
    "lkgrag.prompt": (
        "BasePrompter Bundles Grades Prompter PublishedPrompter TokenBatch Verbaliser "
        "build_prompter bundle_paths clean_title register_verbaliser within_budget"
    ),
    "lkgrag.llm": ("LETTERS LMScorer letter_ids load_llm"),
    "lkgrag.evaluation": (
        "Deletion Difference SplitResult beyond_accuracy bootstrap_sum categories cold_start "
        "control_share deletion_test detectable difference_line exist expected_gains gains "
        "metric_names nest paired_bootstrap pessimistic_rank sample_events share_existing "
        "show smallest_detectable standard_error systems_table top_lists"
    ),
    "lkgrag.testing": ("PathScorerTests RetrieverTests planted toy_interactions toy_kg toy_paths"),
    "lkgrag.errors": (
        "AssetError ConfigError DataError LONGEST LkgragError ModelError RunError nearest short"
    ),
    "lkgrag.data.readers": (
        "Reader data_folder files_digest find_reader read_recbole read_tables readers "
        "register_reader"
    ),
    "lkgrag.report": (
        "PAGE PICTURES PROMPTS SALIENCE prompt_tables recommendation_page write_report"
    ),
}
#: Modules that are gone, with names that their users import.
GONE = {
    "lkgrag.cache": "StageCache locked",
    "lkgrag.fusion": "Fusion centre fit_weights list_cross_entropy",
    "lkgrag.kg.audit": "audit",
    "lkgrag.llm.letters": "LETTERS letter_ids",
    "lkgrag.llm.readout": "CandidateReadout LetterReadout",
    "lkgrag.options": "check computed digest load_config presets run_name to_dict to_yaml",
    "lkgrag.pipeline": "train",
    "lkgrag.prompt.verbaliser": "Verbaliser register_verbaliser resolve_verbaliser",
    "lkgrag.recommendation": "PathExplanation RankedItem Recommendation",
    "lkgrag.retrieval.own": "resolve_system",
    "lkgrag.review": "evaluate_run",
}


@pytest.mark.parametrize("room", ADDRESSES)
def test_a_room_keeps_its_names(room):
    module = importlib.import_module(room)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        missing = [name for name in ADDRESSES[room].split() if not hasattr(module, name)]
    assert missing == []


def test_the_list_of_gone_modules_is_whole():
    assert set(GONE) == set(MODULES)


@pytest.mark.parametrize("module", GONE)
def test_a_module_that_is_gone_gives_its_names_with_a_warning(module, monkeypatch):
    import sys

    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.warns(DeprecationWarning, match=f"{module} is now lkgrag"):
        found = importlib.import_module(module)
    assert [name for name in GONE[module].split() if not hasattr(found, name)] == []
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nothing'"):
        found.nothing  # noqa: B018


@pytest.mark.parametrize(("room", "name"), NAMES)
def test_a_name_that_moved_warns(room, name):
    with pytest.warns(DeprecationWarning, match=f"{name} is now"):
        getattr(importlib.import_module(room), name)


def test_a_room_has_no_name_that_it_never_had():
    with pytest.raises(AttributeError, match=r"'lkgrag\.scorer' has no attribute 'nothing'"):
        importlib.import_module("lkgrag.scorer").nothing  # noqa: B018


def test_the_root_gives_what_serves_and_what_runs():
    from lkgrag.serving.ranker import Ranker

    assert lkgrag.Ranker is Ranker
    assert callable(lkgrag.train)
    assert callable(lkgrag.evaluate)
    # The functions are the modules of the commands, which can be called.
    assert lkgrag.train.COMMAND.name == "lkgrag.train"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lkgrag.nothing  # noqa: B018
