"""Odd inputs by the hundred: always an answer or a refusal of one line, never a fault."""

import json

import pytest
from helpers.services import line_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow

ODD = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NAMES = st.sampled_from(
    ["i1", "i2", " i3 ", "Thing", "", "0", "\x00", "\u202eabc", "é", "i" * 5000]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | NAMES
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = [
    *("user", "history", "ratings", "candidates", "exclude", "where", "k", "explain", "request"),
    *("weight", "lm", "other", "requests", ""),
]
LISTS = st.lists(NAMES, max_size=5)
BODIES = st.dictionaries(st.sampled_from(FIELDS), VALUES | LISTS, max_size=5)
#: Bodies that are nearly right.
NEAR = st.fixed_dictionaries(
    {"history": LISTS},
    optional={
        "k": st.integers(-1, 60),
        "explain": st.booleans(),
        "candidates": LISTS,
        "exclude": LISTS,
        "request": st.text(max_size=30),
        "weight": st.floats(0, 2e6) | st.none(),
        "where": st.dictionaries(st.sampled_from(["maker", "x", ""]), SCALARS | LISTS, max_size=2),
        "lm": st.sampled_from([True, False, None]),
    },
)


def is_fine(response):
    """An answer, or a refusal that blames the request."""
    if response.status_code == 200:
        assert response.json()
    else:
        assert 400 <= response.status_code < 500, (response.status_code, response.text)
        line_of(response)


@ODD
@given(body=BODIES | NEAR)
def test_bodies_of_a_ranking(client, body):
    is_fine(client.post("/recommend", json=body))


@ODD
@given(body=st.fixed_dictionaries({"requests": st.lists(NEAR | BODIES, max_size=4) | VALUES}))
def test_bodies_of_a_batch(client, body):
    is_fine(client.post("/recommend/batch", json=body))


@ODD
@given(content=st.binary(max_size=60) | BODIES.map(json.dumps).map(lambda t: t.encode()[:-1]))
def test_bytes_that_are_no_json(client, content):
    headers = {"Content-Type": "application/json"}
    is_fine(client.post("/recommend", content=content, headers=headers))


@ODD
@given(text=st.text(max_size=40), k=st.integers(-5, 200) | st.text(max_size=5))
def test_words_of_a_search(client, text, k):
    is_fine(client.get("/items", params={"q": text, "k": k}))


@ODD
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "OPTIONS", "HEAD", "TRACE"]),
    path=st.sampled_from(
        ["/", "/recommend", "/items", "/metrics", "/page.js", "/x", "/recommend/"]
    ),
    headers=st.dictionaries(
        st.sampled_from(
            ["content-type", "host", "origin", "authorization", "content-length", "x-a", "accept"]
        ),
        st.text(
            st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"),
            max_size=20,
        ),
        max_size=4,
    ),
)
def test_methods_and_headers(client, method, path, headers):
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    response = client.request(method, path, headers=encoded)
    if method == "HEAD" or path in ("/", "/metrics", "/page.js"):
        assert response.status_code < 500
    else:
        is_fine(response)
