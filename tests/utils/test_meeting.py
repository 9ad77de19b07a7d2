"""How the processes of a launch meet; here they are threads of one process."""

import socket
import threading
import time
from dataclasses import replace

import pytest
from helpers.ports import free_port
from torch.distributed import TCPStore

from lkgrag.errors import ConfigError, RunError
from lkgrag.utils.meeting import Place, meet

VARIABLES = {
    "RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "0",
    "LOCAL_WORLD_SIZE": "1",
    "GROUP_RANK": "1",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29511",
}


def test_the_place_is_what_the_launcher_says():
    place = Place.read(VARIABLES)
    assert place == Place(1, 2, 0, "1", "10.0.0.1", 29511)
    first = Place.read({**VARIABLES, "RANK": "0"})
    assert first.is_host
    agent = {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "3"}
    assert not Place.read({**VARIABLES, "RANK": "0", **agent}).is_host
    assert Place.read({**VARIABLES, **agent}).attempt == "3"


@pytest.mark.parametrize("given", [{}, {"WORLD_SIZE": "1"}, {**VARIABLES, "WORLD_SIZE": "1"}])
def test_a_process_alone_meets_nobody(given):
    assert Place.read(given) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RANK": "2"}, "RANK=2 of WORLD_SIZE=2.*--machine_rank"),
        ({"RANK": "x"}, "RANK is 'x'"),
        ({"RANK": "-1"}, "RANK is '-1'"),
        ({"RANK": ""}, "RANK is not set"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0'"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR is not set.*--main_process_ip"),
        ({"MASTER_PORT": "99999"}, "MASTER_PORT is '99999'"),
        ({"MASTER_PORT": "0"}, "MASTER_PORT is '0'"),
        ({"LOCAL_RANK": "1.5"}, r"LOCAL_RANK is '1\.5'"),
    ],
)
def test_wrong_variables_are_named_in_one_line(changes, words):
    with pytest.raises(ConfigError, match=words) as error:
        Place.read({**VARIABLES, **changes})
    assert "\n" not in str(error.value)


def meet_all(places, wait=20.0):
    """What each place gets: its members, or its error."""
    found, kept = {}, []

    def one(number, place):
        try:
            store, members = meet(place, wait)
            kept.append(store)
            found[number] = members
        except RunError as error:
            found[number] = str(error)

    threads = [threading.Thread(target=one, args=(n, p)) for n, p in enumerate(places)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[number] for number in range(len(places))]


def two():
    first = Place(0, 2, 0, "0", "127.0.0.1", free_port(), is_host=True)
    return first, replace(first, rank=1, node="1", is_host=False)


def test_all_meet_and_know_one_another():
    one, other = meet_all(two())
    assert one == other
    assert [(member.rank, member.node) for member in one] == [(0, "0"), (1, "1")]
    assert str(one[1]).startswith("process 1 (")


def test_who_does_not_come_is_named():
    first, _ = two()
    (line,) = meet_all([first], wait=0.3)
    assert "after 0 s 1 of 2 processes are there; missing: 1. Start the command on every" in line


def test_a_first_process_that_cannot_be_reached_is_named():
    _, second = two()
    (line,) = meet_all([second], wait=0.3)
    assert f"cannot be reached at 127.0.0.1:{second.port} (" in line
    assert "--main_process_ip and --main_process_port" in line
    (line,) = meet_all([replace(second, host="no-such-host.invalid")], wait=0.3)
    assert "cannot be reached at no-such-host.invalid" in line


def test_a_port_in_use_is_named():
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        first = replace(two()[0], port=other.getsockname()[1])
        (line,) = meet_all([first])
    assert line == (
        f"port {first.port} cannot be opened here (in use): give another --main_process_port to all machines"
    )


def test_two_machines_of_one_rank_are_told():
    first, second = two()
    found = meet_all(
        [replace(first, size=3), replace(second, size=3), replace(second, size=3)], 1.0
    )
    assert sum("another process has RANK=1, too" in str(line) for line in found) == 1


def test_other_numbers_of_processes_are_told():
    first, second = two()
    found = meet_all([first, replace(second, size=3)], 5.0)
    assert "was started as one of 3 processes" in found[0]
    assert "was started as one of 2 processes" in found[1]
    assert "--num_machines and --num_processes" in found[1]


def test_a_first_process_that_ends_meanwhile_is_told():
    first, second = two()

    def end(place):
        # Its store goes with it.
        store = TCPStore("127.0.0.1", place.port, None, True, wait_for_workers=False)
        while not store.check(["lkgrag/0/member/1"]):
            time.sleep(0.01)

    thread = threading.Thread(target=end, args=(first,))
    thread.start()
    (line,) = meet_all([second])
    thread.join()
    assert line.startswith(f"the first process has ended at 127.0.0.1:{first.port} while process 1")
