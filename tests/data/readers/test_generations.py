"""Every published layout in one table: what the files are, and what must come out, however they are packed."""

import gzip
import io
import json
import zipfile

import pandas as pd
import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Interactions
from lkgrag.data.readers.location import locate
from lkgrag.data.readers.reading import data_folder, files_digest, read_tables

#: Two users and two items, of Amazon's shapes.
U, V = "A1RSDE90N6RSZF", "A2SUAM1J3GNN3B"
P, Q = "B00004Y2UT", "0132793040"
T = 1_400_000_000
AMAZON = [(U, P, 5.0, T), (U, Q, 3.0, T + 1), (V, P, 4.0, T)]


def objects(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def reviews(*names, scale=1, more=()):
    rows = [dict(zip(names, (u, i, r, t * scale), strict=True)) for u, i, r, t in AMAZON]
    return objects(*({**row, **dict(more), "reviewText": "x, \n"} for row in rows))


def rows(separator, *order, events=AMAZON, header=""):
    return header + "".join(separator.join(str(e[n]) for n in order) + "\n" for e in events)


META_2014 = (
    json.dumps(
        {
            "asin": P, "title": "One &amp; two", "price": 9.99, "imUrl": "http://x", "brand": "X",
            "related": {"also_bought": [Q, "B000000000"], "bought_together": [Q]},
            "salesRank": {"Toys": 3}, "categories": [["All", "P", "Q"]],
        }
    )
    + f"\n{{'asin': '{Q}', 'title': \"It's\", 'categories': [['All', 'P']]}}\n"
)  # fmt: skip
META_2018 = objects(
    {
        "asin": P, "title": "One &amp; two", "feature": ["f"], "description": ["d"], "price": "$9.99",
        "imageURL": ["http://x"], "also_buy": [Q, "B000000000"], "also_view": [Q], "rank": "3 in Toys",
        "brand": "by\n    \n    X", "category": ["All", "P", "Q", "</span></span>"], "main_cat": "All",
        "tech1": "", "details": {"Shipping Weight:": "1 pound", "ASIN: ": P}, "similar_item": "<p>",
    },
    {"asin": Q, "title": "It's", "also_buy": [], "category": ["All", "P"], "details": "", "tech2": ""},
)  # fmt: skip
META_2023 = objects(
    {
        "main_category": "All", "title": "One &amp; two", "average_rating": 4.5, "rating_number": 9,
        "features": ["f"], "description": ["d"], "price": 9.99, "images": [{"thumb": "http://x"}],
        "videos": [], "store": "X shop", "categories": ["All", "P", "Q"],
        "details": {"Brand": "X", "Color": "Red", "Best Sellers Rank": {"Toys": 3}, "UPC": "1"},
        "parent_asin": P, "bought_together": [Q, "B000000000"],
    },
    {"title": "It's", "store": "Y", "categories": ["All", "P"], "details": {}, "parent_asin": Q,
     "bought_together": None, "author": {"avatar": "http://x", "name": "Ann"}},
)  # fmt: skip
TITLES = {P: "One & two", Q: "It's"}


def of_meta(relations, **more):
    return {
        "titles": TITLES,
        "items": {P: {"brand": ["X"], "category": ["P", "Q"]}, Q: {"category": ["P"]}}
        if not more
        else more["items"],
        "triples": [(P, r, Q) for r in relations],
    }


ITEMS_2023 = {
    P: {"brand": ["X"], "category": ["P", "Q"], "color": ["Red"]},
    Q: {"brand": ["Y"], "category": ["P"], "author": ["Ann"]},
}
R2014 = ("reviewerID", "asin", "overall", "unixReviewTime")
R2023 = ("user_id", "parent_asin", "rating", "timestamp")
MORE_2018 = {"verified": True, "style": {"Color:": " Red"}, "vote": "2", "image": []}
MORE_2023 = {"asin": "B0VARIANT1", "title": "t", "text": "x", "images": [], "helpful_vote": 0}
CORE_2023 = "user_id,parent_asin,rating,timestamp\n"
SPLIT_2023 = "user_id,parent_asin,rating,timestamp,history\n"

FILMS = [("1", "20", 5.0, T), ("1", "21", 3.0, T + 1), ("2", "20", 4.0, T)]
CSV = {
    "ratings.csv": rows(",", 0, 1, 2, 3, events=FILMS, header="userId,movieId,rating,timestamp\n"),
    "movies.csv": 'movieId,title,genres\n20,"Heat, The (1995)",A|B\n21,Up,(no genres listed)\n',
    "tags.csv": "userId,movieId,tag,timestamp\n1,20,Slow,1\n2,20,slow,1\n1,20,mine,1\n",
    "links.csv": "movieId,imdbId,tmdbId\n20,0113277,949\n",
    "README.txt": "Summary\n",
}
OF_CSV = {
    "titles": {"20": "Heat, The", "21": "Up"},
    "items": {"20": {"genre": ["A", "B"], "year": ["1995"], "tag": ["slow"]}},
}
GENOME = {
    "genome-scores.csv": "movieId,tagId,relevance\n20,1,0.03\n",
    "genome-tags.csv": "tagId,tag\n1,007\n",
}
FLAGS = "|".join("1" if n in (1, 18) else "0" for n in range(19))
PLAIN = [("ann", "mug", 5.0, T), ("ann", "tea", 3.0, T + 1), ("bo", "mug", 4.0, T)]
GOODS = (
    "item,title,kind,price,text\nmug,A mug,dishes|gifts,1.5,"
    + "long " * 40
    + "\ntea,Green tea,food,2.25,\n"
)
OF_GOODS = {
    "titles": {"mug": "A mug", "tea": "Green tea"},
    "items": {"mug": {"kind": ["dishes", "gifts"]}, "tea": {"kind": ["food"]}},
}
PEOPLE = "User ID,city\nann,Rome\nbo,\n"
TRIPLES = "head\trelation\ttail\nmug\tgoes_with\ttea\n"
OF_PLAIN = {
    **OF_GOODS,
    "users": {"ann": {"city": ["Rome"]}},
    "triples": [("mug", "goes_with", "tea")],
}


def parquet(frame):
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


def frame(events=PLAIN, **columns):
    names = list(columns)
    return pd.DataFrame(events, columns=["u", "i", "r", "t"]).set_axis(names, axis=1)


TABLE = frame(user_id=0, item_id=0, rating=0, timestamp=0)

#: By layout: reader, files, and what differs from the usual events; then titles, items, users, triples, options.
LAYOUTS = {
    # Amazon 2014: ratings and reviews, whole and 5-core.
    "amazon 2014 csv": ("amazon", {"ratings_X.csv": rows(",", 0, 1, 2, 3), "meta_X.json": META_2014},
                        AMAZON, of_meta(["also_bought", "bought_together"])),
    "amazon 2014 json": ("amazon", {"reviews_X.json": reviews(*R2014), "meta_X.json": META_2014},
                         AMAZON, of_meta(["also_bought", "bought_together"])),
    "amazon 2014 5-core": ("amazon", {"reviews_X_5.json": reviews(*R2014), "meta_X.json": META_2014},
                           AMAZON, of_meta(["also_bought", "bought_together"])),
    # Amazon 2018: other names of files, the item first where there is no header.
    "amazon 2018 csv": ("amazon", {"All_Beauty.csv": rows(",", 1, 0, 2, 3), "meta_All_Beauty.json": META_2018},
                        AMAZON, of_meta(["also_buy", "also_view"])),
    "amazon 2018 csv, no metadata": ("amazon", {"ratings_All_Beauty.csv": rows(",", 1, 0, 2, 3)}, AMAZON, {}),
    "amazon 2018 json": ("amazon", {"All_Beauty.json": reviews(*R2014, more=MORE_2018), "meta_All_Beauty.json": META_2018},
                         AMAZON, of_meta(["also_buy", "also_view"])),
    "amazon 2018 5-core": ("amazon", {"All_Beauty_5.json": reviews(*R2014, more=MORE_2018), "meta_All_Beauty.json": META_2018},
                           AMAZON, of_meta(["also_buy", "also_view"])),
    # Amazon 2023: milliseconds, parents, histories.
    "amazon 2023": ("amazon", {"All_Beauty.jsonl": reviews(*R2023, scale=1000, more=MORE_2023), "meta_All_Beauty.jsonl": META_2023},
                    AMAZON, of_meta(["bought_together"], items=ITEMS_2023)),
    "amazon 2023 5-core": ("amazon", {"All_Beauty.csv": CORE_2023 + "".join(f"{u},{i},{r},{t}000\n" for u, i, r, t in AMAZON),
                                      "meta_All_Beauty.jsonl": META_2023},
                           AMAZON, of_meta(["bought_together"], items=ITEMS_2023)),
    "amazon 2023 5-core in parts": (
        "amazon",
        {"X.train.csv": SPLIT_2023 + f"{U},{P},5.0,{T}000,\n{V},{P},4.0,{T}000,\n",
         "X.valid.csv": SPLIT_2023, "X.test.csv": SPLIT_2023 + f"{U},{Q},3.0,{T + 1}000,{P}\n"},
        AMAZON, {}),
    # MovieLens.
    "movielens 100K": ("movielens-100k", {"u.data": rows("\t", 0, 1, 2, 3, events=FILMS).replace(".0\t", "\t"),
                                          "u.item": f"20|Heat, The (1995)|d||u|{FLAGS}\n",
                                          "u.user": "1|24|M|technician|85711\n", "u.genre": "Action|1\n", "README": "x"},
                       FILMS, {"titles": {"20": "Heat, The"}, "items": {"20": {"genre": ["Action", "Western"], "year": ["1995"]}},
                               "users": {"1": {"gender": ["M"], "occupation": ["technician"], "age": ["20s"]}}}),
    "movielens 1M": ("movielens-dat", {"ratings.dat": rows("::", 0, 1, 2, 3, events=FILMS), "movies.dat": "20::Heat, The (1995)::A|B\n",
                                       "users.dat": "1::F::56::16::70072\n", "README": "x"},
                     FILMS, {"titles": {"20": "Heat, The"}, "items": {"20": {"genre": ["A", "B"], "year": ["1995"]}},
                             "users": {"1": {"gender": ["F"], "occupation": ["16"], "age": ["56 or older"]}}}),
    "movielens 10M": ("movielens-dat", {"ratings.dat": rows("::", 0, 1, 2, 3, events=FILMS), "movies.dat": "20::Heat, The (1995)::A|B\n",
                                        "tags.dat": "1::20::slow::1\n2::20::Slow::1\n1::20::mine::1\n", "README.html": "x"},
                      FILMS, {"titles": {"20": "Heat, The"}, "items": {"20": {"genre": ["A", "B"], "year": ["1995"], "tag": ["slow"]}}}),
    "movielens 20M": ("movielens", {**CSV, **GENOME}, FILMS, OF_CSV),
    "movielens 25M": ("movielens", {**CSV, **GENOME}, FILMS, OF_CSV),
    "movielens 32M": ("movielens", {**CSV, "checksums.txt": "x\n"}, FILMS, OF_CSV),
    "movielens latest": ("movielens", {**CSV, **GENOME}, FILMS, OF_CSV),
    "movielens latest-small": ("movielens", CSV, FILMS, OF_CSV),
    "movielens, names in another case": ("movielens", {**CSV, "ratings.csv": rows(",", 0, 1, 2, 3, events=FILMS, header="UserID,MovieID,Rating,Timestamp\n")}, FILMS, OF_CSV),
    "movielens, semicolons": ("movielens", {"ratings.csv": rows(";", 0, 1, 2, 3, events=FILMS, header="userId;movieId;rating;timestamp\n")}, FILMS, {}),
    # RecBole, whole and as benchmarks.
    "recbole": ("recbole", {"x.inter": rows("\t", 0, 1, 2, 3, events=PLAIN, header="user_id:token\titem_id:token\trating:float\ttimestamp:float\n"),
                            "x.item": "item_id:token\ttitle:token_seq\tkind:token_seq\nmug\tA mug\tdishes gifts\ntea\tGreen tea\tfood\n",
                            "x.kg": "head_id:token\trelation_id:token\ttail_id:token\nmug\tgoes_with\ttea\n"},
                PLAIN, {**OF_GOODS, "triples": [("mug", "goes_with", "tea")], "options": {"name": "x"}}),
    "recbole benchmark": ("recbole", {"x.train.inter": rows("\t", 0, 1, events=[PLAIN[0], PLAIN[2]], header="user_id:token\titem_id:token\n"),
                                      "x.valid.inter": "user_id:token\titem_id:token\nbo\ttea\n",
                                      "x.test.inter": "user_id:token\titem_id:token\nann\ttea\n"},
                          [("ann", "mug"), ("bo", "mug"), ("bo", "tea"), ("ann", "tea")], {"options": {"name": "x"}}),
    "recbole benchmark with histories": (
        "recbole",
        {"x.train.inter": "user_id:token\titem_id_list:token_seq\titem_id:token\nann\ta\tb\nbo\td\ta\n",
         "x.valid.inter": "user_id:token\titem_id_list:token_seq\titem_id:token\nann\ta b\tc\n",
         "x.test.inter": "user_id:token\titem_id_list:token_seq\titem_id:token\nann\tb c\td\n"},
        [("ann", "a"), ("ann", "b"), ("ann", "c"), ("ann", "d"), ("bo", "d"), ("bo", "a")], {"options": {"name": "x"}}),
    # Plain tables.
    "csv": ("table", {"shop.csv": rows(",", 0, 1, 2, 3, events=PLAIN, header="User_ID,ITEM,Rating,Timestamp\n"),
                      "items.csv": GOODS, "users.csv": PEOPLE, "triples.tsv": TRIPLES}, PLAIN, OF_PLAIN),
    "tsv with items in json": ("table", {"interactions.tsv": rows("\t", 0, 1, 2, 3, events=PLAIN, header="customer\tproduct_id\tstars\tts\n"),
                                         "products.jsonl": objects({"product_id": "mug", "name": "A mug", "kind": ["dishes", "gifts"], "price": 1.5},
                                                                   {"product_id": "tea", "name": "Green tea", "kind": ["food"]})}, PLAIN, OF_GOODS),
    "jsonl": ("table", {"events.jsonl": objects(*TABLE.to_dict("records")), "items.csv": GOODS}, PLAIN, OF_GOODS),
    "json list": ("table", {"events.json": json.dumps(TABLE.to_dict("records")), "items.csv": GOODS}, PLAIN, OF_GOODS),
    "semicolons and decimal commas": ("table", {"clicks.csv": rows(";", 0, 1, 2, 3, events=PLAIN, header="user;item;rating;time\n").replace(".0;", ",0;")}, PLAIN, {}),
    "columns of other names": ("table", {"shop.csv": rows(",", 0, 1, 2, 3, events=PLAIN, header="who,what,how,when\n"), "items.csv": GOODS},
                               PLAIN, {**OF_GOODS, "options": {"columns": {"user": "who", "item": "what", "rating": "how", "time": "when"}}}),
    "parquet": ("table", {"interactions.parquet": parquet(TABLE), "items.csv": GOODS}, PLAIN, OF_GOODS),
    "dates": ("table", {"orders.csv": "customer id,sku,order date\n" + "".join(f"{u},{i},2014-05-13T16:53:2{t - T}\n" for u, i, _, t in PLAIN)},
              [(u, i, None, t) for u, i, _, t in PLAIN], {}),
    "parts": ("table", {"train.csv": "user,item,time\n" + f"ann,mug,{T}\nbo,mug,{T}\n", "test.csv": f"user,item,time\nann,tea,{T + 1}\n"},
              [(u, i, None, t) for u, i, _, t in (PLAIN[0], PLAIN[2], PLAIN[1])], {}),
}  # fmt: skip


def bytes_of(content):
    return content if isinstance(content, bytes) else content.encode()


def plainly(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(bytes_of(content))
    return folder


def gzipped(folder, files):
    for name, content in files.items():
        is_packed = not name.endswith(".parquet") and "README" not in name
        data = gzip.compress(bytes_of(content), mtime=0) if is_packed else bytes_of(content)
        (folder / (name + ".gz" if is_packed else name)).write_bytes(data)
    return folder


def zipped_each(folder, files):
    for name, content in files.items():
        if name.endswith(".parquet"):
            (folder / name).write_bytes(content)
            continue
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            archive.writestr(name, bytes_of(content))
    return folder


def deeper(folder, files):
    (folder / "inner").mkdir()
    (folder / "notes").mkdir()
    plainly(folder / "inner", files)
    return folder


def archive(folder, files):
    path = folder / "set.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            file.writestr(f"ml/{name}", bytes_of(content))
        file.writestr("__MACOSX/ml/._x", b"\0")
    return path


def folder_of_archive(folder, files):
    return archive(folder, files).parent


PACKINGS = [plainly, gzipped, zipped_each, deeper, archive, folder_of_archive]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LKGRAG_CACHE", str(tmp_path / "cache"))


def known(table, ids):
    columns = [c for c in table.columns if c != "title"]
    found = {
        i: {c: row[c] for c in columns if row[c]}
        for i, (_, row) in zip(ids, table.iterrows(), strict=True)
    }
    return {i: row for i, row in found.items() if row}


@pytest.mark.parametrize("packing", PACKINGS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read(tmp_path, layout, packing):
    reader, files, events, expected = LAYOUTS[layout]
    folder = tmp_path / "data"
    folder.mkdir()
    root = packing(folder, files)
    options = {"name": "shop", **expected.get("options", {})}
    config = DataConfig(root=str(root), min_user=1, min_item=1, **options)
    assert locate(data_folder(config), config).reader.name == reader
    tables, digest = read_tables(config)
    assert files_digest(config) == digest
    pairs = list(zip(tables.interactions["user"], tables.interactions["item"], strict=True))
    assert sorted(pairs) == sorted((e[0], e[1]) for e in events)
    x = Interactions.from_tables(tables, config)
    for user, item, *rest in events:
        place = x.user_ids.index(user)
        span = slice(x.indptr[place], x.indptr[place + 1])
        at = x.item[span].tolist().index(x.item_ids.index(item))
        if rest:
            rating, time = rest
            assert x.time[span][at] == time
            assert (
                (x.rating[span][at] == rating)
                if rating is not None
                else x.rating[span][at] != x.rating[span][at]
            )
    # The files' order within a user is the order of time.
    order = {u: [e[1] for e in events if e[0] == u] for u in x.user_ids}
    assert {u: [x.item_ids[i] for i in x.sequence(n)] for n, u in enumerate(x.user_ids)} == order
    titles = {i: t for i, t in zip(x.item_ids, x.items["title"], strict=True) if t is not None}
    assert titles == expected.get("titles", {})
    assert known(x.items, x.item_ids) == expected.get("items", {})
    assert known(x.users, x.user_ids) == expected.get("users", {})
    assert sorted(map(tuple, x.triples.to_numpy().tolist())) == sorted(expected.get("triples", []))
