"""What users get wrong, through the real entry points: one line, status 2, nothing half-written."""

import gzip
import json
import shutil
import sys

import pytest
import torch
from helpers.small_run import small_options

from lkgrag import Ranker, evaluate, recommend, train
from lkgrag.errors import ModelError, RunError

HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
ROWS = [
    f"u{u}\ti{i}\t{1 + (u + i) % 5}\t{1_400_000_000 + 60 * i}\n" for u in range(8) for i in range(8)
]
GOOD = HEADER + "".join(ROWS)


@pytest.fixture
def refuse(tmp_path, monkeypatch, capsys):
    """Call an entry point; it must refuse in one line that holds the words, and leave no file."""
    monkeypatch.chdir(tmp_path)

    def files():
        return {p for p in tmp_path.rglob("*") if "cache" not in p.relative_to(tmp_path).parts}

    def call(module, *arguments, words, announced=False):
        before = files()
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
        status = module.main()
        err = capsys.readouterr().err.strip()
        assert status == 2, err
        assert "Traceback" not in err
        lines = err.splitlines()
        assert lines[-1].startswith("error: "), err
        # A download is announced before it fails.
        assert len(lines) == 1 or (announced and lines[0].startswith("fetching")), err
        for word in words:
            assert word in lines[-1], lines[-1]
        assert files() == before

    return call


def shop(folder, content=GOOD, name="shop.inter"):
    """A RecBole folder, and the arguments that train on it."""
    (folder / "shop.inter").write_text(GOOD)
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return ["data.name=shop", f"data.root={folder}", "llm.name=none", f"cache.root={folder}/cache"]


