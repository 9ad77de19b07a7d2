"""The model card: valid metadata, what the run measured, and no markup from names of the user."""

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, metadata_load
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from lkgrag import Ranker
from lkgrag.config import DataConfig
from lkgrag.serving.card import TAGS, metadata, model_card, select_figures
from lkgrag.serving.card_parts import forbids_sharing, protocol, terms_of_data, terms_of_model
from lkgrag.serving.card_text import escape
from lkgrag.utils.files import read_json, write_json

HOSTILE = (
    'x`*|\n---\nlicense: mit\n---\n# <script>alert(1)</script> [a](http://b) "q" @all ${y}\x1b[31m'
)


@pytest.fixture(scope="module")
def ranker(run_without_lm):
    return Ranker.from_pretrained(run_without_lm)


def test_every_saved_ranker_has_a_card_with_valid_metadata(run_without_lm):
    path = run_without_lm / "ranker" / "README.md"
    data = metadata_load(path)
    assert (data["library_name"], data["license"]) == ("lkgrag", "other")
    assert set(TAGS) <= set(data["tags"])
    card = ModelCard.load(path)
    assert {r.metric_type for r in card.data.eval_results} == {"ndcg@10", "recall@10", "mrr"}
    assert all(r.dataset_name == "shop" for r in card.data.eval_results)


def test_the_card_has_the_figures_and_intervals_of_the_run(run_without_lm):
    text = (run_without_lm / "ranker" / "README.md").read_text()
    metrics = read_json(run_without_lm / "metrics.json")
    figure = metrics["ranker"]["test"]["all"]["ndcg@10"]
    assert f"| ranker | {figure:.4f}".replace("0.", ".", 1) in text
    row = next(d for d in metrics["differences"] if d["split"] == "test")
    assert f"[{row['low']:+.4f}, {row['high']:+.4f}]" in text
    assert f"{metrics['data']['counts']['users']:,} users" in text
    for words in ("Split: ", "Candidates: ", "Masking: ", "Ties: ", "unknown to lkgrag", "MIT"):
        assert words in text
    assert "None (`llm.name=none`)" in text


def test_the_card_lists_what_is_in_the_folder(run_without_lm, ranker, tmp_path):
    for histories in (True, False):
        folder = tmp_path / str(histories)
        ranker.save_pretrained(folder, histories=histories)
        text = (folder / "README.md").read_text()
        listed = set(re.findall(r"^\| `([\w.]+)/?` \|", text, re.MULTILINE))
        assert listed == {p.name for p in folder.iterdir()} - {"README.md"}
        assert ("**With histories.**" in text, "**No histories.**" in text) == (
            histories,
            not histories,
        )
        assert ("ids and histories of all users" in text) == histories


def test_the_example_of_the_card_runs(ranker, tmp_path, monkeypatch):
    ranker.save_pretrained(tmp_path / "r")
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", (tmp_path / "r" / "README.md").read_text(), re.DOTALL)[
        1
    ]
    exec(code.replace("owner/name", "r"), {})


def test_hostile_names_neither_leave_the_block_nor_become_markup(ranker, tmp_path):
    context = copy.copy(ranker.context)
    data = replace(context.config.data, name=HOSTILE)
    context.config = replace(context.config, data=data)
    text = model_card(context, tmp_path)
    (tmp_path / "README.md").write_text(text)
    block = metadata_load(tmp_path / "README.md")
    assert block["license"] == "other"
    assert block["model-index"][0]["results"][0]["dataset"]["name"].startswith(
        "x`*| --- license: mit"
    )
    body = text[REGEX_YAML_BLOCK.search(text).end() :]
    assert "<script" not in body
    assert "\x1b" not in body
    assert not re.search(r"(?<!\\)\]\(", body)
    assert "http://b" not in body
    assert not re.search(r"^license:", body, re.MULTILINE)
    titles = [line for line in body.splitlines() if line.startswith("# ")]
    assert len(titles) == 1


