"""The suite of every built-in reader."""

import gzip

from lkgrag.data.readers import BUILT_IN
from lkgrag.data.readers.amazon import Amazon, Amazon2014
from lkgrag.data.readers.movielens import MovieLens100K, MovieLensCSV, MovieLensDat
from lkgrag.data.readers.recbole import RecBole
from lkgrag.data.readers.table import TableReader
from lkgrag.testing import ReaderSample, ReaderTests

EVENTS = [("1", "20", 5.0, 100.0), ("1", "21", 3.0, 101.0), ("2", "20", 4.0, 100.0)]


def rows(separator, events=EVENTS):
    return "".join(f"{separator.join([u, i, f'{r:g}', f'{t:g}'])}\n" for u, i, r, t in events)


class TestRecBole(ReaderTests):
    reader = RecBole

    def write(self, folder):
        files = {
            ".inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + rows("\t"),
            ".item": "item_id:token\tname:token_seq\tclass:token_seq\tprice:float\n"
            "20\tThe A\tg h\t1.5\n21\t\tg\t\n",
            ".user": "user_id:token\tage:token\n1\t33\n2\t\n",
            ".kg": "head_id:token\trelation_id:token\ttail_id:token\nm0\tmade_by\tm9\n",
            ".link": "item_id:token\tentity_id:token\n20\tm0\n",
        }
        for suffix, text in files.items():
            (folder / f"toy{suffix}").write_text(text)
        return ReaderSample(
            EVENTS,
            titles={"20": "The A"},
            items={"20": {"class": ["g", "h"]}, "21": {"class": ["g"]}},
            users={"1": {"age": ["33"]}},
            triples=[("m0", "made_by", "m9")],
            options={"name": "toy"},
        )


class TestMovieLensCSV(ReaderTests):
    reader = MovieLensCSV

    def write(self, folder):
        files = {
            "ratings": "userId,movieId,rating,timestamp\n" + rows(","),
            "movies": 'movieId,title,genres\n20,"Heat, The (1995)",A|B\n21,Up,(no genres listed)\n',
            "movies_metadata": ",movieId,directors,actors\n0,20,A B,C|D\n",
            "tags": "userId,movieId,tag,timestamp\n1,20,Slow,1\n2,20,slow,1\n1,20,mine,1\n",
        }
        for stem, text in files.items():
            (folder / f"{stem}.csv").write_text(text)
        heat = {
            "genre": ["A", "B"],
            "year": ["1995"],
            "director": ["A B"],
            "actor": ["C", "D"],
            "tag": ["slow"],
        }
        return ReaderSample(EVENTS, titles={"20": "Heat, The", "21": "Up"}, items={"20": heat})


class TestMovieLens100K(ReaderTests):
    reader = MovieLens100K

    def write(self, folder):
        (folder / "u.data").write_text(rows("\t"))
        flags = "|".join("1" if n in (1, 18) else "0" for n in range(19))
        (folder / "u.item").write_bytes(f"20|Caf\xe9 (1995)|d||u|{flags}\n".encode("latin-1"))
        (folder / "u.user").write_text("1|24|M|technician|85711\n2|53|F|other|94043\n")
        return ReaderSample(
            EVENTS,
            titles={"20": "Café"},
            items={"20": {"genre": ["Action", "Western"], "year": ["1995"]}},
            users={
                "1": {"gender": ["M"], "occupation": ["technician"], "age": ["20s"]},
                "2": {"gender": ["F"], "occupation": ["other"], "age": ["50s"]},
            },
        )


class TestMovieLensDat(ReaderTests):
    reader = MovieLensDat

    def write(self, folder):
        (folder / "ratings.dat").write_text(rows("::"))
        (folder / "movies.dat").write_bytes("20::Caf\xe9: A (1995)::Drama|War\n".encode("latin-1"))
        (folder / "users.dat").write_text("1::F::56::16::70072\n2::M::18::1::1\n")
        return ReaderSample(
            EVENTS,
            titles={"20": "Café: A"},
            items={"20": {"genre": ["Drama", "War"], "year": ["1995"]}},
            users={
                "1": {"gender": ["F"], "occupation": ["16"], "age": ["56 or older"]},
                "2": {"gender": ["M"], "occupation": ["1"], "age": ["18-24"]},
            },
        )


META = (
    '{"asin": "20", "title": "One &amp; two", "brand": "X", "categories": [["All", "P", "Q"]], '
    '"related": {"also_bought": ["21", "99"]}}\n'
    "{'asin': '21', 'title': \"It's\", 'categories': [['All', 'P']]}\n"
)
OF_META = {
    "titles": {"20": "One & two", "21": "It's"},
    "items": {"20": {"brand": ["X"], "category": ["P", "Q"]}, "21": {"category": ["P"]}},
    "triples": [("20", "also_bought", "21")],
}


