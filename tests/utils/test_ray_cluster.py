"""Clusters that cannot be used: one line within seconds."""

import socket

import pytest

from lkgrag.errors import LkgragError
from lkgrag.utils import ray_cluster
from lkgrag.utils.ray_cluster import LOCK, open_cluster

ray = pytest.importorskip("ray", reason="needs the extra lkgrag[ray]")


def refused(address):
    with pytest.raises(LkgragError) as error, open_cluster(address, 1):
        pass
    return str(error.value)


@pytest.mark.parametrize("kind", ["", "ray://"])
def test_nothing_answers_at_the_address(kind):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    assert f"address={kind}127.0.0.1:{port}: no cluster can be reached" in refused(
        f"{kind}127.0.0.1:{port}"
    )


def test_something_else_answers_at_the_address(monkeypatch):
    def wait(*args, timeout, **options):
        raise ray_cluster.subprocess.TimeoutExpired("health-check", timeout)

    monkeypatch.setattr(ray_cluster.subprocess, "run", wait)
    with socket.create_server(("127.0.0.1", 0)) as server:
        text = refused(f"127.0.0.1:{server.getsockname()[1]}")
    assert "there is no cluster of Ray that answers; start it by `ray start --head`" in text


@pytest.mark.parametrize(
    ("err", "message"),
    [
        (b"Traceback", "address=auto: there is no cluster"),
        (b"ray.exceptions.AuthenticationError: InvalidAuthToken", "set RAY_AUTH_MODE=token"),
    ],
)
def test_no_cluster_that_takes_us(monkeypatch, err, message):
    answer = ray_cluster.subprocess.CompletedProcess([], 1, b"", err)
    monkeypatch.setattr(ray_cluster.subprocess, "run", lambda *a, **k: answer)
    assert message in refused("auto")


@pytest.mark.parametrize("error", [RuntimeError("Version mismatch:\nRay 1"), SystemExit(15)])
def test_a_cluster_that_does_not_start_is_told_and_leaves_no_folder(monkeypatch, tmp_path, error):
    def init(**options):
        raise error

    monkeypatch.setattr(ray_cluster.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(ray_cluster, "LONGEST", 1000)
    monkeypatch.setattr(ray, "init", init)
    (tmp_path / "lkgrag-ray-old").mkdir()
    (tmp_path / "lkgrag-ray-old" / LOCK).write_text("pid 1")
    assert f"Ray's cluster on this machine does not answer ({str(error)[:9]}" in refused(None)
    assert list(tmp_path.iterdir()) == []