@pytest.mark.parametrize(
    "text", ["a|b", "`x`", "*b*", "a_b_c", "[x](y)", "<i>", "a\nb", "#1", "~~s~~"]
)
def test_escaped_texts_read_as_they_are_in_a_cell(text):
    found = escape(text)
    assert "\n" not in found
    assert not re.search(r"(?<!\\)[|`*_\[\]#~]", found.replace("&#", ""))
    assert "<" not in found
    shown = re.sub(r"\\(.)", r"\1", found).replace("&lt;", "<").replace("&gt;", ">")
    assert shown == " ".join(text.split())


@pytest.mark.parametrize(
    ("options", "words", "is_forbidden"),
    [
        ({"name": "ml-100k"}, "no redistribution", True),
        ({"name": "ml-25m"}, "GroupLens", True),
        ({"name": "mine", "reader": "movielens-dat"}, "GroupLens", True),
        ({"name": "amazon-beauty"}, "McAuley", False),
        ({"name": "books", "reader": "amazon"}, "McAuley", False),
        ({"name": "shop"}, "unknown to lkgrag", False),
        ({"name": "html-lists"}, "unknown to lkgrag", False),
    ],
)
def test_known_data_have_their_terms(options, words, is_forbidden):
    config = DataConfig(**options)
    assert words in terms_of_data(config)
    assert forbids_sharing(config) == is_forbidden


def test_models_have_their_terms_and_folders_no_path():
    assert "Apache-2.0" in terms_of_model("smollm2-135m", "x")
    assert "its own licence" in terms_of_model("meta-llama/Llama-2-7b-hf", "x")
    assert "/home" not in terms_of_model("/home/me/secret/model", "x")


@pytest.mark.parametrize("split", ["leave_one_out", "rolling", "time"])
@pytest.mark.parametrize("ties", ["hash", "file", "id"])
def test_every_protocol_has_words(ranker, split, ties):
    data = replace(ranker.context.config.data, split=split, ties=ties)
    lines = protocol(replace(ranker.context.config, data=data), {})
    assert len(lines) == 5
    assert not any("{" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("none", None),
        ("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-7b-hf"),
        ("/home/me/llm", None),
        ("a--b/../c", None),
    ],
)
def test_the_base_model_is_named_where_it_has_a_name_on_the_hub(ranker, name, base):
    context = copy.copy(ranker.context)
    context.config = replace(context.config, llm=replace(context.config.llm, name=name))
    block = yaml.safe_load(metadata(context).strip("-\n"))
    assert block.get("base_model") == base


def test_an_older_ranker_takes_the_figures_of_its_run(run_without_lm, tmp_path):
    import shutil

    shutil.copytree(run_without_lm, tmp_path / "run")
    old = tmp_path / "run" / "ranker"
    for name in ("figures.json", "README.md", "done.json"):
        (old / name).unlink()
    found = Ranker.from_pretrained(old)
    found.save_pretrained(tmp_path / "new")
    assert "| ranker | ." in (tmp_path / "new" / "README.md").read_text()
    # Alone, it has none, and loads.
    shutil.move(old, tmp_path / "alone")
    (tmp_path / "run" / "metrics.json").write_text("{")
    Ranker.from_pretrained(tmp_path / "alone").save_pretrained(tmp_path / "without")
    assert "there are none" in (tmp_path / "without" / "README.md").read_text()


def test_selected_figures_select_themselves(run_without_lm):
    found = select_figures(read_json(run_without_lm / "metrics.json"))
    assert select_figures(json.loads(json.dumps(found))) == found
    assert select_figures({"format": 99}) is None
    assert select_figures([]) is None


def test_an_updated_ranker_says_that_its_figures_are_older(ranker, tmp_path):
    context = copy.copy(ranker.context)
    context.updates = ({"date": "2026-01-02", "new": 1234},)
    text = model_card(context, tmp_path)
    assert (
        "by 1,234 interactions; the last time on 2026-01-02. The figures below are of before."
        in text
    )


def test_damaged_figures_are_found(run_without_lm, tmp_path):
    import shutil

    shutil.copytree(run_without_lm / "ranker", tmp_path / "r")
    write_json(Path(tmp_path / "r" / "figures.json"), {})
    with pytest.raises(Exception, match=r"figures.json: broken"):
        Ranker.from_pretrained(tmp_path / "r")