def with_row(row):
    return GOOD + row


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("shop.inter", b"", ["empty"]),
        ("shop.inter", HEADER, ["holds no row"]),
        ("shop.inter", GOOD.replace("user_id:", "usr_id:"), ["line 1", "'user_id'", "'usr_id'"]),
        ("shop.inter", GOOD.replace(":token", ""), ["line 1", "'user_id'", "name:type"]),
        ("shop.inter", GOOD.replace("\t", ","), ["line 1", "data.separator"]),
        ("shop.inter", with_row("u1\ti1\tgood\t1400000000\n"), ["line 66", "'rating'", "'good'"]),
        ("shop.inter", with_row("u1\ti1\t3\n"), ["line 66", "3 fields", "4"]),
        ("shop.inter", with_row("\ti1\t3\t1400000000\n"), ["line 66", "'user_id'", "empty"]),
        (
            "shop.inter",
            with_row("u1\ti1\t3\t1400000000000\n"),
            ["line 66", "'timestamp'", "1970 and 2099", "data.time_unit=ms"],
        ),
        (
            "shop.inter",
            with_row("u1\ti1\t3\t2015-03-31\n"),
            ["line 66", "'timestamp'", "seconds", "data.time_unit=date"],
        ),
        ("shop.inter", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ["line 1"]),
        ("shop.inter", b"\x7fELF\x02\x01\x01\0\0", ["line 1", "NUL"]),
        ("shop.inter", with_row("x").encode() + b"\xff\xfe", ["line 66", "not UTF-8", "0xff"]),
        ("shop.inter", HEADER + "u1\ti1\t3\t1\n", ["no user is left", "data.min_user"]),
        ("shop.item", "itm_id:token\tname:token\ni1\tOne\n", ["shop.item", "'item_id'"]),
        ("shop.kg", "head_id:token\trelation_id:token\ni1\tby\n", ["shop.kg", "'tail_id'"]),
        (
            "shop.kg",
            "head_id:token\trelation_id:token\ttail_id:token\nm.1\tby\tm.2\n",
            ["not one joins an item", "'m.1'", ".link"],
        ),
        ("shop.link", "item_id:token\tentity_id:token\n\tm.1\n", ["shop.link", "line 2", "empty"]),
    ],
)
def test_broken_atomic_files(tmp_path, refuse, name, content, words):
    arguments = shop(tmp_path, content, name)
    refuse(train, *arguments, "out=run", words=[name if ".kg" not in name else "shop.", *words])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["data.root=nowhere"], ["data.root=nowhere", "no such folder"]),
        (["data.root=shop.inter"], ["data.root=shop.inter", "a file, not a folder"]),
        (["data.name=shp"], ["shp.inter", "no such file", "there is shop"]),
        (["data.name=ml-1ook", "data.root=null"], ["data.name=ml-1ook", "'ml-100k'"]),
        (["data.columns={usr: x}"], ["data.columns", "'usr'", "'user'"]),
        (["data.columns={rating: stars}"], ["shop.inter", "line 1", "'stars'"]),
        (["data.separator="], ["data.separator", "empty"]),
        (["data.reader=recbol"], ["data.reader=recbol", "'recbole'"]),
        (["data.reader=movielens"], ["ratings.csv", "no such file"]),
        (["data.reader=amazon", "data.columns={user: u}"], ["data.columns", "amazon"]),
        (["data.duplicates=never"], ["data.duplicates", "first"]),
        (["data.min_rating=9"], ["shop.inter", "data.min_rating=9", "highest is 5"]),
        (["data.untitled=drop"], ["shop.inter", "title"]),
        (["data.min_user=99"], ["no user is left of 8", "data.min_user"]),
        (["data.split=time", "data.test_from=soon"], ["data.test_from=soon", "2015-03-31"]),
        (["data.test_from=2015-03-31"], ["data.split=time"]),
        (["data.split=rolling", "data.rolling=0"], ["data.rolling"]),
        (["retrieval.systems=[lru]"], ["retrieval.systems", "'lrurec'"]),
        # Between colons, names of pictures are words like others.
        (["retrieval.systems=[no_such:X]"], ["retrieval.systems=no_such:X: no module"]),
        (["scorer.name=metapath"], ["scorer.name", "'metapath'"]),
        (["llm.readout=letters", "retrieval.k=60"], ["retrieval.k=60", "52 letters"]),
        (["llm.name=smollm"], ["llm.name=smollm", "'smollm2-135m'"]),
        (["llm.name=shop.inter"], ["llm.name=shop.inter", "no such folder"]),
        (["llm.name=.", "data.name=shop"], ["llm.name=.", "config.json"]),
        (["config=shop.inter"], ["config=shop.inter", "unknown option", "--help"]),
        (["config=."], ["config=.", "cannot be read"]),
        (["out=shop.inter"], ["shop.inter", "choose another out="]),
        (["out=/proc/nothing/here"], ["/proc/nothing", "choose another out="]),
        (["out=shop.inter/run"], ["shop.inter", "choose another out="]),
        (["cache.root=shop.inter"], ["shop.inter", "cache.root"]),
        (["cache.root=/proc/nothing"], ["/proc/nothing", "cache.root"]),
    ],
)
def test_wrong_options(tmp_path, refuse, options, words):
    keys = {option.split("=")[0] for option in options}
    given = [a for a in [*shop(tmp_path), "out=run"] if a.split("=")[0] not in keys]
    refuse(train, *given, *options, words=words)


def test_a_rating_twice_is_refused_with_both_lines(tmp_path, refuse):
    arguments = shop(tmp_path, with_row("u1\ti1\t3\t1400000000\n"))
    words = ["line 66", "'u1'", "'i1'", "line 11", "data.duplicates"]
    refuse(train, *arguments, "data.duplicates=error", words=words)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"ratings_A.csv": "u,i,5,1\n", "meta_A.json.gz": b"\x1f\x8b\x08junk"}, ["meta_A", "gzip"]),
        ({"ratings_A.csv.gz": gzip.compress(b"u,i,5,1\n" * 99)[:-12]}, ["ratings_A", "gzip"]),
        ({"ratings_A.csv": "u,i,5\n"}, ["ratings_A.csv", "line 1", "3 fields"]),
        ({"ratings_A.csv": "u,i,five,1\n"}, ["ratings_A.csv", "line 1", "'five'"]),
        ({"ratings_A.csv": 'u,"i,5,1\n'}, ["ratings_A.csv", "line 1", "CSV"]),
        ({"u.data": "1\t1\t5\n"}, ["u.data", "line 1", "3 fields"]),
        ({"ratings.dat": "1:1:5:1\n"}, ["ratings.dat", "line 1", "1 field "]),
        (
            {"ratings.csv": "userId,movieId,rating\n1,1,5\n", "movies.csv": "x\n"},
            ["ratings.csv", "line 1", "'timestamp'"],
        ),
        ({"notes.txt": "x"}, ["no known data set", "notes.txt"]),
    ],
)
def test_broken_files_of_other_layouts(tmp_path, refuse, files, words):
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
    refuse(train, f"data.root={tmp_path}", "llm.name=none", "out=run", words=words)


