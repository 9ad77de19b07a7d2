"""Files that are not what they seem: other encodings, line ends and kinds, and archives that are broken."""

import gzip
import struct
import zipfile

import pandas as pd
import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Interactions
from lkgrag.data.readers import read_lines, read_tables
from lkgrag.data.readers.packed import existing
from lkgrag.errors import DataError

TEXT = "user,item,time\nann,mug,1\nbo,tea,2\n"
#: By reader: a file that is text, and a valid content.
FILES = {
    "table": ("shop.csv", TEXT),
    "movielens": ("ratings.csv", "userId,movieId,rating,timestamp\n1,1,1,1\n"),
    "movielens-100k": ("u.data", "1\t1\t1\t1\n2\t1\t1\t1\n"),
    "movielens-dat": ("ratings.dat", "1::1::1::1\n2::1::1::1\n"),
    "recbole": ("shop.inter", "user_id:token\titem_id:token\nann\tmug\n"),
    "amazon": (
        "reviews_X.json",
        '{"reviewerID": "A", "asin": "B"}\n{"reviewerID": "B", "asin": "B"}\n',
    ),
}
KINDS = {
    "utf-16": (lambda t: t.encode("utf-16"), "UTF-16 text, not UTF-8; convert it by: iconv -f UTF-16 -t UTF-8"),
    "utf-16-le": (lambda t: t.encode("utf-16-le"), "UTF-16LE text, not UTF-8; convert it by: iconv -f UTF-16LE"),
    "utf-16-be": (lambda t: t.encode("utf-16-be"), "UTF-16BE text, not UTF-8; convert it by: iconv -f UTF-16BE"),
    "utf-32": (lambda t: t.encode("utf-32"), "UTF-32 text"),
    "CR": (lambda t: t.replace("\n", "\r").encode(), "lines that end with CR alone, as on old Macs; convert it by: tr"),
    "parquet": (lambda t: b"PAR1" + t.encode(), "this is a Parquet file; name it .parquet"),
    "excel": (lambda t: b"PK\x03\x04" + t.encode(), "a workbook of Excel"),
    "sqlite": (lambda t: b"SQLite format 3\0", "export its tables as CSV"),
    "bzip2": (lambda t: b"BZh9" + t.encode(), "bunzip2"),
    "latin-1": (lambda t: t.encode() + b"\xe9\n", "line 3: not UTF-8 text (byte 0xe9); save the file as UTF-8, or convert it by: iconv"),
}  # fmt: skip


def read(folder, **options):
    config = DataConfig(
        **{"name": "shop", "root": str(folder), "min_user": 1, "min_item": 1, **options}
    )
    return Interactions.from_tables(read_tables(config)[0], config)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", FILES)
def test_every_reader_names_what_a_file_is(tmp_path, reader, kind):
    name, text = FILES[reader]
    change, words = KINDS[kind]
    (tmp_path / name).write_bytes(change(text))
    with pytest.raises(DataError) as error:
        read(tmp_path, reader=reader)
    assert name in str(error.value)
    lines = "line 3" if text.count("\n") == 2 else "line"
    assert words.replace("line 3", lines).split("line: ")[-1] in str(error.value).replace(
        "line 4", "line 3"
    )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_usual_line_ends_and_marks_are_read(tmp_path, ends, encoding):
    (tmp_path / "shop.csv").write_bytes(TEXT.replace("\n", ends).encode(encoding))
    assert read(tmp_path).item_ids == ["mug", "tea"]


def test_gzip_is_told_by_its_bytes(tmp_path):
    (tmp_path / "shop.csv").write_bytes(gzip.compress(TEXT.encode()))
    assert read(tmp_path).user_ids == ["ann", "bo"]


def test_a_packed_name_stands_for_the_plain_one(tmp_path):
    assert existing(tmp_path / "a.csv") == tmp_path / "a.csv"
    (tmp_path / "a.csv.zip").touch()
    assert existing(tmp_path / "a.csv").name == "a.csv.zip"
    (tmp_path / "a.csv").touch()
    assert existing(tmp_path / "a.csv").name == "a.csv"


def write_zip(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name.replace("_", "."), text)


