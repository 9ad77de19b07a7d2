"""Rankers on a stand-in of the Hub: pushed, fetched, and refused in one line."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from helpers.hub_server import TOKEN, Hub
from helpers.people import options, people
from helpers.small_run import small_options
from huggingface_hub import constants

from lkgrag import Ranker
from lkgrag.config.loading import load_config
from lkgrag.errors import AssetError, ConfigError, LkgragError, ModelError
from lkgrag.run.pipeline import train
from lkgrag.serving.export import export
from lkgrag.serving.hub import is_hub_name

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def crowd():
    return people()


@pytest.fixture(scope="module")
def ranker(crowd, tmp_path_factory):
    chosen = options(tmp_path_factory.mktemp("people"))
    return Ranker.from_pretrained(train(load_config(chosen), crowd[0]))


@pytest.fixture(params=["lfs", "pipeline"])
def both_ways(request):
    """Single commits by Git LFS, and the client's newer upload in parts."""
    return request.param


@pytest.fixture
def hub(request, monkeypatch, tmp_path):
    way = request.getfixturevalue("both_ways") if "both_ways" in request.fixturenames else "lfs"
    hub = Hub(by_lfs=way == "lfs")
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", way == "lfs")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("LKGRAG_OFFLINE", raising=False)
    yield hub
    hub.close()


def secrets_in(files, secrets):
    """Which secrets are in files that are text; Parquet and tensors are searched in test_withheld."""
    return {s for c in files.values() for s in secrets if s.encode() in c}


def test_a_ranker_comes_back_as_it_was(hub, both_ways, ranker, crowd):
    address = ranker.push_to_hub("owner/shop", token=TOKEN)
    assert "/owner/shop/commit/" in address
    files = hub.files("owner/shop")
    assert not secrets_in(files, crowd[1])
    assert "users.parquet" not in files
    assert "data/events.parquet" not in files
    assert b'from_pretrained("owner/shop")' in files["README.md"]
    found = Ranker.from_pretrained("owner/shop")
    history = crowd[0].item_ids[:3]
    assert found.recommend(history, k=8).to_dict() == ranker.recommend(history, k=8).to_dict()
    assert found.users() == []


def test_histories_go_along_if_asked_and_leave_with_the_next_push(hub, both_ways, ranker, crowd):
    ranker.push_to_hub("owner/shop", histories=True, token=TOKEN)
    assert {"users.parquet", "data/events.parquet"} <= hub.files("owner/shop").keys()
    found = Ranker.from_pretrained("owner/shop")
    assert found.users() == ranker.users()
    assert b"**With histories.**" in hub.files("owner/shop")["README.md"]
    hub.repositories["owner/shop"].add({**hub.files("owner/shop"), "notes.md": b"mine"})
    ranker.push_to_hub("owner/shop", token=TOKEN)
    files = hub.files("owner/shop")
    assert not {"users.parquet", "data/events.parquet"} & files.keys()
    assert files["notes.md"] == b"mine"
    again = Ranker.from_pretrained("owner/shop")
    assert again.users() == []


def test_private_repositories_need_the_token(hub, ranker):
    ranker.push_to_hub("owner/shop", private=True, token=TOKEN)
    assert hub.repositories["owner/shop"].private
    Ranker.from_pretrained("owner/shop", token=TOKEN)
    for token in (None, "hf_other"):
        shutil.rmtree(constants.HF_HUB_CACHE, ignore_errors=True)
        with pytest.raises(AssetError, match=r"^owner/shop: cannot be fetched: .*\(401\).*token="):
            Ranker.from_pretrained("owner/shop", token=token)


def test_revisions_and_caches(hub, ranker, tmp_path):
    ranker.push_to_hub("owner/shop", token=TOKEN)
    first = hub.repositories["owner/shop"].at("main")[0]
    ranker.push_to_hub("owner/shop", histories=True, token=TOKEN)
    assert Ranker.from_pretrained("owner/shop", revision=first).users() == []
    assert Ranker.from_pretrained("owner/shop", cache_dir=tmp_path / "mine").users()
    assert (tmp_path / "mine" / "models--owner--shop").is_dir()
    with pytest.raises(AssetError, match=r"has no revision 'v9'; name a branch"):
        Ranker.from_pretrained("owner/shop", revision="v9")
    with pytest.raises(AssetError, match=r"cannot be pushed: it has no revision 'dev'"):
        ranker.push_to_hub("owner/shop", branch="dev", token=TOKEN)