def test_debug_shows_the_traceback(tmp_path, monkeypatch, capsys):
    arguments = shop(tmp_path, b"")
    monkeypatch.setattr(sys, "argv", ["train", *arguments, f"out={tmp_path}/run", "--debug"])
    assert train.main() == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_corrected_command_may_take_the_same_folder(tmp_path, refuse):
    bad = shop(tmp_path, b"")
    refuse(train, *bad, "out=run", words=["empty"])
    assert not (tmp_path / "run").exists()


def test_an_old_run_is_not_deleted_for_a_refused_one(small_run, tmp_path, refuse):
    root, options = small_run
    shutil.copytree(root / "out", tmp_path / "out")
    given = {**options, "out": "out", "data.root": "nowhere", "overwrite": "true"}
    refuse(train, *(f"{k}={v}" for k, v in given.items()), words=["data.root=nowhere"])
    assert (tmp_path / "out" / "metrics.json").exists()


def test_what_is_not_in_the_cache_needs_the_network(tmp_path, monkeypatch, refuse):
    monkeypatch.setenv("LKGRAG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LKGRAG_OFFLINE", "1")
    words = ["LKGRAG_OFFLINE", "recbole-1.2.1-py3-none-any.whl", "pip download"]
    refuse(train, "llm.name=none", "out=run", words=words, announced=True)
    hub = [a for a in shop(tmp_path) if "llm" not in a]
    words = ["llm.name=someone/a-model", "hub cannot be reached", "smollm2-135m"]
    refuse(train, *hub, "llm.name=someone/a-model", "out=run", words=words)


