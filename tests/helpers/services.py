"""Services in this process, for tests."""

import threading
from contextlib import contextmanager
from unicodedata import category

from starlette.testclient import TestClient

from lkgrag.service.app import build_app
from lkgrag.service.limits import ServiceLimits
from lkgrag.service.server import bind, build_server, listen

#: What the service of the tests allows.
LIMITS = ServiceLimits(body=20_000, history=30, candidates=40, k=20, batch=5, queue=64, seconds=20)


def client_of(service, **options):
    """A client on this machine."""
    return TestClient(build_app(service), base_url="http://localhost", **options)


@contextmanager
def running(service):
    """The address of a service that answers on a socket, from a thread."""
    listener = bind("127.0.0.1", 0)
    url = listen(listener)
    server = build_server(build_app(service), service)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield url.rstrip("/")
    finally:
        server.handle_exit(15, None)
        thread.join(30)
        assert not thread.is_alive()


def line_of(response):
    """The one line of a refusal."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    line = body["error"]
    assert line
    assert not {category(c) for c in line} & {"Cc", "Zl", "Zp", "Cs"}
    assert "Traceback" not in line
    return line
