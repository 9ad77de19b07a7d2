"""A newer ranker is taken while requests are answered; a broken one is not."""

import json
import os
import shutil
import threading
import time

import pandas as pd
import pytest
from helpers.services import LIMITS, client_of, line_of

from lkgrag import Ranker
from lkgrag.errors import RunError
from lkgrag.service import holder as holder_module
from lkgrag.service import served as served_module
from lkgrag.service.holder import Holder
from lkgrag.service.served import Served, digest_of, load_served
from lkgrag.service.state import Service

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(run_without_lm, tmp_path):
    """A ranker of this test's own."""
    return shutil.copytree(run_without_lm / "ranker", tmp_path / "ranker")


@pytest.fixture
def own(folder):
    service = Service(Holder(load_served(folder), folder, load_served), LIMITS)
    yield service
    service.close()


def update(folder, user):
    """What ``lkgrag.update`` does: a new user in the place of the old ranker."""
    ranker = Ranker.from_pretrained(folder)
    items = ranker.context.catalogue.ids[:4]
    new = pd.DataFrame({"user": user, "item": items, "time": 2e9})
    ranker.update(new)
    ranker.save_pretrained(folder)


def break_it(folder):
    """Damage a file, as a copy that was cut off; whoever looks sees another ranker."""
    done = json.loads((folder / "done.json").read_text())
    (folder / "done.json").write_text(json.dumps(done))
    (folder / "catalogue.parquet").write_bytes(b"cut")


def test_an_update_is_taken_and_the_old_digest_is_no_longer_told(own, folder):
    with client_of(own) as client:
        before = client.get("/readyz").json()["ranker"]
        assert not own.holder.look()
        assert client.post("/recommend", json={"user": "newcomer"}).status_code == 400
        update(folder, "newcomer")
        assert own.holder.look()
        assert client.post("/recommend", json={"user": "newcomer"}).status_code == 200
        after = client.get("/readyz").json()
        assert after == {"status": "ready", "ranker": digest_of(folder), "error": None}
        assert after["ranker"] != before
        assert 'lkgrag_ranker_loads_total{result="loaded"} 1.0' in client.get("/metrics").text


def test_a_broken_ranker_is_told_and_the_old_one_stays(own, folder, monkeypatch, caplog):
    good = shutil.copytree(folder, folder.with_name("good"))
    with client_of(own) as client:
        expected = client.post("/recommend", json={"history": []}).json()
        break_it(folder)
        assert not own.holder.look()
        state = client.get("/readyz")
        assert state.status_code == 200
        assert "done.json: broken" in state.json()["error"]
        assert "lkgrag_ranker_is_current 0.0" in client.get("/metrics").text
        assert client.post("/recommend", json={"history": []}).json() == expected
        # It is not tried with each look, but after a while.
        assert not own.holder.look()
        assert 'result="failed"} 1.0' in client.get("/metrics").text
        monkeypatch.setattr(holder_module, "RETRY", 0)
        assert not own.holder.look()
        assert 'result="failed"} 2.0' in client.get("/metrics").text
        response = client.post("/reload")
        assert response.status_code == 409
        assert "the old ranker stays in service" in line_of(response)
        shutil.rmtree(folder)
        # Nothing is there, as in the midst of a copy.
        assert not own.holder.look()
        shutil.copytree(good, folder)
        assert not own.holder.look()
        assert client.get("/readyz").json()["error"] is None
        assert "lkgrag_ranker_is_current 1.0" in client.get("/metrics").text


def test_a_fault_of_custom_code_in_a_new_ranker_keeps_the_old_one(own, folder, monkeypatch):
    def failing(folder):
        raise ZeroDivisionError("in\ncustom code")

    monkeypatch.setattr(own.holder, "load", failing)
    old = own.holder.current
    assert not own.holder.reload()
    assert own.holder.current is old
    assert own.holder.error == "ZeroDivisionError: in custom code"


def test_reload_loads_what_is_there(own, folder):
    update(folder, "second")
    with client_of(own) as client:
        answer = client.post("/reload")
        assert answer.status_code == 200
        assert answer.json()["ranker"] == digest_of(folder)
        assert client.post("/recommend", json={"user": "second"}).status_code == 200


def test_a_service_without_a_folder_says_so(client):
    response = client.post("/reload")
    assert response.status_code == 409
    assert "no folder" in line_of(response)


def test_a_ranker_that_is_replaced_while_it_is_read_is_read_anew(folder, monkeypatch):
    monkeypatch.setattr(served_module, "PAUSE", 0)
    of, reads = Served.of.__func__, []

    def replaced_once(cls, ranker, digest=""):
        reads.append(digest)
        if len(reads) == 1:
            update(folder, "meanwhile")
        return of(cls, ranker, digest)

    monkeypatch.setattr(Served, "of", classmethod(replaced_once))
    served = load_served(folder)
    assert len(reads) == 2
    assert served.digest == reads[1] == digest_of(folder) != reads[0]
    assert "meanwhile" in served.ranker.users()


def test_one_that_is_replaced_without_end_is_given_up(folder, monkeypatch):
    monkeypatch.setattr(served_module, "PAUSE", 0)
    digests = map(str, range(99))
    monkeypatch.setattr(served_module, "digest_of", lambda folder: next(digests))
    with pytest.raises(RunError, match="replaced again and again"):
        load_served(folder)


def test_no_request_is_lost_while_rankers_are_exchanged(own, folder):
    own.watch = 0.05
    answers, go_on = [], threading.Event()
    go_on.set()
    with client_of(own) as client:

        def ask():
            while go_on.is_set():
                answers.append(client.post("/recommend", json={"history": [], "k": 5}))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for turn in range(2):
            before = client.get("/readyz").json()["ranker"]
            update(folder, f"turn {turn}")
            end = time.monotonic() + 60
            while client.get("/readyz").json()["ranker"] == before:
                assert time.monotonic() < end
                time.sleep(0.05)
        go_on.clear()
        for thread in threads:
            thread.join()
        assert client.post("/recommend", json={"user": "turn 1"}).status_code == 200
    assert len(answers) > 10
    assert {answer.status_code for answer in answers} == {200}


def test_files_of_a_replaced_ranker_are_not_read_any_more(own, folder):
    """Attributes are read when the ranker is, and not from the files of its successor."""
    context = own.holder.current.ranker.context
    users = context.users
    assert "attributes" in vars(context)
    os.rename(folder, folder.with_name("elsewhere"))
    assert users.rows(0, 1)
    assert context.attributes.names