def test_no_network(tmp_path, monkeypatch, refuse):
    monkeypatch.setenv("LKGRAG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LKGRAG_OFFLINE", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    words = ["pip could not download recbole==1.2.1", "What is needed"]
    refuse(train, "llm.name=none", "out=run", words=words, announced=True)


def test_a_checksum_that_differs(tmp_path, monkeypatch, refuse):
    monkeypatch.setenv("LKGRAG_CACHE", str(tmp_path / "cache"))
    downloads = tmp_path / "cache" / "downloads"
    downloads.mkdir(parents=True)
    (downloads / "recbole-1.2.1-py3-none-any.whl").write_bytes(b"junk")
    words = ["recbole-1.2.1-py3-none-any.whl", "SHA-256 differs", "delete it"]
    refuse(train, "llm.name=none", "out=run", words=words, announced=True)


def copied(small_run, tmp_path):
    shutil.copytree(small_run[0] / "out", tmp_path / "out")
    return tmp_path / "out"


def test_unknown_users_and_items_come_with_the_nearest(small_run, refuse):
    run = f"run={small_run[0] / 'out'}"
    refuse(recommend, run, "users=u1x", words=["users=u1x", "'u1"])
    refuse(evaluate, run, "users=u1,u1x", words=["users=u1x", "'u1"])
    refuse(recommend, run, "history=[Thing 55555]", words=["history", "'Thing 5"])
    refuse(recommend, run, "history=[i3]", "candidates=[i44444]", words=["candidates", "'i4"])
    refuse(recommend, run, "history=[i3]", "k=999", words=["k=999", "40 items"])
    refuse(recommend, run, "history=[i3]", "k=0", words=["'k'", "'0'"])
    refuse(recommend, run, "history=[i3]", "k=" + "9" * 5000, words=["'k'", "at most 18 digits"])
    refuse(
        recommend, run, "history=[i3]", "k=2", "--k=3", words=["'k' is given twice: '2' and '3'"]
    )
    refuse(
        recommend,
        run,
        f'history=["{"x" * 200_000}"]',
        words=["history: no item 'xxx", "xxx…' among"],
    )
    refuse(recommend, run, 'history=["i3]', words=["'history'", "quote does not close"])
    refuse(recommend, run, "users=u1", "format=xml", words=["'format'", "json"])
    refuse(recommend, run, words=["users=", "history="])
    refuse(recommend, "users=u1", words=["'run'"])


def test_what_is_no_saved_run(small_run, tmp_path, refuse):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for run, words in {
        "nowhere": ["no such folder"],
        "empty": ["not a saved run"],
        "file": ["no such folder"],
    }.items():
        for module in (recommend, evaluate):
            more = ["users=u1"] if module is recommend else []
            refuse(module, f"run={run}", *more, words=[f"run={run}", *words])
    out = copied(small_run, tmp_path)
    shutil.rmtree(out / "ranker")
    refuse(recommend, "run=out", "users=u1", words=["not finished", "lkgrag.train"])


def test_a_run_of_a_newer_format(small_run, tmp_path, refuse):
    out = copied(small_run, tmp_path)
    for folder in (out, out / "ranker"):
        (folder / "done.json").unlink()
    meta = json.loads((out / "ranker" / "ranker.json").read_text())
    (out / "ranker" / "ranker.json").write_text(json.dumps({**meta, "format": 99}))
    for module, more in ((recommend, ["users=u1"]), (evaluate, [])):
        refuse(module, "run=out", *more, words=["newer format 99", "pip install -U"])
    (out / "ranker" / "ranker.json").write_text("{")
    refuse(recommend, "run=out", "users=u1", words=["ranker.json", "JSON"])
    metrics = json.loads((out / "metrics.json").read_text())
    (out / "metrics.json").write_text(json.dumps({**metrics, "format": 99}))
    given = {**small_run[1], "out": "out"}
    refuse(train, *(f"{k}={v}" for k, v in given.items()), words=["metrics.json", "99"])
    with open(out / "config.yaml", "a") as file:
        file.write("later: 1\n")
    refuse(recommend, "run=out", "users=u1", words=["another version", "'later'"])


@pytest.mark.parametrize("name", ["catalogue.parquet", "users.parquet", "scorer.safetensors"])
def test_a_broken_file_of_a_saved_run(small_run, tmp_path, refuse, name):
    path = copied(small_run, tmp_path) / "ranker" / name
    path.write_bytes(path.read_bytes()[:40])
    refuse(recommend, "run=out", "users=u1", words=[name, "broken"])
    path.unlink()
    refuse(recommend, "run=out", "users=u1", words=[name, "no such file"])


@pytest.mark.parametrize("out", ["/proc/nothing.json", "a-file/x.json"])
def test_results_that_cannot_be_written(small_run, tmp_path, refuse, out):
    (tmp_path / "a-file").touch()
    run = f"run={small_run[0] / 'out'}"
    refuse(recommend, run, "users=u1", f"out={out}", words=[out, "choose another out="])


def test_a_budget_too_small_for_the_candidates(small_run, refuse):
    given = {**small_run[1], "out": "new", "prompt.max_tokens": "20"}
    words = ["prompt.max_tokens=20", "at least"]
    refuse(train, *(f"{k}={v}" for k, v in given.items()), words=words)


def test_more_candidates_than_letters(small_run, refuse):
    given = {**small_run[1], "out": "new", "retrieval.k": "53", "llm.readout": "letters"}
    refuse(train, *(f"{k}={v}" for k, v in given.items()), words=["retrieval.k=53", "52 letters"])


def test_a_gpu_where_none_is(small_run, tmp_path, monkeypatch, refuse):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    words = ["2 processes on GPUs", "no GPU", "ACCELERATE_USE_CPU=true"]
    refuse(train, *shop(tmp_path), "out=run", words=words)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    given = [f"{k}={v}" for k, v in {**small_run[1], "out": "new"}.items() if k != "llm.dtype"]
    refuse(train, *given, "llm.dtype=float16", words=["llm.dtype=float16", "GPU"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_ranker_for_a_gpu_where_none_is(small_run):
    with pytest.raises(ModelError, match=r"device=cuda.*device='cpu'"):
        Ranker.from_pretrained(small_run[0] / "out", device="cuda")


@pytest.mark.slow
def test_a_finished_run_whose_data_changed(tmp_path):
    from helpers.small_run import small_options

    from lkgrag.config.loading import load_config
    from lkgrag.run.pipeline import train

    options = {**small_options(tmp_path), "retrieval.epochs": "1", "llm.name": "none"}
    folder = train(load_config(options))
    before = (folder / "metrics.json").read_bytes()
    assert train(load_config(options)) == folder
    file = tmp_path / "shop.inter"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(RunError, match=r"holds a run of other data: .*overwrite=true"):
        train(load_config(options))
    assert (folder / "metrics.json").read_bytes() == before
    # What is not there cannot be compared: the table is shown.
    file.rename(tmp_path / "away")
    assert train(load_config(options)) == folder


@pytest.mark.slow
def test_only_runs_are_overwritten(tmp_path):
    from lkgrag.config.loading import load_config
    from lkgrag.run.pipeline import train

    options = {**small_options(tmp_path), "retrieval.epochs": "1", "llm.name": "none"}
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    for config in (None, "model: {name: other}\n"):
        if config is not None:
            (folder / "config.yaml").write_text(config)
        with pytest.raises(RunError, match=r"and no run: overwrite=true deletes runs only"):
            train(load_config({**options, "out": str(folder), "overwrite": "true"}))
        assert (folder / "thesis.txt").read_text() == "years of work"
        assert not (folder / ".lock").exists()
    # A run is, and so is what a killed one left.
    options["out"] = str(tmp_path / "run")
    train(load_config(options))
    (tmp_path / "run" / "metrics.json").unlink()
    train(load_config({**options, "overwrite": "true"}))
    assert (tmp_path / "run" / "metrics.json").exists()
    # But not with other runs in it.
    below = tmp_path / "run" / "other" / "config.yaml"
    below.parent.mkdir()
    shutil.copy(tmp_path / "run" / "config.yaml", below)
    with pytest.raises(RunError, match=r"holds the run other below its own"):
        train(load_config({**options, "overwrite": "true"}))
    assert below.exists()


@pytest.mark.slow
def test_few_items_and_no_example_to_learn_from(tmp_path):
    """Three interactions a user leave none to train stage two on; four items, no five to explain."""
    from lkgrag.config.loading import load_config
    from lkgrag.run.pipeline import train

    rows = [f"u{u}\ti{(u + p) % 4}\t{10 * u + p}" for u in range(9) for p in range(3)]
    (tmp_path / "three.inter").write_text(
        "\n".join(["user_id:token\titem_id:token\ttimestamp:float", *rows]) + "\n"
    )
    options = {**small_options(tmp_path), "data.name": "three", "llm.name": "none"}
    options |= {"retrieval.epochs": "1", "data.min_user": "1", "data.min_item": "1"}
    folder = train(load_config({**options, "retrieval.k": "4", "out": str(tmp_path / "run")}))
    explained = json.loads((folder / "explanations.json").read_text())
    # Two of the four are in the history.
    assert len(explained[0]["items"]) == 2


@pytest.mark.slow
def test_a_run_of_a_scorer_that_was_edited_is_not_taken_over(tmp_path, monkeypatch):
    from lkgrag.config.loading import load_config
    from lkgrag.run.pipeline import train

    module = tmp_path / "mine.py"
    text = (
        "from lkgrag.scorer import PathScorer\n"
        "class Mine(PathScorer):\n"
        "    def forward(self, data, paths):\n"
        "        return paths.weight.log()\n"
    )
    module.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    options = {**small_options(tmp_path), "retrieval.epochs": "1", "llm.name": "none"}
    config = load_config({**options, "scorer.name": "mine:Mine"})
    folder = train(config)
    assert train(config) == folder
    module.write_text(text.replace("paths.weight.log()", "-paths.weight.log()"))
    with pytest.raises(RunError, match=r"other code: the module of scorer\.name has changed"):
        train(config)
