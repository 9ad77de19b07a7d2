"""Signs of life between the processes of one launch, on one machine or many.

Collective operations wait: for a machine that has lost its power NCCL and gloo wait as long as their limit, which must be
long, since a stage of the first process may take hours. So each process counts up a number in torch's store, and looks
at the numbers of the others. A process that ends early leaves its reason there. No clock is compared with that of another
machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from torch import distributed

from lkgrag.errors import LkgragError, RunError, short
from lkgrag.utils.meeting import Member, Place, meet

if TYPE_CHECKING:
    from torch.distributed import TCPStore

#: Seconds between two signs of life, and most of them in a silence that is tolerated.
PERIOD, LEAST = 1.0, 5
#: Seconds in which the main thread may end by itself before it is ended, and those that its end may take.
GRACE, ENDING = 2.0, 30.0
#: Seconds in which an interrupted main thread may end by itself, as with its trackers.
TIDY = 10.0
#: Seconds that the first process waits for the ends of the others, because it may hold the store.
FAREWELL = 10.0
#: Seconds in which a broken connection is explained, and silence after which a process is suspected of it.
EXPLAINED, SUSPECT = 8.0, 3.5
#: Exit status of an error that the user can act on, and of an interruption.
FAILED, STOPPED = 2, 130
#: Beginning of what a process leaves when it ends.
DONE, LOST = "done", "lost "
#: Between the name of a process and the line that ended it.
SAID = " ended: "
NETWORK = (
    "name the network interface that all machines share by GLOO_SOCKET_IFNAME (CPUs) or NCCL_SOCKET_IFNAME (GPUs), "
    "and let its ports through"
)


@contextmanager
def together(silence: float, wait: float, advice: str) -> Iterator[Heartbeat | None]:
    """Meet the other processes of the launch, and watch them while the block runs.

    Args:
        silence: seconds without a sign of life after which a process counts as lost.
        wait: seconds in which all must have come.
        advice: how to go on after a loss.

    Yields:
        The watch; None for a process without others.

    Raises:
        ConfigError: the launcher's variables are wrong.
        RunError: the others do not come in time, or a process is lost. A main thread that waits for it is ended after
            that line, with exit status 2.
    """
    place = Place.read()
    if place is None:
        yield None
        return
    store, members = meet(place, wait)
    heartbeat = Heartbeat(place, store, members, silence, advice)
    heartbeat.start()
    try:
        yield heartbeat
    except BaseException as error:
        lost = heartbeat.end(error)
        if lost is not None:
            raise lost from error
        raise
    heartbeat.end(None)


class Heartbeat:
    """The watch over the other processes.

    Args:
        place: of this process.
        store: of the launch; only the thread of the signs speaks to it.
        members: all processes, by rank.
        silence: seconds without a sign of life after which a process counts as lost.
        advice: how to go on after a loss.
    """

    def __init__(
        self, place: Place, store: TCPStore, members: list[Member], silence: float, advice: str
    ) -> None:
        self.place, self.members, self.advice = place, members, advice
        self.silence, self.period = silence, min(PERIOD, silence / LEAST)
        self._store = store
        now = time.monotonic()
        #: The last sign of each process, and when it was new on the clock of this one.
        self._signs, self._heard = [""] * place.size, [now] * place.size
        self._contact, self._broken = now, False
        #: What this process leaves, and whether it has been sent.
        self._last, self._sent = "", threading.Event()
        self._stop, self._ending = threading.Event(), threading.Event()
        self._reason, self._since = "", 0.0
        self._culprit: Member | None = None
        self._limit: tuple[float, str] | None = None
        self._interrupted = 0.0
        self._pipe: tuple[int, int] | None = None

    def start(self) -> None:
        """Begin to give signs and to watch."""
        if threading.current_thread() is threading.main_thread():
            # The handler of a signal runs when the main thread leaves a collective operation; a pipe is read at once.
            self._pipe = os.pipe()
            for handle in self._pipe:
                os.set_blocking(handle, False)
            signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        self._store.set_timeout(timedelta(seconds=self.silence))
        for name, work in (("signs", self._give_signs), ("watch", self._watch)):
            threading.Thread(target=work, name=f"lkgrag-{name}", daemon=True).start()

    @contextmanager
    def forming(self, wait: float) -> Iterator[None]:
        """Limit the time in which the processes connect to one another.

        Raises:
            RunError: they cannot. If they wait longer, the process is ended with that line.
        """
        line = f"the processes have met, but cannot connect to one another: {NETWORK}"
        self._limit = time.monotonic() + wait, f"{line} (waited {wait:.0f} s: nodes.join)"
        try:
            yield
        except RuntimeError as error:
            if not is_connection_error(error):
                raise
            raise RunError(f"{line} ({short(str(error))})") from error
        finally:
            self._limit = None

    def end(self, error: BaseException | None) -> RunError | None:
        """Tell the others that this process ends.

        Args:
            error: that ends it; None after all work is done.

        Returns:
            The line for an error that comes from the loss of another process; None for any other.
        """
        self._ending.set()
        lost = None
        if error is not None and is_connection_error(error):
            lost = self._explain()
        if lost is not None:
            self._leave_word(LOST + json.dumps([self._name(self._culprit), self._reason]))
        elif error is not None:
            self._leave_word(LOST + json.dumps([self.place.rank, self._describe(error)]))
        else:
            self._leave_word(DONE)
            end = time.monotonic() + FAREWELL
            while self.place.rank == 0 and time.monotonic() < end and not self._are_all_gone():
                time.sleep(self.period / 4)
        if self._pipe is not None:
            signal.set_wakeup_fd(-1)
        if lost is None:
            self._stop.set()
        return lost

    def _describe(self, error: BaseException) -> str:
        """What the others are told of the end of this process."""
        me = str(self.members[self.place.rank])
        if isinstance(error, KeyboardInterrupt):
            return f"{me} was stopped"
        if isinstance(error, LkgragError):
            return f"{me}{SAID}{error}"
        return f"{me} ended by a {type(error).__name__}; see its output"

    def _leave_word(self, word: str) -> None:
        """Let the thread of the signs send a last one."""
        self._last = word
        self._sent.wait(max(FAREWELL / 2, 2 * self.period))

    def _are_all_gone(self) -> bool:
        return self._broken or all(
            sign.startswith((DONE, LOST))
            for rank, sign in enumerate(self._signs)
            if rank != self.place.rank
        )

    def _explain(self) -> RunError:
        """The line for a broken connection: what another process has left, or who has been silent since."""
        end = time.monotonic() + EXPLAINED
        while not self._reason and time.monotonic() < end:
            now = time.monotonic()
            silent = [
                (now - heard, rank)
                for rank, heard in enumerate(self._heard)
                if rank != self.place.rank and not self._signs[rank].startswith(DONE)
            ]
            longest, rank = max(silent, default=(0.0, 0))
            # Without the store all others seem silent.
            if longest > SUSPECT * self.period and not self._broken:
                self._lose(self.members[rank], f"{self.members[rank]} is lost")
            time.sleep(self.period / 4)
        if not self._reason:
            self._lose(None, "the connection to another process broke")
        self._since = time.monotonic()
        return self._error()

    def _error(self) -> RunError:
        """The error for the reason that is known."""
        error = RunError(self._line())
        error.is_said = not self._is_speaker()
        return error

    def _line(self) -> str:
        """The reason that is known, and what to do. The line of another process says that itself."""
        return self._reason if SAID in self._reason else f"{self._reason}; {self.advice}"

    def _is_speaker(self) -> bool:
        """Whether this process prints the reason: the first living one of its machine, unless one has said it."""
        mine, culprit = self.members[self.place.rank], self._culprit
        here = [m for m in self.members if m.node == mine.node]
        if culprit is not None and culprit.node == mine.node:
            if self._signs[culprit.rank].startswith(LOST):
                return False
            here = [m for m in here if m.rank != culprit.rank]
        return mine.rank == min(m.rank for m in here)

    def _name(self, member: Member | None) -> int:
        return -1 if member is None else member.rank

    def _lose(self, member: Member | None, reason: str) -> None:
        """Note why the work cannot go on; the first reason counts."""
        if not self._reason:
            self._culprit, self._since = member, time.monotonic()
            self._reason = reason

    def _give_signs(self) -> None:
        """Count up, and read what the others have counted."""
        keys = [member.key for member in self.members]
        count = 0
        while not self._stop.is_set():
            word = self._last
            try:
                count += 1
                self._store.set(keys[self.place.rank], word or str(count))
                if word:
                    self._sent.set()
                signs = [value.decode() for value in self._store.multi_get(keys)]
            except Exception:
                # The first process' machine holds the store.
                self._broken = True
                self._sent.set()
                return
            now = time.monotonic()
            self._contact = now
            for rank, sign in enumerate(signs):
                if sign != self._signs[rank]:
                    self._signs[rank], self._heard[rank] = sign, now
            end = time.monotonic() + self.period
            # A last word is sent at once.
            while time.monotonic() < end and self._last == word and not self._stop.is_set():
                time.sleep(self.period / 20)

    def _watch(self) -> None:
        """Look at the signs, and end a process whose main thread waits for a lost one."""
        while not self._stop.is_set():
            self._read_signals()
            self._look()
            now = time.monotonic()
            if self._interrupted and not self._ending.is_set() and now - self._interrupted > TIDY:
                self._last = LOST + json.dumps(
                    [self.place.rank, self._describe(KeyboardInterrupt())]
                )
                self._sent.wait(GRACE)
                self._leave(f"stopped; {self.advice}", STOPPED)
            if self._reason:
                late = now - self._since
                if not self._ending.is_set() and late > GRACE:
                    self._leave(f"error: {self._line()}", FAILED)
                if self._ending.is_set() and late > ENDING:
                    # Its line is there; what is left is the end of a library that waits.
                    os._exit(FAILED)

    def _read_signals(self) -> None:
        """Wait for the next look, or for a signal."""
        if self._pipe is None or self._ending.is_set():
            time.sleep(self.period / 4)
            return
        if select.select([self._pipe[0]], [], [], self.period / 4)[0]:
            with suppress(BlockingIOError):
                if signal.SIGINT in os.read(self._pipe[0], 64) and not self._interrupted:
                    self._interrupted = time.monotonic()

    def _look(self) -> None:
        """Look for a reason why the work cannot go on."""
        now = time.monotonic()
        for member, sign, heard in zip(self.members, self._signs, self._heard, strict=True):
            if member.rank == self.place.rank or sign.startswith(DONE):
                continue
            if sign.startswith(LOST):
                rank, reason = json.loads(sign.removeprefix(LOST))
                known = 0 <= rank < len(self.members)
                self._lose(self.members[rank] if known else None, reason)
            elif (
                now - heard > self.silence
                and not self._broken
                and now - self._contact < self.silence / 2
            ):
                seconds = f"{self.silence:.0f} s without a sign of life: nodes.timeout"
                self._lose(member, f"{member} is lost ({seconds})")
        first = self.members[0]
        is_first_done = self._signs[0].startswith(DONE)
        if self.place.rank and not is_first_done:
            if self._broken:
                self._lose(first, f"{first} is lost (its connection is closed)")
            elif now - self._contact > self.silence:
                seconds = f"{self.silence:.0f} s without an answer: nodes.timeout"
                self._lose(first, f"{first} is lost ({seconds})")
        if self._limit is not None and now > self._limit[0]:
            self._lose(None, self._limit[1])

    def _leave(self, line: str, status: int) -> NoReturn:
        """End the process now: its main thread may wait forever. Files are written under temporary names."""
        if status == FAILED and not self._last:
            self._last = LOST + json.dumps([self._name(self._culprit), self._reason])
            self._sent.wait(GRACE)
        is_said = self._is_speaker() if status == FAILED else self.place.local_rank == 0
        if is_said:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"{line}\n")
                sys.stderr.flush()
        os._exit(status)


def is_connection_error(error: BaseException) -> bool:
    """Whether an error of torch says that a connection to another process broke, or was not made."""
    return isinstance(error, distributed.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error).lower()
    )
