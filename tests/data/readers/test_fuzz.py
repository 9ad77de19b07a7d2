"""Broken files: every reader gives interactions or an error of ours, never another, and never hangs."""

import gzip
import io
import json
import signal
import zipfile
import zlib

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lkgrag.config import DataConfig
from lkgrag.data import Interactions
from lkgrag.data.readers import read_tables
from lkgrag.errors import LkgragError

#: Broken files that each reader gets.
EXAMPLES = 500
#: Seconds that one may take; the valid files take a few milliseconds.
LIMIT = 5

ROWS = [(f"u{u}", f"i{i}", 1 + (u + i) % 5, 1_400_000_000 + i) for u in range(3) for i in range(4)]


def lines(separator, header=""):
    return (header + "".join(separator.join(map(str, row)) + "\n" for row in ROWS)).encode()


def numbered(separator):
    return lines(separator).replace(b"u", b"1").replace(b"i", b"2")


def objects(*fields):
    """The rows as one object a line."""
    return "".join(json.dumps(dict(zip(fields, row, strict=True))) + "\n" for row in ROWS).encode()


def parquet():
    file = io.BytesIO()
    pd.DataFrame(ROWS, columns=["user", "item", "rating", "time"]).to_parquet(file)
    return file.getvalue()


def zipped(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


GOODS = b'id,name,kind,price\ni0,"A, b",x|y,1.5\ni1,B,"[\'x\']",2\n'
#: By reader (and a word for the kind of files): its valid files.
LAYOUTS = {
    "recbole": {
        "x.inter": lines("\t", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"),
        "x.item": b"item_id:token\ttitle:token_seq\tclass:token_seq\ni0\tOne (1999)\ta b\ni1\t\tb\n",
        "x.user": b"user_id:token\tage:token\nu0\t33\nu1\t20\n",
        "x.kg": b"head_id:token\trelation_id:token\ttail_id:token\nm0\tby\tp\nm1\tby\tp\n",
        "x.link": b"item_id:token\tentity_id:token\ni0\tm0\ni1\tm1\n",
    },
    "movielens": {
        "ratings.csv": b"userId,movieId,rating,timestamp\n" + numbered(","),
        "movies.csv": b'movieId,title,genres\n20,"Heat, The (1995)",A|B\n21,Up,(no genres listed)\n',
        "movies_metadata.csv": b",movieId,directors,actors\n0,20,A B,C|D\n",
        "tags.csv": b"userId,movieId,tag,timestamp\n10,20,Slow,1\n11,20,slow,1\n",
    },
    "movielens-100k": {
        "u.data": numbered("\t"),
        "u.item": b"".join(
            b"%d|Caf\xe9 (1995)|d||u|" % item + b"|".join([b"0", b"1"] * 9 + [b"0"]) + b"\n"
            for item in (20, 21)
        ),
        "u.user": b"10|24|M|technician|85711\n11|53|F|other|94043\n",
    },
    "movielens-dat": {
        "ratings.dat": numbered("::"),
        "movies.dat": b"20::Caf\xe9: A (1995)::Drama|War\n21::B::\n",
        "users.dat": b"10::F::56::16::70072\n11::M::18::1::1\n",
    },
    "amazon": {
        "ratings_A.csv.gz": gzip.compress(lines(","), mtime=0),
        "meta_A.json.gz": gzip.compress(
            b'{"asin": "i0", "title": "One", "brand": "X", "categories": [["A", "B"]], '
            b'"related": {"also_bought": ["i1", "z"]}}\n'
            b"{'asin': 'i1', 'title': \"It's\", 'categories': [['A', 'C']]}\n",
            mtime=0,
        ),
    },
}

LAYOUTS |= {
    "amazon 2018": {
        "A.csv": b"".join(
            b"B00000000%d,A1RSDE90N6RSZ%d,5.0,140000000%d\n" % (i, u, i)
            for u in range(3)
            for i in range(4)
        ),
        "meta_A.json": b'{"asin": "B000000000", "title": "One", "brand": "by\\n X", "category": ["A", "B"], '
        b'"also_buy": ["B000000001"], "details": {"Series:": "s"}}\n',
    },
    "amazon 2023": {
        "A.jsonl": objects("user_id", "parent_asin", "rating", "timestamp"),
        "meta_A.jsonl": b'{"parent_asin": "i0", "title": "One", "store": "S", "details": {"Color": "red"}, '
        b'"categories": ["A"], "bought_together": ["i1"], "author": {"name": "Ann"}}\n',
    },
    "amazon 5-core": {
        "A.train.csv": b"user_id,parent_asin,rating,timestamp,history\n"
        + b"".join(b"u%d,i%d,5.0,1400000000000,i0 i1\n" % (u, 2) for u in range(3)),
        "A.test.csv": b"user_id,parent_asin,rating,timestamp,history\nu0,i3,1.0,1400000001000,i0 i1 i2\n",
    },
    "recbole benchmark": {
        "x.train.inter": b"user_id:token\titem_id_list:token_seq\titem_id:token\nu0\ti0\ti1\nu1\ti1 i2\ti0\n",
        "x.test.inter": b"user_id:token\titem_id_list:token_seq\titem_id:token\nu0\ti0 i1\ti2\n",
    },
    "table csv": {
        "x.csv": lines(",", "User ID,item,Rating,Timestamp\n"),
        "items.csv": GOODS,
        "users.tsv": b"user\tcity\nu0\tRome\n",
        "triples.csv": b"head,relation,tail\ni0,by,p\n",
    },
    "table jsonl": {
        "x.jsonl.gz": gzip.compress(objects("user", "item", "rating", "time"), mtime=0),
        "items.jsonl": b'{"item": "i0", "title": "A", "kind": ["x", "y"], "price": 1.5, "more": {"a": 1}}\n',
    },
    "table zip": {
        "x.zip": zipped({"x/x.csv": lines(",", "user,item,rating,time\n"), "x/items.csv": GOODS})
    },
    "table csv.zip": {"x.csv.zip": zipped({"x.csv": lines(",", "user,item,rating,time\n")})},
    "table parquet": {"x.parquet": parquet(), "items.csv": GOODS},
}

#: What is put into files: separators, quotes, marks, numbers beyond the range, words of JSON.
PIECES = [
    b"\0", b"\t", b",", b"::", b"|", b'"', b"'", b"\n", b"\r", b"\r\n\r\n", b"\xff\xfe", b"\xef\xbb\xbf",
    b"\xed\xa0\x80", "\u2028é".encode(), b"nan", b"inf", b"-1", b"1e400", b"9" * 400, b"0x1F", b"1_0",
    b"x" * 200_000, b"9" * 5_000, b"(" * 3_000, b"[" * 100_000, b"{", b"}", b"null", b"[]", b'"\\ud800"',
    b"__import__('os')", b"2015-03-31", b"1400000000000", b" " * 100_000, b"-" * 100_000, b"1+" * 50_000, b"(1" * 50_000, b":token", b":float", b"", b" ",
]  # fmt: skip
PLACE = st.integers(0, 2**16)
CHANGES = st.one_of(
    st.tuples(st.just("cut"), PLACE, st.just(b"")),
    st.tuples(st.just("drop"), PLACE, st.binary(max_size=20)),
    st.tuples(st.just("flip"), PLACE, st.binary(min_size=1, max_size=1)),
    st.tuples(st.just("put"), PLACE, st.sampled_from(PIECES)),
    st.tuples(st.just("write"), PLACE, st.sampled_from(PIECES)),
    st.tuples(st.just("twice"), PLACE, st.just(b"")),
    st.tuples(st.just("line"), PLACE, st.sampled_from(PIECES)),
    st.tuples(st.just("swap"), PLACE, st.sampled_from([b"\t", b",", b"::", b"|", b" ", b";"])),
    st.tuples(
        st.just("header"), PLACE, st.sampled_from([b"a,b,c,d", b"user_id\titem_id", b"\n", b""])
    ),
    st.tuples(st.just("random"), PLACE, st.binary(max_size=60)),
    st.tuples(st.just("remove"), PLACE, st.just(b"")),
)


def changed(content, how, place, piece):
    """One fault in the bytes of a file."""
    place %= len(content) + 1
    if how == "cut":
        return content[:place]
    if how == "drop":
        return content[:place] + content[place + 1 + len(piece) :]
    if how == "flip":
        return (
            content[:place]
            + bytes(b ^ (piece[0] or 1) for b in content[place : place + 1])
            + content[place + 1 :]
        )
    if how == "put":
        return content[:place] + piece + content[place:]
    if how == "write":
        return content[:place] + piece + content[place + len(piece) :]
    if how == "random":
        return piece
    if how == "swap":
        for old in (b"\t", b"::", b"|", b","):
            if old in content and old != piece:
                return content.replace(old, piece)
        return content
    rows = content.split(b"\n")
    row = place % len(rows)
    if how == "header":
        return b"\n".join([piece, *rows[1:]])
    if how == "line":
        return b"\n".join([*rows[:row], piece, *rows[row:]])
    return b"\n".join([*rows[: row + 1], *rows[row:]])


def broken(files, faults):
    """The files with faults, each in the file (or, of a gzip, in what it holds) that it names."""
    names, out = sorted(files), dict(files)
    for number, inside, (how, place, piece) in faults:
        name = names[number % len(names)]
        if name not in out:
            continue
        if how == "remove":
            del out[name]
        elif name.endswith(".gz") and inside:
            try:
                out[name] = gzip.compress(
                    changed(gzip.decompress(out[name]), how, place, piece), mtime=0
                )
            except (OSError, EOFError, zlib.error):
                out[name] = changed(out[name], how, place, piece)
        else:
            out[name] = changed(out[name], how, place, piece)
    return out


class Hang(BaseException):
    """A file that took too long; no reader can mistake it for a fault of the file."""


def stop(signum, frame):
    raise Hang(f"more than {LIMIT} seconds")


#: Mostly the usual options: others refuse more of the files before much of them was read.
OPTIONS = st.sampled_from([False, False, True]).flatmap(
    lambda other: OTHER if other else st.just({})
)
OTHER = st.fixed_dictionaries(
    {},
    optional={
        "duplicates": st.sampled_from(["error", "first", "last", "keep"]),
        "time_unit": st.sampled_from(["s", "ms", "date", "any"]),
        "untitled": st.just("drop"),
        "min_rating": st.just(3.0),
        "ties": st.sampled_from(["file", "id"]),
        "separator": st.sampled_from([",", "::", " "]),
    },
)


def outcome(folder, name, files, options):
    """None for interactions, the error of ours otherwise."""
    for path in folder.iterdir():
        path.unlink()
    for file, content in files.items():
        (folder / file).write_bytes(content)
    config = DataConfig(
        name="x",
        root=str(folder),
        reader=name.partition(" ")[0],
        **{"min_user": 1, "min_item": 1, **options},
    )
    # Seconds of this process, whatever else the machine does.
    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        x = Interactions.from_tables(read_tables(config)[0], config)
    except LkgragError as error:
        return error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    assert x.num_users
    assert len(x.titles) == x.num_items == len(x.items)
    assert x.indptr[-1] == len(x.item)
    return None


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Where archives are unpacked."""
    monkeypatch.setenv("LKGRAG_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_valid_files_are_read(tmp_path, name):
    assert outcome(tmp_path, name, LAYOUTS[name], {}) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_broken_files_are_an_error_of_ours(tmp_path, name):
    seen = {"read": 0, "refused": 0}

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        faults=st.lists(
            st.tuples(st.integers(0, 9), st.booleans(), CHANGES), min_size=1, max_size=2
        ),
        options=OPTIONS,
    )
    def check(faults, options):
        error = outcome(tmp_path, name, broken(LAYOUTS[name], faults), options)
        seen["read" if error is None else "refused"] += 1
        if error is not None:
            assert len(str(error).splitlines()) == 1, str(error)
            assert len(str(error)) < 1000

    check()
    # Both must happen, or the files are broken too little or too much to say anything.
    assert sum(seen.values()) >= EXAMPLES
    assert min(seen.values()) > EXAMPLES / 25, seen
