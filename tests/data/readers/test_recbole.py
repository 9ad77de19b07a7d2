import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Interactions
from lkgrag.data.readers import find_reader, read_recbole, read_tables
from lkgrag.errors import ConfigError, DataError

LOOSE = DataConfig(min_user=1, min_item=1)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "toy.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "u\ta\t5\t1\nu\tb\t\t2\nv\ta\t3\t1\n"
    )
    (tmp_path / "toy.item").write_text(
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\tprice:float\n"
        "a\tThe A\tg h\t1.5\nb\t\tg\t\n"
    )
    (tmp_path / "toy.kg").write_text(
        "head_id:token\trelation_id:token\ttail_id:token\nm1\tby\tm2\n"
    )
    (tmp_path / "toy.link").write_text("item_id:token\tentity_id:token\na\tm1\n")
    return tmp_path


def test_a_folder_is_read(folder):
    config = DataConfig(name="toy", root=str(folder), min_user=1, min_item=1)
    tables, sha = read_tables(config)
    x = Interactions.from_tables(tables, config)
    assert x.titles == ["The A", "b"]
    assert x.items["class"].tolist() == [["g", "h"], ["g"]]
    assert "price" not in x.items
    assert x.links.values.tolist() == [[0, "m1"]]
    assert x.triples.values.tolist() == [["m1", "by", "m2"]]
    assert x.rating.tolist()[0] == 5
    assert x.rating.tolist()[1] != x.rating.tolist()[1]
    (folder / "toy.link").write_text("item_id:token\tentity_id:token\nb\tm1\n")
    assert read_tables(config)[1] != sha


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("toy.inter", "", ["empty"]),
        ("toy.inter", "user_id\titem_id\nu\ta\n", ["line 1", "user_id"]),
        ("toy.inter", "user:token\titem_id:token\nu\ta\n", ["line 1", "user_id"]),
        ("toy.inter", "user_id:token\titem_id:token\nu\ta\nu\n", ["line 3", "1 field "]),
        ("toy.inter", "user_id:token\titem_id:token\trating:float\nu\ta\tx\n", ["line 2", "'x'"]),
        ("toy.item", "item_id:tken\n", ["toy.item", "line 1"]),
        ("toy.link", "item_id:token\tentity:token\na\tm\n", ["toy.link", "entity_id"]),
        ("toy.inter", "user_id:token\titem_id:token\tx:token\0\n", ["line 1", "NUL"]),
    ],
)
def test_a_broken_file_is_named_with_its_line(folder, name, text, words):
    (folder / name).write_text(text)
    with pytest.raises(DataError) as error:
        Interactions.from_tables(read_recbole(folder, "toy"), LOOSE)
    assert all(word in str(error.value) for word in [name, *words])
    assert "\n" not in str(error.value)


def test_bytes_that_are_not_utf8(folder):
    (folder / "toy.inter").write_bytes(b"user_id:token\titem_id:token\nu\t\xff\n")
    with pytest.raises(DataError, match="line 2: not UTF-8"):
        read_recbole(folder, "toy")


def test_a_wrong_name_tells_what_is_there(folder):
    with pytest.raises(DataError, match="there is toy"):
        find_reader(folder, DataConfig(name="tyo"))


@pytest.mark.parametrize(("separator", "seq"), [(",", ";"), ("::", "|"), ("|", ","), (" ", ",")])
def test_any_separator(folder, separator, seq):
    rows = [["user_id:token", "item_id:token"], ["u", "a"], ["u", "b"]]
    items = [["item_id:token", "class:token_seq"], ["a", f"g{seq}h"], ["b", ""]]
    for suffix, table in (("inter", rows), ("item", items)):
        text = "\n".join(separator.join(row) for row in table)
        (folder / f"other.{suffix}").write_text(text)
    config = DataConfig(
        name="other",
        root=str(folder),
        min_user=1,
        min_item=1,
        separator=separator,
        seq_separator=seq,
    )
    x = Interactions.from_tables(read_tables(config)[0], config)
    assert x.items["class"].tolist() == [["g", "h"], []]


def test_columns_named_in_the_options(folder):
    (folder / "toy.inter").write_text("uid:token\tiid:token\tscore:float\nu\ta\t4\n")
    (folder / "toy.item").write_text("iid:token\tlabel:token_seq\tname:token\na\tThe A\tn\n")
    columns = {"user": "uid", "item": "iid", "rating": "score", "title": "label"}
    (folder / "toy.link").write_text("iid:token\tentity_id:token\na\tm1\n")
    x = Interactions.from_tables(read_recbole(folder, "toy", columns=columns), LOOSE)
    assert x.titles == ["The A"]
    assert x.rating.tolist() == [4]
    assert x.items["name"].tolist() == [["n"]]
    with pytest.raises(DataError, match=r"line 1 has no column 'scor'.*'score'"):
        read_recbole(folder, "toy", columns={**columns, "rating": "scor"})
    with pytest.raises(DataError, match=r"'user_id'.*data\.columns"):
        read_recbole(folder, "toy")
    with pytest.raises(ConfigError, match="no meaning"):
        read_recbole(folder, "toy", columns={"usr": "uid"})


def test_lines_are_counted_with_empty_ones(folder):
    (folder / "toy.inter").write_text(
        "user_id:token\titem_id:token\trating:float\nu\ta\t1\n\n\nu\tb\tx\n"
    )
    with pytest.raises(DataError, match="line 5, field 'rating': 'x'"):
        Interactions.from_tables(read_recbole(folder, "toy"), LOOSE)