def test_a_folder_of_the_name_comes_first(hub, ranker, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    ranker.save_pretrained("owner/shop")
    assert Ranker.from_pretrained("owner/shop", revision="v1").users()
    assert "revision=v1: owner/shop is a folder here" in caplog.text
    assert not [path for method, path in hub.log if "owner" in path]


def test_without_the_network_the_cache_serves(hub, ranker, monkeypatch):
    ranker.push_to_hub("owner/shop", token=TOKEN)
    Ranker.from_pretrained("owner/shop")
    hub.close()
    Ranker.from_pretrained("owner/shop")
    monkeypatch.setenv("LKGRAG_OFFLINE", "1")
    Ranker.from_pretrained("owner/shop")
    with pytest.raises(AssetError, match=r"neither a folder here nor complete in the Hub's cache"):
        Ranker.from_pretrained("owner/other")
    monkeypatch.delenv("LKGRAG_OFFLINE")
    with pytest.raises(
        AssetError, match=r"^owner/other: cannot be fetched: the Hub cannot be reached"
    ):
        Ranker.from_pretrained("owner/other")
    with pytest.raises(
        AssetError, match=r"^owner/shop: cannot be pushed: the Hub cannot be reached"
    ):
        ranker.push_to_hub("owner/shop", token=TOKEN)


def test_what_is_not_there_or_not_allowed(hub, ranker):
    with pytest.raises(AssetError, match=r"no such repository \(404\).*check the name"):
        Ranker.from_pretrained("owner/nothing", token=TOKEN)
    with pytest.raises(AssetError, match=r"may not do this \(403\)"):
        ranker.push_to_hub("others/shop", token=TOKEN)
    with pytest.raises(AssetError, match=r"cannot be pushed: .*\(401\).*hf auth login"):
        ranker.push_to_hub("owner/shop")
    assert not hub.repositories


@pytest.mark.parametrize("status", [500, 429, 503, 413])
def test_faults_of_the_hub_are_one_line(hub, ranker, status, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.faults["POST", "repos/create"] = status
    with pytest.raises(
        AssetError, match=rf"^owner/shop: cannot be pushed: .*\({status}\)"
    ) as error:
        ranker.push_to_hub("owner/shop", token=TOKEN)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name",
    ["", "a/b/c", "owner/a--b", "owner/-x", "owner/x.git", 7, None, "ö/x", "a b/c", "x" * 99],
)
def test_bad_names_are_refused_before_anything_is_written(hub, ranker, name):
    with pytest.raises(ConfigError, match="no name of a repository"):
        ranker.push_to_hub(name, token=TOKEN)
    assert not hub.log


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("owner/name", True),
        ("outputs/run.1", True),
        ("name", False),
        ("./a/b", False),
        ("../b", False),
        ("/a/b", False),
        ("~/b", False),
        ("a/b/c", False),
        (7, False),
        ("a\\b/c d", False),
    ],
)
def test_what_looks_like_a_name_of_the_hub(name, is_one):
    assert is_hub_name(name) == is_one


def test_nothing_is_created_if_the_ranker_cannot_be_written(hub, ranker, monkeypatch):
    def fail(*args):
        raise LkgragError("cannot write; free space")

    monkeypatch.setattr("lkgrag.serving.hub.save", fail)
    with pytest.raises(LkgragError, match="free space"):
        ranker.push_to_hub("owner/shop", token=TOKEN)
    assert not hub.log


def test_a_repository_without_a_ranker_is_not_downloaded(hub, ranker):
    ranker.push_to_hub("owner/shop", token=TOKEN)
    hub.repositories["owner/shop"].add({"README.md": b"x", "model.safetensors": b"y" * 99})
    hub.log.clear()
    with pytest.raises(AssetError, match=r"holds no ranker of lkgrag \(it has no ranker.json\)"):
        Ranker.from_pretrained("owner/shop")
    assert not [path for _, path in hub.log if "model.safetensors" in path]


def test_damaged_files_are_named(hub, ranker):
    ranker.push_to_hub("owner/shop", token=TOKEN)
    files = hub.files("owner/shop")
    for name in ("scorer.safetensors", "catalogue.parquet", "retriever/retriever.json"):
        bad = bytes([files[name][0] ^ 1]) + files[name][1:]
        hub.repositories["owner/shop"].add({**files, name: bad})
        with pytest.raises(AssetError, match=rf"{name}: broken, its SHA-256.*force_download=True"):
            Ranker.from_pretrained("owner/shop")
    hub.repositories["owner/shop"].add({k: v for k, v in files.items() if k != "config.yaml"})
    with pytest.raises(AssetError, match=r"config.yaml: no such file"):
        Ranker.from_pretrained("owner/shop")
    # The card may be edited on the Hub.
    hub.repositories["owner/shop"].add({**files, "README.md": b"# mine"})
    Ranker.from_pretrained("owner/shop")