class TestAmazonRatings(ReaderTests):
    reader = Amazon2014

    def write(self, folder):
        (folder / "ratings_Toy.csv").write_text(rows(","))
        (folder / "meta_Toy.json.gz").write_bytes(gzip.compress(META.encode()))
        return ReaderSample(EVENTS, **OF_META)


class TestAmazonReviews(ReaderTests):
    reader = Amazon2014

    def write(self, folder):
        lines = [
            f'{{"reviewerID": "{u}", "asin": "{i}", "overall": {r}, "unixReviewTime": {t}}}\n'
            for u, i, r, t in EVENTS[:-1]
        ]
        lines.append('{"reviewerID": "2", "asin": "20", "reviewText": "no figures"}\n')
        (folder / "reviews_Toy.json").write_text("".join(lines))
        (folder / "meta_Toy.json").write_text(META)
        return ReaderSample([*EVENTS[:-1], ("2", "20", None, None)], **OF_META)


class TestAmazon2018(ReaderTests):
    reader = Amazon

    def write(self, folder):
        (folder / "Toy.csv").write_text(
            "".join(f"B00000000{i[1]},A1RSDE90N6RSZ{u},{r},{t:g}\n" for u, i, r, t in EVENTS)
            .replace("100\n", "1400000100\n")
            .replace("101\n", "1400000101\n")
        )
        (folder / "meta_Toy.json").write_text(
            '{"asin": "B000000000", "title": "One", "category": ["All", "P"], "also_buy": ["B000000001"]}\n'
            '{"asin": "B000000001", "title": "Two", "category": ["All"], "also_view": []}\n'
        )
        events = [(f"A1RSDE90N6RSZ{u}", f"B00000000{i[1]}", r, t + 1.4e9) for u, i, r, t in EVENTS]
        first, second = "B000000000", "B000000001"
        return ReaderSample(
            events,
            titles={first: "One", second: "Two"},
            items={first: {"category": ["P"]}},
            triples=[(first, "also_buy", second)],
        )


class TestAmazon2023(ReaderTests):
    reader = Amazon

    def write(self, folder):
        lines = [
            f'{{"user_id": "{u}", "asin": "x", "parent_asin": "{i}", "rating": {r}, "timestamp": {t * 1e3 + 1.4e12:g}}}\n'
            for u, i, r, t in EVENTS
        ]
        (folder / "Toy.jsonl").write_text("".join(lines))
        (folder / "meta_Toy.jsonl").write_text(
            '{"parent_asin": "20", "title": "One", "store": "S", "details": {"Color": "red"}, '
            '"categories": ["P"], "bought_together": ["21"]}\n'
        )
        return ReaderSample(
            [(u, i, r, float(f"{t * 1e3 + 1.4e12:g}") / 1e3) for u, i, r, t in EVENTS],
            titles={"20": "One"},
            items={"20": {"brand": ["S"], "color": ["red"], "category": ["P"]}},
            triples=[("20", "bought_together", "21")],
        )


class TestTable(ReaderTests):
    reader = TableReader

    def write(self, folder):
        (folder / "toy.csv").write_text("User ID,item,Rating,Timestamp\n" + rows(","))
        (folder / "items.csv").write_text(
            'id,name,kind,price,photo\n20,"Heat, The",a|b,1.5,http://x\n21,Up,"[\'c\']",2,http://y\n'
        )
        (folder / "users.jsonl").write_text('{"user_id": 1, "city": "Rome"}\n{"user_id": 2}\n')
        (folder / "triples.tsv").write_text("head\trelation\ttail\n20\tsequel\t21\n")
        return ReaderSample(
            EVENTS,
            titles={"20": "Heat, The", "21": "Up"},
            items={"20": {"kind": ["a", "b"]}, "21": {"kind": ["c"]}},
            users={"1": {"city": ["Rome"]}},
            triples=[("20", "sequel", "21")],
            options={"name": "toy"},
        )


class TestTableOfObjects(ReaderTests):
    reader = TableReader

    def write(self, folder):
        lines = [
            f'{{"user": {u}, "item": "{i}", "score": {r}, "ts": {t}}}\n' for u, i, r, t in EVENTS
        ]
        (folder / "interactions.jsonl").write_text("".join(lines))
        (folder / "products.json").write_text(
            '[{"item": 20, "title": "One", "year": 1999.0, "tags": ["x"]}]'
        )
        return ReaderSample(
            EVENTS, titles={"20": "One"}, items={"20": {"year": ["1999"], "tags": ["x"]}}
        )


def test_every_built_in_reader_has_a_suite():
    tested = {
        c.reader
        for c in globals().values()
        if isinstance(c, type) and issubclass(c, ReaderTests) and hasattr(c, "reader")
    }
    assert set(BUILT_IN) <= tested
