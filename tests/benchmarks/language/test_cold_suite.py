"""The suite ``cold``."""

from benchmarks import run
from benchmarks.language import cold_suite as suite
from benchmarks.language.setting import SUSPECT, WITHOUT_TEXT, configuration


def test_parts_are_measured_once_and_others_keep_their_result(tmp_path, monkeypatch):
    calls, saved = [], {}

    def new_items(part, roots, root, seed):
        calls.append(part)
        return {"part": part, "seed": seed}

    monkeypatch.setattr(suite, "_new_items", new_items)
    monkeypatch.setattr(suite, "stored", lambda name: {"new-items": {"old": 1}, "date": "x"})
    monkeypatch.setattr(suite, "save", lambda name, line, seed, result: saved.update(result))
    for _ in range(2):
        assert run.main(["cold", "--only", "mixed", "--root", str(tmp_path), "--seed", "3"]) == 0
    assert calls == ["mixed"]
    assert saved == {"new-items": {"old": 1}, "mixed": {"part": "mixed", "seed": 3}}


def test_relations_go_to_their_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "_relations", lambda data, *rest: {"data": data})
    assert suite.measure("relations-ml-100k", {}, tmp_path) == {"data": "ml-100k"}


def test_the_parts_are_listed(capsys):
    assert run.main(["cold", "--list"]) == 0
    assert capsys.readouterr().out.split() == list(suite.PARTS)


def test_configurations_have_no_text_in_stage_one(tmp_path):
    for data in ("ml-100k", "amazon-beauty", "ml-latest-small"):
        config = configuration(data, {data: str(tmp_path)}, tmp_path, seed=2)
        assert config.retrieval.systems == list(WITHOUT_TEXT)
        assert (config.text.encoder, config.llm.name, config.seed) == ("none", "none", 2)
        suspect = list(SUSPECT) if data == "amazon-beauty" else []
        assert config.kg.exclude == suspect
