"""The server on a socket: what is not HTTP, slow clients, and a real process with its signals."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest
from helpers import processes
from helpers.services import running

from lkgrag.errors import ConfigError
from lkgrag.serve import body
from lkgrag.service import server
from lkgrag.service.limits import ServiceLimits
from lkgrag.service.server import bind, listen, resolve

pytestmark = pytest.mark.slow


def post(url, path, value, seconds=60):
    """Status and answer."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + path, json.dumps(value).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=seconds) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def get(url, path):
    with urllib.request.urlopen(url + path, timeout=30) as response:
        return response.read().decode()


def talk(url, data, seconds=20):
    """What the server answers to raw bytes, up to the end of the connection."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), seconds) as connection:
        connection.sendall(data)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


HEAD = b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_ends(service, data):
    with running(service) as url:
        answer = talk(url, data)
        if answer:
            head, _, content = answer.partition(b"\r\n\r\n")
            assert head.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501"))
            assert set(json.loads(content)) == {"error"}
        assert post(url, "/recommend", {"history": []})[0] == 200


def test_upgrades_and_pipelines_are_answered_as_plain_requests(service):
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    with running(service) as url:
        answer = talk(url, one + b"\r\n" + one + b"Connection: close\r\n\r\n")
        assert answer.count(b'{"status": "ok"}') == 2
        upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        answer = talk(
            url,
            one.replace(b"HTTP/1.1", b"HTTP/1.1")
            + upgrade.replace(b"upgrade\r\nU", b"upgrade, close\r\nU"),
        )
        assert answer.startswith(b"HTTP/1.1 200")


def test_slow_clients_are_given_up(service, monkeypatch):
    monkeypatch.setattr(server, "HEADERS", 0.5)
    service.limits = ServiceLimits(seconds=1)
    with running(service) as url:
        assert b"no request came in time" in talk(url, b"GET / HT")
        # Also the headers of a later request on the same connection.
        whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        answer = talk(url, whole + b"GET /info HT")
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"no request came in time" in answer
        answer = talk(url, HEAD + b"Content-Length: 10\r\n\r\n{")
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"the body did not come within 1 seconds" in answer


def test_a_connection_that_is_kept_has_time_between_requests(service, monkeypatch):
    monkeypatch.setattr(server, "HEADERS", 0.5)
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with running(service) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 10) as connection:
            for part in (whole, whole, whole[:20]):
                connection.sendall(part)
                if part is whole:
                    answer = b""
                    while not answer.endswith(b"}"):
                        answer += connection.recv(65536)
                    assert answer.startswith(b"HTTP/1.1 200")
                    time.sleep(0.8)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
    assert b"no request came in time" in b"".join(parts)


def test_connections_are_limited_before_files_run_out(service, monkeypatch):
    monkeypatch.setattr(server, "CONNECTIONS", 2)
    with running(service) as url:
        host, port = url.removeprefix("http://").split(":")
        first = [socket.create_connection((host, int(port)), 10) for _ in range(2)]
        for connection in first:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        head, _, content = talk(url, b"").partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        assert f"Content-Length: {len(content)}".encode() in head
        assert set(json.loads(content)) == {"error"}
        for connection in first:
            connection.close()
        end = time.monotonic() + 10
        while (
            talk(url, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")[
                9:12
            ]
            != b"200"
        ):
            assert time.monotonic() < end


def test_a_host_beyond_this_machine_needs_a_token(monkeypatch):
    monkeypatch.delenv("LKGRAG_TOKEN", raising=False)
    assert resolve("127.0.0.1") == ("127.0.0.1", True)
    assert resolve("0.0.0.0") == ("0.0.0.0", False)
    with pytest.raises(ConfigError, match="clients must give a token"):
        body({"run": "x", "host": "0.0.0.0"}, set())
    with pytest.raises(ConfigError, match="no address of this machine"):
        resolve("no such host")


@pytest.mark.parametrize(
    ("pairs", "part"),
    [
        ({}, "option 'run' is missing"),
        ({"run": "x", "port": "70000"}, "no whole number from 0 to 65,535"),
        ({"run": "x", "port": "-1"}, "option 'port'"),
        ({"run": "x", "watch": "1.5"}, "option 'watch'"),
        ({"run": "x", "limit.k": "0"}, "option 'limit.k'"),
        ({"run": "x", "limit.batch": "300"}, "limit.queue=256"),
        ({"run": "x", "token": "short"}, "at least 16 characters"),
        ({"run": "x", "token": "with a space in it"}, "at least 16 characters"),
        ({"run": "x", "serving.lm": "sometimes"}, "none of auto, always, never"),
        ({"run": "x", "hots": "y"}, "Did you mean 'host'"),
        ({"run": "no such folder"}, "no such folder"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_loaded(pairs, part, monkeypatch):
    monkeypatch.delenv("LKGRAG_TOKEN", raising=False)
    with pytest.raises(ConfigError if "folder" not in part else Exception, match=part):
        body(pairs, set())


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr("lkgrag.serve.find_spec", lambda name: None if name == "uvicorn" else name)
    with pytest.raises(ConfigError, match=r'needs uvicorn: pip install "lkgrag\[serve\]"'):
        body({"run": "x"}, set())


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_first_part():
    listener = bind("127.0.0.1", 0)
    listen(listener)
    options = []

    async def accept(reader, writer):
        options.append(
            writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        )
        writer.close()

    async def ask():
        async with await asyncio.start_server(accept, sock=listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            await reader.read()
            writer.close()

    asyncio.run(ask())
    assert options == [1]


def test_a_port_in_use_is_told_in_one_line(run_without_lm, capfd, monkeypatch):
    first = bind("127.0.0.1", 0)
    port = first.getsockname()[1]
    second = bind("127.0.0.1", port)
    assert listen(first) == f"http://127.0.0.1:{port}/"
    for refused in (lambda: bind("127.0.0.1", port), lambda: listen(second)):
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1: it is in use"):
            refused()
    with pytest.raises(ConfigError, match="it is in use"):
        body({"run": str(run_without_lm), "port": str(port)}, set())
    first.close()


def started(run, *options):
    """A process that serves, and its address."""
    process = processes.Process("lkgrag.serve", [f"run={run}", "port=0", *options])
    end = time.monotonic() + 120
    while "served on http" not in process.read_output():
        assert process.poll() is None, process.finish()
        assert time.monotonic() < end
        time.sleep(0.05)
    line = process.read_output()
    return process, line[line.index("http") :].split("/ ")[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_requests_that_are_answered(run_without_lm, number):
    process, url = started(run_without_lm, "limit.batch=256")
    batch = {"requests": [{"history": [], "k": 20}] * 256}
    answers = []
    asking = threading.Thread(target=lambda: answers.append(post(url, "/recommend/batch", batch)))
    asking.start()
    # One of these two is the request for the metrics.
    while "lkgrag_requests_in_flight 2.0" not in get(url, "/metrics"):
        assert not answers
    os.kill(process.pid, number)
    asking.join(60)
    assert process.wait(60) == 0
    ((status, answer),) = answers
    assert status == 200
    assert len(answer["results"]) == 256
    with pytest.raises(urllib.error.URLError):
        get(url, "/healthz")
    finished = process.finish()
    assert finished.stderr.count("Traceback") == 0
    assert finished.stdout.endswith(f"{run_without_lm}: no longer served\n")


def test_a_saved_ranker_is_served_and_the_watch_takes_an_update(run_without_lm, tmp_path):
    import pandas as pd

    from lkgrag import Ranker

    saved = tmp_path / "saved"
    ranker = Ranker.from_pretrained(run_without_lm)
    ranker.save_pretrained(saved)
    process, url = started(saved, "watch=1", "token=the-token-of-a-test")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(url, "/info")
    before = get(url, "/readyz")
    assert json.loads(before) == {"status": "ready"}
    new = pd.DataFrame({"user": "late", "item": ranker.context.catalogue.ids[:3], "time": 2e9})
    ranker.update(new).save_pretrained(saved)
    headers = {"Authorization": "Bearer the-token-of-a-test", "Content-Type": "application/json"}
    request = urllib.request.Request(url + "/recommend", b'{"user": "late"}', headers)
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                assert json.load(response)["user"] == "late"
            break
        except urllib.error.HTTPError:
            assert time.monotonic() < end
            time.sleep(0.2)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(30) == 0