def test_a_download_that_is_cut_short_is_told_and_repeated(hub, ranker, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    ranker.push_to_hub("owner/shop", token=TOKEN)
    hub.cut = 3
    with pytest.raises(AssetError, match="cut short"):
        Ranker.from_pretrained("owner/shop")
    hub.cut = 0
    assert Ranker.from_pretrained("owner/shop").users() == []


def test_nothing_that_may_run_code_is_fetched_or_followed(hub, ranker):
    ranker.push_to_hub("owner/shop", token=TOKEN)
    files = hub.files("owner/shop")
    extra = {"pytorch_model.bin": b"pickle", "evil.py": b"boom", "x/y.pkl": b"boom"}
    hub.repositories["owner/shop"].add({**files, **extra})
    hub.log.clear()
    Ranker.from_pretrained("owner/shop")
    assert not [path for _, path in hub.log if path.endswith((".bin", ".py", ".pkl"))]
    for elsewhere in ("/etc", "../..", ".."):
        meta = {**json.loads(files["ranker.json"]), "merged": elsewhere}
        hub.repositories["owner/shop"].add({**files, "ranker.json": json.dumps(meta).encode()})
        with pytest.raises(AssetError, match="outside the repository"):
            Ranker.from_pretrained("owner/shop")


def test_forbidden_data_are_told_but_not_for_a_private_repository(hub, ranker, caplog, monkeypatch):
    monkeypatch.setattr("lkgrag.serving.hub.forbids_sharing", lambda config: True)
    ranker.push_to_hub("owner/shop", private=True, token=TOKEN)
    assert "redistribution" not in caplog.text
    ranker.push_to_hub("owner/shop", token=TOKEN)
    assert caplog.text.count("forbid redistribution") == 1


def test_what_has_no_histories_cannot_push_them(hub, ranker, tmp_path):
    ranker.save_pretrained(tmp_path / "r", histories=False)
    with pytest.raises(ConfigError, match="has none to push"):
        Ranker.from_pretrained(tmp_path / "r").push_to_hub("owner/shop", True, token=TOKEN)
    assert not hub.log


def test_language_models_come_with_adapter_or_merged(hub, tmp_path, monkeypatch):
    run = train(load_config(small_options(tmp_path) | {"evaluation.bootstrap": "100"}))
    whole = Ranker.from_pretrained(run, lm="always")
    history = whole.context.catalogue.ids[:3]
    expected = whole.recommend(history, k=5).to_dict()
    whole.push_to_hub("owner/lora", token=TOKEN)
    files = hub.files("owner/lora")
    assert any(name.startswith("adapter/") for name in files)
    assert b"folder of the machine that trained it" in files["README.md"]
    assert [name for name, content in files.items() if str(tmp_path).encode() in content] == []
    # The base model's folder is another one elsewhere: it is looked for by its name.
    with pytest.raises(ModelError, match=r"llm.name=llm: no such folder"):
        Ranker.from_pretrained("owner/lora", lm="always")
    monkeypatch.chdir(tmp_path)
    found = Ranker.from_pretrained("owner/lora", lm="always")
    assert found.recommend(history, k=5).to_dict() == expected
    export(run, str(tmp_path / "merged"), "auto", 4, False)
    merged = Ranker.from_pretrained(tmp_path / "merged", lm="always")
    expected = merged.recommend(history, k=5).to_dict()
    merged.push_to_hub("owner/merged", token=TOKEN)
    files = hub.files("owner/merged")
    assert {"config.json", "model.safetensors", "README.md", "ranker/ranker.json"} <= files.keys()
    assert [name for name, content in files.items() if str(tmp_path).encode() in content] == []
    assert "ranker/users.parquet" not in files
    shutil.rmtree(tmp_path / "merged")
    shutil.rmtree(tmp_path / "llm")
    found = Ranker.from_pretrained("owner/merged", lm="always")
    assert found.recommend(history, k=5).to_dict() == expected
    alone = Ranker.from_pretrained("owner/merged", lm="never")
    with pytest.raises(ConfigError, match="lm='always' to share it"):
        alone.push_to_hub("owner/again", token=TOKEN)


def test_the_variable_of_the_client_names_the_hub(ranker, tmp_path):
    """In a process of its own, as people use it, with the token of `hf auth login`."""
    hub = Hub()
    ranker.save_pretrained(tmp_path / "r")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text(TOKEN)
    code = (
        "from lkgrag import Ranker\n"
        "Ranker.from_pretrained('r').push_to_hub('owner/shop', private=True)\n"
        "print(len(Ranker.from_pretrained('owner/shop').context.catalogue))"
    )
    variables = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables, "PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    hub.close()
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == str(len(ranker.context.catalogue))
