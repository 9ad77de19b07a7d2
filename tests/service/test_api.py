"""The JSON API: answers are those of the ranker, and every refusal is one line."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from helpers.services import LIMITS, client_of, line_of

from lkgrag.service import engine
from lkgrag.service.app import LONGEST
from lkgrag.service.holder import Holder
from lkgrag.service.state import Service
from lkgrag.utils.files import nan_to_none

pytestmark = pytest.mark.slow
JSON = {"Content-Type": "application/json"}


def plain(ranking):
    """A ranking as JSON gives it back."""
    return json.loads(json.dumps(nan_to_none(ranking.to_dict())))


def ask(client, **body):
    response = client.post("/recommend", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def refused(client, status, path="/recommend", **body):
    response = client.post(path, json=body)
    assert response.status_code == status, response.text
    return line_of(response)


def test_answers_are_those_of_the_ranker(client, ranker):
    ids, titles = ranker.context.catalogue.ids, ranker.context.catalogue.titles
    history = [titles[3], ids[5], ids[9]]
    maker = ranker.context.known.read_items()["maker"][0][0]
    for options in (
        {},
        {"k": 3, "explain": False},
        {"candidates": ids[:8]},
        {"exclude": ids[:20], "k": 5},
        {"where": {"maker": maker}, "k": 2},
        {"ratings": [5, None, 3.5]},
        {"diversity": 0.7},
    ):
        expected = plain(ranker.recommend(history, **options))
        assert ask(client, history=history, **options) == expected
    assert ask(client, history=[]) == plain(ranker.recommend([]))
    user = ranker.users()[7]
    assert ask(client, user=user) == plain(ranker.recommend_users([user])[0])


def test_words_are_asked_for_with_their_weight(client, ranker):
    word = ranker.context.catalogue.titles[4]
    for weight in (None, 0, 0.5, 1e6):
        expected = plain(ranker.recommend([], request=word, weight=weight))
        assert ask(client, history=[], request=word, weight=weight) == expected
    assert "nothing to weigh" in refused(client, 400, history=[], weight=1)


def test_a_batch_is_in_order_and_is_made_whole_or_not_at_all(client, ranker):
    users = ranker.users()[:3]
    requests = [{"user": u, "k": k} for u, k in zip(users, (4, 2, 4), strict=True)]
    response = client.post("/recommend/batch", json={"requests": requests})
    for found, one in zip(response.json()["results"], requests, strict=True):
        expected = plain(ranker.recommend_users([one["user"]], k=one["k"])[0])
        assert [i["item"] for i in found["items"]] == [i["item"] for i in expected["items"]]
        assert [i["score"] for i in found["items"]] == pytest.approx(
            [i["score"] for i in expected["items"]], abs=1e-5
        )
    line = refused(client, 400, "/recommend/batch", requests=[*requests, {"user": "nobody"}])
    assert line.startswith("requests[3]: user=nobody: no such user")
    line = refused(client, 422, "/recommend/batch", requests=[{"user": "u1", "k": 0}])
    assert line.startswith("requests[0].k: ")


def test_warnings_of_the_ranker_come_in_a_header_and_not_on_the_terminal(client, ranker, capfd):
    body = {"history": [], "exclude": [ranker.context.catalogue.ids[0], "not there"]}
    response = client.post("/recommend", json=body)
    (line,) = json.loads(response.headers["X-Lkgrag-Warnings"])
    assert "not there" in line
    assert "X-Lkgrag-Warnings" not in client.post("/recommend", json={"history": []}).headers
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("status", "body", "part"),
    [
        (422, {}, "give either user or history"),
        (422, {"user": "u1", "history": []}, "give either user or history"),
        (400, {"user": "nobody"}, "user=nobody: no such user"),
        (400, {"user": ""}, "user: it is empty"),
        (422, {"user": True}, "user: must be a text or a whole number"),
        (400, {"history": ["no such title"]}, "no item 'no such title'"),
        (422, {"history": "Toy Story"}, "history: "),
        (422, {"history": [1.5]}, "history[0]: must be a text or a whole number"),
        (422, {"history": [None]}, "history[0]: "),
        (422, {"history": [True]}, "history[0]: "),
        (422, {"history": [[]]}, "history[0]: "),
        (422, {"history": ["i1"] * 31}, "at most 30"),
        (400, {"history": [], "candidates": []}, "candidates: the list is empty"),
        (422, {"history": [], "candidates": ["x"] * 41}, "at most 40"),
        (422, {"history": [], "exclude": ["x"] * 41}, "at most 40"),
        (422, {"history": [], "k": 21}, "less than or equal to 20"),
        (422, {"history": [], "k": 0}, "k: "),
        (422, {"history": [], "k": "5"}, "k: "),
        (422, {"history": [], "k": True}, "k: "),
        (422, {"history": [], "explain": 1}, "explain: "),
        (422, {"history": [], "request": "x" * 2001}, "at most 2000"),
        (400, {"history": [], "request": " "}, "request: it is empty"),
        (422, {"history": [], "request": "x", "weight": -1}, "weight: "),
        (422, {"history": [], "request": "x", "weight": "1"}, "weight: "),
        (400, {"history": [], "where": {"colour": "red"}}, "no attribute 'colour'"),
        (422, {"history": [], "where": {}}, "needs a value"),
        (422, {"history": [], "where": {"maker": []}}, "needs a value"),
        (422, {"history": [], "where": [1]}, "where: "),
        (422, {"history": [], "where": {"maker": None}}, "where.maker: must be a text, a whole"),
        (422, {"history": [], "where": {"maker": ["x"] * 1001}}, "where.maker: list should have at"),
        (422, {"history": [], "where": {"str": [None]}}, "where.str[0]: must be a text, a whole"),
        (400, {"history": [], "ratings": [], "candidates": ["i1"], "exclude": ["i1"]},
         "candidates: none of them is left by exclude"),
        (400, {"history": ["i1"], "ratings": [1e39]}, "ratings: a rating is infinite, or beyond"),
        (422, {"history": [], "where": {str(n): "x" for n in range(33)}}, "at most 32"),
        (422, {"history": [], "ratings": [1], "user": "u1"}, "either user or history"),
        (400, {"history": [], "ratings": [1]}, "1 ratings for 0 history items"),
        (422, {"user": "u1", "ratings": [1]}, "ratings belong to a history"),
        (400, {"history": [], "lm": True}, "without a language model"),
        (422, {"hystory": []}, "Did you mean 'history'"),
        (422, {"history": [], "str": 1}, "str: no such field"),
        (422, {"history": [], "query": 1}, "query: no such field"),
        (422, {"history": [], "a[b]": 1}, "a[b]: no such field"),
    ],
)  # fmt: skip
def test_wrong_bodies_are_refused_by_one_line(client, status, body, part):
    assert part in refused(client, status, **body)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b'{"history": [NaN]}',
        b'{"history": [], "weight": Infinity, "request": "a"}',
        b'{"history": ["\\ud800"]}',
        b'{"user": "\\udfff"}',
        b'{"history": [], "k": 1e999}',
        b'{"history": [' + b"9" * 5000 + b"]}",
        b"[" * 9000,
        b'{"a":' * 3000,
        b'\xef\xbb\xbf{"history": []}x',
        b'{"history": []} trailing',
    ],
)
def test_what_is_no_fitting_json_is_refused(client, content):
    headers = {"Content-Type": "application/json"}
    response = client.post("/recommend", content=content, headers=headers)
    assert 400 <= response.status_code < 500, response.text
    line_of(response)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"history": [], "history": ["i1"]}', "the name 'history' stands there twice"),
        (b"\xff\xfe", "it is no UTF-8"),
        (b"\x1f\x8b\x08\x00", "it is compressed"),
        (b"[" * 19_000, "it is nested too deeply"),
        (b'{"history": [' + b"9" * 5000 + b"]}", "a number has too many digits"),
        (b"{", "Expecting property name enclosed in double quotes at character 2"),
    ],
)
def test_json_that_is_none_is_told_why(client, content, words):
    response = client.post("/recommend", content=content, headers=JSON)
    assert response.status_code == 422
    assert f"body: not readable as JSON ({words}" in line_of(response)


def test_the_usual_number_of_items_is_within_the_limit(ranker, served):
    service = Service(Holder(served), replace(LIMITS, k=3))
    with client_of(service) as client:
        ranked = client.post("/recommend", json={"history": []}).json()["items"]
        assert len(ranked) == 3
        field = client.get("/openapi.json").json()["components"]["schemas"]["Recommend"]
        assert field["properties"]["k"]["default"] == field["properties"]["k"]["maximum"] == 3
    service.close()


def test_many_and_long_warnings_are_cut_and_counted(client, ranker):
    unknown = [chr(0x1F600 + n) * 60 for n in range(3)]
    one = {"history": [], "exclude": [ranker.context.catalogue.ids[0], *unknown]}
    for number in (1, 3, 5):
        headers = client.post("/recommend/batch", json={"requests": [one] * number}).headers
        told = headers["X-Lkgrag-Warnings"]
        lines = json.loads(told)
        assert len(told) <= LONGEST
        left = int(lines[-1].split()[1]) if lines[-1].startswith("and ") else 0
        assert len(lines) - bool(left) + left == number
        assert lines[0].startswith("requests[0]: exclude: 3 of 4 items are unknown")


def test_the_description_names_all_refusals_and_the_token(client, served):
    plain = client.get("/openapi.json").json()
    assert "securitySchemes" not in plain["components"]
    refused_by = set(plain["paths"]["/recommend"]["post"]["responses"])
    assert {
        "400",
        "401",
        "403",
        "404",
        "405",
        "408",
        "413",
        "415",
        "421",
        "422",
        "431",
    } < refused_by
    assert list(plain["paths"]["/metrics"]["get"]["responses"]["200"]["content"]) == ["text/plain"]
    service = Service(Holder(served), LIMITS, token="a-token-of-this-test")
    with client_of(service) as guarded:
        paths = guarded.get("/openapi.json").json()["paths"]
        assert paths["/recommend"]["post"]["security"] == [{"token": []}]
        assert paths["/healthz"]["get"]["security"] == []
        right = {"Authorization": "Bearer a-token-of-this-test"}
        # A proxy with TLS in front: the page's origin has another name than the host.
        far = {**right, "Origin": "https://shop.example", "Host": "127.0.0.1:8741"}
        assert guarded.post("/recommend", json={"history": []}, headers=far).status_code == 200
        # No redirect would carry the token to a plain address.
        assert guarded.post("/recommend/", json={}, headers=right).status_code == 404
    service.close()


def test_other_methods_paths_and_types_are_refused(client):
    assert "use POST" in line_of(client.get("/recommend"))
    assert client.get("/recommend").status_code == 405
    assert client.get("/recommend").headers["allow"] == "POST"
    assert client.delete("/").status_code == 405
    assert "no page /nothing" in line_of(client.get("/nothing"))
    assert client.get("/../../etc/passwd").status_code == 404
    assert client.get("/%00%0a").status_code == 404
    assert client.post("/recommend", data={"history": "x"}).status_code == 415
    assert client.post("/recommend", content=b"{}").status_code == 415
    assert client.request("BREW", "/healthz").status_code == 405


def test_large_bodies_are_refused_whether_or_not_they_tell_their_length(client):
    content = b'{"history": [], "request": "' + b"x" * 30_000 + b'"}'
    headers = {"Content-Type": "application/json"}
    response = client.post("/recommend", content=content, headers=headers)
    assert response.status_code == 413
    assert "20,000 bytes" in line_of(response)
    chunks = iter([content[:15_000], content[15_000:]])
    response = client.post("/recommend", content=chunks, headers=headers)
    assert response.status_code == 413


def test_a_search_answers_and_checks_its_words(client, ranker):
    title = ranker.context.catalogue.titles[6]
    found = client.get("/items", params={"q": title.upper(), "k": 3}).json()
    assert found["items"][0] == {"item": ranker.context.catalogue.ids[6], "title": title}
    assert client.get("/items", params={"q": "", "k": 3}).json() == {"total": 0, "items": []}
    for params in (
        {},
        {"q": "x" * 501},
        {"q": "x", "k": 101},
        {"q": "x", "k": "a"},
        {"q": "x", "z": 1},
    ):
        response = client.get("/items", params=params)
        assert response.status_code == 422, params
        line_of(response)


def test_fields_in_the_address_are_read_or_refused(client):
    ranked = client.post("/recommend", params={"k": 3}, json={"history": []})
    for response, expected in (
        (ranked, "k: is not read from the address; send it in the JSON body"),
        (client.post("/reload?now=1"), "now: is not read from the address"),
        (client.get("/info?verbose=1"), "verbose: is not read from the address"),
        (client.get("/items?q=a&q=b"), "q: stands in the address more than once; leave one"),
        (client.get("/items?q=a&k=1&k=1"), "k: stands in the address more than once; leave one"),
    ):
        assert (response.status_code, line_of(response)) == (422, expected)
    # Probes of others add names of their own.
    for path in ("/healthz", "/readyz", "/metrics"):
        assert client.get(path, params=[("name[]", "up"), ("name[]", "x")]).status_code == 200


def test_every_answer_has_the_headers_that_protect_a_browser(client):
    for path in ("/", "/page.js", "/docs", "/healthz", "/nothing", "/openapi.json"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
    head = client.head("/")
    assert (head.status_code, head.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_the_description_shows_the_limits_of_this_service(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    (history,) = [x for x in schemas["Recommend"]["properties"]["history"]["anyOf"] if "items" in x]
    assert history["maxItems"] == LIMITS.history
    assert schemas["Recommend"]["properties"]["k"]["maximum"] == LIMITS.k
    assert schemas["Batch"]["properties"]["requests"]["maxItems"] == LIMITS.batch
    assert schemas["Recommend"]["additionalProperties"] is False


def test_the_token_is_asked_for(served):
    service = Service(Holder(served), LIMITS, token="a-token-of-this-test")
    body = {"json": {"history": []}}
    with client_of(service) as client:
        for headers in (
            {},
            {"Authorization": "Bearer a-token-of-this-tes"},
            {"Authorization": "a-token-of-this-test"},
            {"Authorization": "Basic a-token-of-this-test"},
            {"Authorization": "Bearer ä".encode("latin-1")},
        ):
            response = client.post("/recommend", headers=headers, **body)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            line_of(response)
        right = {"Authorization": "Bearer a-token-of-this-test"}
        assert client.post("/recommend", headers=right, **body).status_code == 200
        for path in ("/info", "/items?q=x", "/metrics"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=right).status_code == 200
        assert client.post("/reload").status_code == 401
        # The page itself says nothing of the data.
        for path in ("/", "/docs", "/healthz", "/readyz"):
            assert client.get(path).status_code == 200
        # Whoever has the token may come by any name.
        assert client.get("/info", headers={**right, "Host": "ranker.example"}).status_code == 200
    service.close()


def test_without_a_token_pages_from_elsewhere_read_nothing(client):
    for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[", ""):
        response = client.get("/info", headers={"Host": host})
        assert response.status_code == 421, host
        line_of(response)
    for host in ("localhost:8000", "127.0.0.1", "127.0.0.2:1", "[::1]:8000", "LOCALHOST"):
        assert client.get("/info", headers={"Host": host}).status_code == 200, host
    for origin in ("https://evil.example", "null", "http://localhost:9"):
        response = client.post("/recommend", json={"history": []}, headers={"Origin": origin})
        assert response.status_code == 403, origin
        assert client.post("/reload", headers={"Origin": origin}).status_code == 403
    own = {"Origin": "http://localhost"}
    assert client.post("/recommend", json={"history": []}, headers=own).status_code == 200


@pytest.fixture
def held(monkeypatch):
    """An event: until it is set, the thread that ranks waits."""
    go, rank = threading.Event(), engine._rank

    def waiting(jobs):
        assert go.wait(30)
        return rank(jobs)

    monkeypatch.setattr(engine, "_rank", waiting)
    yield go
    go.set()


def test_a_request_that_takes_too_long_is_told_so(served, held):
    service = Service(Holder(served), replace(LIMITS, seconds=1))
    with client_of(service) as client:
        response = client.post("/recommend", json={"history": []})
        assert response.status_code == 504
        assert "no answer within 1 seconds" in line_of(response)
        held.set()
        assert client.post("/recommend", json={"history": []}).status_code == 200
    service.close()


def test_too_many_requests_are_told_to_come_again_while_health_answers(served, held):
    service = Service(Holder(served), replace(LIMITS, queue=6, batch=5))
    with client_of(service) as client, ThreadPoolExecutor(12) as pool:
        body = {"json": {"history": []}}
        several = [pool.submit(client.post, "/recommend", **body) for _ in range(12)]
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").status_code == 200
        threading.Timer(1.0, held.set).start()
        answers = [f.result() for f in several]
        busy = [a for a in answers if a.status_code == 503]
        assert len(busy) == 6
        assert {a.status_code for a in answers} == {200, 503}
        for answer in busy:
            assert answer.headers["retry-after"] == "1"
            assert "busy" in line_of(answer)
        text = client.get("/metrics").text
        assert 'lkgrag_requests_total{path="/recommend",status="503"} 6.0' in text
        assert "lkgrag_requests_in_flight 1.0" in text
    service.close()


def test_waiting_requests_share_a_forward_pass(served, ranker, monkeypatch):
    sizes, rank, go = [], engine._rank, threading.Event()

    def counting(jobs):
        go.wait(30)
        sizes.append(len(jobs))
        return rank(jobs)

    monkeypatch.setattr(engine, "_rank", counting)
    service = Service(Holder(served), replace(LIMITS, together=4))
    users = ranker.users()[:10]
    with client_of(service) as client, ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(client.post, "/recommend", json={"user": u, "k": 5}) for u in users]
        threading.Timer(1.0, go.set).start()
        answers = [f.result().json() for f in asked]
    service.close()
    assert sum(sizes) == 10
    assert max(sizes) == 4
    for user, answer in zip(users, answers, strict=True):
        expected = ranker.recommend_users([user], k=5)[0]
        assert answer["user"] == user
        assert [i["item"] for i in answer["items"]] == [i.item for i in expected.items]


def test_one_that_fails_leaves_those_beside_it(served, ranker, monkeypatch):
    rank, bad = engine.rank_in_batches, ranker.context.catalogue.ids[3]
    index = ranker.context.catalogue.ids.index(bad)

    def failing(model, context, requests, k, explain):
        if any(index in request.history for request in requests):
            raise ValueError("a fault\nof custom code")
        return rank(model, context, requests, k, explain)

    monkeypatch.setattr(engine, "rank_in_batches", failing)
    service = Service(Holder(served), LIMITS)
    with client_of(service, raise_server_exceptions=False) as client:
        requests = [{"history": [item]} for item in ranker.context.catalogue.ids[:3]]
        assert client.post("/recommend/batch", json={"requests": requests}).status_code == 200
        response = client.post("/recommend", json={"history": [bad]})
        assert response.status_code == 500
        assert "a fault of the service (ValueError)" in line_of(response)
        response = client.post(
            "/recommend/batch", json={"requests": [*requests, {"history": [bad]}]}
        )
        assert response.status_code == 500
        assert client.post("/recommend", json={"history": []}).status_code == 200
    service.close()


def test_a_service_that_stops_takes_nothing_new(client, service):
    service.is_stopping = True
    response = client.post("/recommend", json={"history": []})
    assert response.status_code == 503
    assert response.headers["connection"] == "close"
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503


def test_metrics_are_in_prometheus_text(client):
    from prometheus_client.parser import text_string_to_metric_families

    client.post("/recommend", json={"history": []})
    client.get("/a/path/that/somebody/made/up")
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {f.name: f for f in text_string_to_metric_families(response.text)}
    counted = {
        (s.labels["path"], s.labels["status"]): s.value
        for s in families["lkgrag_requests"].samples
        if s.name.endswith("_total")
    }
    assert counted == {("/recommend", "200"): 1.0, ("other", "404"): 1.0}
    assert families["lkgrag_ranker_is_current"].samples[0].value == 1