def test_an_archive_beside_a_single_file_has_one_member(tmp_path):
    write_zip(tmp_path / "shop.csv.zip", shop_csv=TEXT, more_csv=TEXT)
    with pytest.raises(
        DataError, match=r"shop\.csv\.zip: holds 2 files where one is read; unpack it"
    ):
        list(read_lines(tmp_path / "shop.csv.zip"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LKGRAG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("fault", ["cut", "changed", "no archive", "locked"])
def test_a_broken_archive_is_named_and_leaves_nothing(tmp_path, cache, fault):
    path = tmp_path / "shop.zip"
    write_zip(path, shop_csv=TEXT * 100)
    content = bytearray(path.read_bytes())
    if fault == "cut":
        content = content[: len(content) // 2]
    elif fault == "changed":
        content[50] ^= 0xFF
    elif fault == "locked":
        # The flag of encryption, of the file and of the directory.
        content[6] |= 1
        at = content.rindex(b"PK\x01\x02")
        content[at + 8 : at + 10] = struct.pack("<H", 1)
    else:
        content = bytearray(b"PK\x03\x04 no archive")
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"shop\.zip"):
        read(path)
    assert not [p for p in cache.rglob("*") if p.is_file()]


def test_names_in_an_archive_lead_nowhere_else(tmp_path, cache):
    with zipfile.ZipFile(tmp_path / "shop.zip", "w") as archive:
        archive.writestr("../../../shop.csv", TEXT)
        archive.writestr("/items.csv", "item,title\nmug,A mug\n")
    assert read(tmp_path / "shop.zip").titles == ["A mug", "tea"]
    assert not list(tmp_path.glob("*.csv"))
    assert all(cache in p.parents for p in tmp_path.rglob("*.csv"))


def test_an_archive_that_changed_is_unpacked_anew(tmp_path, cache):
    write_zip(tmp_path / "shop.zip", shop_csv=TEXT)
    assert read(tmp_path / "shop.zip").user_ids == ["ann", "bo"]
    write_zip(tmp_path / "shop.zip", shop_csv=TEXT.replace("ann", "cy"))
    assert read(tmp_path / "shop.zip").user_ids == ["bo", "cy"]


def test_archives_of_single_files_are_read_together(tmp_path, cache):
    write_zip(tmp_path / "ratings.zip", ratings_csv=FILES["movielens"][1])
    write_zip(tmp_path / "movies.zip", movies_csv="movieId,title,genres\n1,Up (2009),A\n")
    assert read(tmp_path).titles == ["Up"]
    write_zip(tmp_path / "again.zip", movies_csv="x")
    with pytest.raises(DataError, match="is in another archive too"):
        read(tmp_path)


def test_several_folders_with_data_are_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ratings.csv").write_text(FILES["movielens"][1])
    with pytest.raises(DataError, match=r"several folders hold a data set \(a, b\): give one"):
        read(tmp_path)
    (tmp_path / "b" / "ratings.csv").unlink()
    assert len(read(tmp_path)) == 1
    assert len(read(tmp_path, reader="movielens")) == 1


def test_a_workbook_is_named(tmp_path):
    (tmp_path / "shop.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"shop\.xlsx: save the workbook as CSV"):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"x" * 100 + b"PAR1"])
def test_broken_parquet(tmp_path, content):
    (tmp_path / "shop.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"shop\.parquet") as error:
        read(tmp_path, reader="table")
    assert "\n" not in str(error.value)


def test_a_folder_of_parquet_files(tmp_path):
    folder = tmp_path / "shop.parquet"
    folder.mkdir()
    table = pd.DataFrame(
        {
            "user_id": [1, 2],
            "item_id": [10, None],
            "event_time": pd.to_datetime(["2020-01-01", "2020-01-02"]),
        }
    )
    table.iloc[:1].to_parquet(folder / "part-0.parquet")
    table.iloc[:1].assign(user_id=3).to_parquet(folder / "part-1.parquet")
    (folder / "_SUCCESS").touch()
    x = read(tmp_path)
    assert (x.user_ids, x.item_ids, x.time[0]) == (["1", "3"], ["10"], 1577836800)
    table.iloc[1:].to_parquet(folder / "part-2.parquet")
    with pytest.raises(DataError, match=r"row 3, field 'item_id': the id is empty"):
        read(tmp_path)


def test_two_processes_may_unpack_at_once(tmp_path, cache, monkeypatch):
    from lkgrag.data.readers import archives

    write_zip(tmp_path / "shop.zip", shop_csv=TEXT)
    unpack_one = archives._unpack_one

    def slower(path, folder):
        unpack_one(path, folder)
        monkeypatch.setattr(archives, "_unpack_one", unpack_one)
        # Another process was faster.
        archives.unpack([path])

    monkeypatch.setattr(archives, "_unpack_one", slower)
    assert read(tmp_path / "shop.zip").user_ids == ["ann", "bo"]
    assert [p.name for p in cache.rglob("*") if p.is_file()] == ["shop.csv"]
    assert len(list((cache / "unpacked").iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    write_zip(tmp_path / "shop.zip", shop_csv=TEXT)
    (tmp_path / "file").touch()
    monkeypatch.setenv("LKGRAG_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"shop\.zip: cannot be unpacked to .*set LKGRAG_CACHE"):
        read(tmp_path / "shop.zip")


@pytest.mark.parametrize("separator", [";", "|", ","])
@pytest.mark.parametrize(
    ("name", "text", "sep"),
    [
        ("u.data", "1\t1\t1\t1\n", "\t"),
        ("ratings.dat", "1::1::1::1\n", "::"),
        ("shop.inter", "user_id:token\titem_id:token\nann\tmug\n", "\t"),
    ],
)
def test_another_separator_is_named_with_the_option_that_reads_it(
    tmp_path, name, text, sep, separator
):
    (tmp_path / name).write_text(text.replace(sep, separator))
    with pytest.raises(DataError, match=rf"{name}: line 1") as error:
        read(tmp_path)
    assert repr(separator) in str(error.value)
    assert "data.separator" in str(error.value)
