"""What a watch makes of the signs of others; processes that fall silent in truth are in tests/integration/test_nodes.py."""

import json
import time

import pytest
from torch import distributed

from lkgrag.errors import RunError
from lkgrag.utils.heartbeat import DONE, LOST, SAID, Heartbeat, is_connection_error
from lkgrag.utils.meeting import Member, Place

#: Two machines with two processes each.
MEMBERS = [Member(r, str(r // 2), f"machine{r // 2}", f"sign/{r}") for r in range(4)]


def watch(rank, silence=10.0):
    place = Place(rank, 4, rank % 2, str(rank // 2), "127.0.0.1", 1)
    made = Heartbeat(place, None, MEMBERS, silence, "do it again")
    made._signs = ["1"] * 4
    return made


def word(rank, reason):
    return LOST + json.dumps([rank, reason])


def test_signs_of_life_are_no_reason():
    made = watch(0)
    made._look()
    assert made._reason == ""


def test_a_process_that_was_stopped_is_named_by_all_with_what_to_do():
    for rank, speaks in ((0, True), (1, False), (2, False)):
        made = watch(rank)
        made._signs[3] = word(3, "process 3 (machine1) was stopped")
        made._look()
        error = made._error()
        assert str(error) == "process 3 (machine1) was stopped; do it again"
        # On its own machine it has said it itself.
        assert error.is_said is not speaks


def test_the_line_of_an_error_says_itself_what_to_do():
    made = watch(0)
    reason = f"{MEMBERS[2]}{SAID}no space: free some"
    assert made._describe(RunError("no space: free some")).endswith(f"{SAID}no space: free some")
    made._signs[2] = word(2, reason)
    made._look()
    assert str(made._error()) == reason


def test_silence_is_a_loss_after_its_limit_only():
    made = watch(1)
    made._heard[2] -= 9
    made._look()
    assert made._reason == ""
    made._heard[2] -= 2
    made._look()
    assert (
        made._reason == "process 2 (machine1) is lost (10 s without a sign of life: nodes.timeout)"
    )


def test_whoever_is_done_may_be_silent():
    made = watch(1)
    made._signs[2] = DONE
    made._signs[0] = DONE
    made._heard = [time.monotonic() - 99] * 4
    made._heard[3] = time.monotonic()
    made._broken = True
    made._look()
    assert made._reason == ""


@pytest.mark.parametrize("change", [{"_broken": True}, {"_contact": -1e9}])
def test_without_an_answer_of_the_store_the_first_process_is_lost(change):
    made = watch(2)
    vars(made).update(change)
    made._look()
    assert made._reason.startswith("process 0 (machine0) is lost (")
    # The others' silence says nothing then.
    made = watch(2)
    vars(made).update(change)
    made._heard[3] -= 99
    made._look()
    assert made._reason.startswith("process 0")


def test_the_first_reason_counts():
    made = watch(0)
    made._lose(MEMBERS[1], "one")
    made._lose(MEMBERS[2], "two")
    assert made._reason == "one"
    assert made._culprit == MEMBERS[1]


def test_a_lost_process_of_this_machine_is_told_by_the_next_one():
    made = watch(1)
    made._lose(MEMBERS[0], "process 0 is lost")
    assert made._is_speaker()
    made = watch(3)
    made._lose(MEMBERS[0], "process 0 is lost")
    assert not made._is_speaker()


def test_which_errors_are_those_of_a_connection():
    closed = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:1] Connection closed by peer"
    assert is_connection_error(RuntimeError(closed))
    assert is_connection_error(distributed.DistBackendError("NCCL"))
    assert not is_connection_error(RuntimeError("shape"))
    assert not is_connection_error(ValueError(closed))
