"""Words for well-known relations of MovieLens, Freebase and Amazon data."""

from __future__ import annotations

from functools import cache

from lkgrag.kg.base import Relation

_GENRE = Relation("has_genre", "genre", "of the genre")
_YEAR = Relation("released_in", "year", "released in", "release year of", noun="year")
_DIRECTOR = Relation("directed_by", "director", "directed by")
_ACTOR = Relation("starring", "actor", "starring")
_WRITER = Relation("written_by", "writer", "written by")
_PRODUCER = Relation("produced_by", "producer", "produced by")
_TAG = Relation("has_tag", "tag", "tagged")
_BRAND = Relation("has_brand", "brand", "of the brand")
_CATEGORY = Relation("has_category", "category", "in the category")
_LANGUAGE = Relation("in_language", "language", "in the language")
_COUNTRY = Relation("made_in", "country", "made in")
_ALSO_BOUGHT = Relation(
    "also_bought", "item", "has buyers who also bought", "also bought by buyers of"
)
_ALSO_VIEWED = Relation(
    "also_viewed", "item", "has viewers who also viewed", "also viewed by viewers of"
)
_TOGETHER = Relation(
    "bought_together", "item", "often bought together with", "often bought together with"
)
_AFTER_VIEWING = Relation(
    "buy_after_viewing",
    "item",
    "has viewers who then bought",
    "bought by viewers of",
    short="bought after",
)
_SEQUEL = Relation(
    "sequel", "item", "has the sequel", "sequel of", short="sequel", short_inverse="prequel"
)

#: Attribute columns of items, by name in snake case.
COLUMNS: dict[str, Relation] = {
    "class": _GENRE,
    "genre": _GENRE,
    "genres": _GENRE,
    "release_year": _YEAR,
    "year": _YEAR,
    "director": _DIRECTOR,
    "directors": _DIRECTOR,
    "directed_by": _DIRECTOR,
    "actor": _ACTOR,
    "actors": _ACTOR,
    "cast": _ACTOR,
    "starring": _ACTOR,
    "writer": _WRITER,
    "writers": _WRITER,
    "written_by": _WRITER,
    "producer": _PRODUCER,
    "producers": _PRODUCER,
    "produced_by": _PRODUCER,
    "tag": _TAG,
    "tags": _TAG,
    "brand": _BRAND,
    "brands": _BRAND,
    "category": _CATEGORY,
    "categories": _CATEGORY,
    "language": _LANGUAGE,
    "languages": _LANGUAGE,
    "country": _COUNTRY,
    "countries": _COUNTRY,
    "also_bought": _ALSO_BOUGHT,
    "also_buy": _ALSO_BOUGHT,
    "also_viewed": _ALSO_VIEWED,
    "also_view": _ALSO_VIEWED,
    "bought_together": _TOGETHER,
    "buy_after_viewing": _AFTER_VIEWING,
    "sequel": _SEQUEL,
}

#: Attribute columns of users.
USER_COLUMNS: dict[str, Relation] = {
    "age": Relation("has_age", "age", "of the age"),
    "gender": Relation("has_gender", "gender", "of the gender"),
    "occupation": Relation("has_occupation", "occupation", "working as"),
    "zip_code": Relation("lives_in", "zip_code", "living in"),
}

_CINEMATOGRAPHER = Relation("shot_by", "cinematographer", "shot by")
_COMPANY = Relation("made_by", "production_company", "made by", short="studio")
_CONTENT_RATING = Relation(
    "has_content_rating", "content_rating", "has the age rating", short="age rating"
)
_SUBJECT = Relation("about", "subject", "about")

#: Relations of triples, as they stand in the file. Both directions of a pair have one entry.
TRIPLES: dict[str, Relation] = {
    "film.film.directed_by": _DIRECTOR,
    "film.director.film": _DIRECTOR,
    "film.film.actor": _ACTOR,
    "film.film.starring": _ACTOR,
    "film.actor.film": _ACTOR,
    "film.film.written_by": _WRITER,
    "film.writer.film": _WRITER,
    "film.film.produced_by": _PRODUCER,
    "film.producer.film": _PRODUCER,
    "film.film.genre": _GENRE,
    "film.film_genre.films_in_this_genre": _GENRE,
    "film.film.language": _LANGUAGE,
    "film.film.country": _COUNTRY,
    "film.film.cinematography": _CINEMATOGRAPHER,
    "film.cinematographer.film": _CINEMATOGRAPHER,
    "film.film.production_companies": _COMPANY,
    "film.production_company.films": _COMPANY,
    "film.film.rating": _CONTENT_RATING,
    "film.content_rating.film": _CONTENT_RATING,
    "film.film.subjects": _SUBJECT,
    "film.film_subject.films": _SUBJECT,
    "film.film.award_nomination": Relation(
        "nominated_for", "nomination", "nominated for", noun="award nomination", short="nominated"
    ),
    "film.film.award_won": Relation("won_award", "award", "winner of"),
    "film.film.sequel": _SEQUEL,
    "sequel": _SEQUEL,
    "film.film.prequel": Relation(
        "prequel", "item", "has the prequel", "prequel of", short="prequel", short_inverse="sequel"
    ),
    "also_bought": _ALSO_BOUGHT,
    "also_buy": _ALSO_BOUGHT,
    "also_viewed": _ALSO_VIEWED,
    "also_view": _ALSO_VIEWED,
    "bought_together": _TOGETHER,
    "buy_after_viewing": _AFTER_VIEWING,
}


@cache
def _by_name() -> dict[str, Relation]:
    tables = (TRIPLES, USER_COLUMNS, COLUMNS)
    return {relation.name: relation for table in tables for relation in table.values()}


def well_known(name: str) -> Relation | None:
    """The well-known relation of this name, None where there is none."""
    return _by_name().get(name)
