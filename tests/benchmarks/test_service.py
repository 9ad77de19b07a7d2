"""The bench of the service: what counts as lost, doubled and wrong; a small run is measured."""

import asyncio
import json

import pytest

from benchmarks.service import answers, clients, suite


def told(*answers):
    return clients.Told(answers={n: list(a) for n, a in enumerate(answers)})


def test_what_becomes_of_answers():
    right = {"u": b'{"score": 0.5, "items": ["a"]}', "v": b'{"score": 1.0, "items": []}'}
    new = {"u": b'{"score": 0.7, "items": ["b"]}', "v": right["v"]}
    near, other = b'{"score": 0.500001, "items": ["a"]}', b'{"score": 0.5, "items": ["z"]}'
    found = told([right["u"]], [], [right["v"]] * 2, [near], [other], [new["u"]])
    counts = answers.compare(found, ["u", "v", "v", "u", "u", "u"], right, new)
    assert counts == {
        "requests": 6,
        "lost": 1,
        "twice": 1,
        "wrong": 1,
        "rounded": 1,
        "equal": 3,
        "equal_to_new": 1,
    }


def test_only_numbers_may_differ_and_only_by_rounding():
    one = {"a": [1.0, "x", None], "b": 2}
    assert answers.is_same({"a": [1.00001, "x", None], "b": 2}, one)
    for other in ({"a": [1.1, "x", None], "b": 2}, {"a": [1.0, "x"], "b": 2}, {"a": 1, "b": 2}, {}):
        assert not answers.is_same(other, one)


def test_clients_try_again_until_every_request_is_answered():
    """A service that cuts every second connection off, and that is busy in between."""
    seen = []

    async def answer(reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            seen.append(body)
            if len(seen) % 3 == 0:
                writer.close()
                return
            status, text = (b"503 Busy", b"{}") if len(seen) % 3 == 1 else (b"200 OK", body)
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(text), text))

    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        done = []
        bodies = [json.dumps({"n": n}).encode() for n in range(12)]
        found = await clients.load(port, bodies, 3, done.append)
        server.close()
        return found, bodies, done

    found, bodies, done = asyncio.run(main())
    assert {n: a for n, a in found.answers.items()} == {n: [b] for n, b in enumerate(bodies)}
    assert found.retries == len(seen) - 12 > 0
    assert done == list(range(1, 13))
    assert found.figures()["requests_a_second"] > 0


@pytest.mark.slow
def test_a_small_run_is_measured(run_without_lm, monkeypatch):
    monkeypatch.setattr(suite, "REQUESTS", {1: 10, 8: 20, 64: 64})
    result = suite.measure_run(run_without_lm)
    for part in ("load", "one_at_a_time"):
        for row in result[part].values():
            assert row["lost"] == row["twice"] == row["wrong"] == 0
    assert result["one_at_a_time"]["64"]["rounded"] == 0
    assert result["kill"]["lost"] == result["kill"]["twice"] == result["kill"]["wrong"] == 0
    assert result["kill"]["retries"] > 0
    swap = result["swap"]
    assert swap["lost"] == swap["twice"] == swap["wrong"] == swap["retries"] == 0
    assert swap["equal_to_new"] > 0
    lines = suite.table(result).splitlines()
    assert len({line.count("|") for line in lines}) == 1
