"""How the processes of a launch meet: whom the launcher's variables name, and who has come."""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from torch import distributed

from lkgrag.errors import ConfigError, RunError, short
from lkgrag.utils.launcher import read_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.distributed import TCPStore

#: The address where nothing else is said, and the launcher's usual port.
HERE, PORT = "127.0.0.1", 29500
#: Seconds between two attempts, and those that a refused first process gives the others to see why.
AGAIN, FAREWELL = 0.2, 1.0
#: The launcher's own process holds the store, and gives each attempt another number.
AGENT, ATTEMPT = "TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_RESTART_COUNT"


@dataclass(frozen=True)
class Place:
    """The place of a process in a launch, as the launcher's variables say.

    Attributes:
        rank: from 0.
        size: number of processes.
        local_rank: of this machine's processes.
        node: number or name of the machine.
        host: address of the first process' machine.
        port: of the store there.
        attempt: of the launcher.
        is_host: whether this process holds the store.
    """

    rank: int
    size: int
    local_rank: int
    node: str
    host: str
    port: int
    attempt: str = "0"
    is_host: bool = False

    @classmethod
    def read(cls, given: Mapping[str, str] | None = None) -> Place | None:
        """Read the variables.

        Args:
            given: variables in place of the environment's.

        Returns:
            The place; None for a process alone.

        Raises:
            ConfigError: a variable is missing or wrong.
        """
        given = os.environ if given is None else given
        size = read_number("WORLD_SIZE", 1, low=1, given=given)
        if size == 1:
            return None
        rank = read_number("RANK", None, low=0, given=given)
        if rank >= size:
            raise ConfigError(
                f"RANK={rank} of WORLD_SIZE={size}: ranks are 0 to {size - 1}; give each machine a --machine_rank of its "
                "own, from 0, and all the same --num_machines and --num_processes"
            )
        is_one_machine = read_number("LOCAL_WORLD_SIZE", 1, given=given) == size
        host = given.get("MASTER_ADDR") or (HERE if is_one_machine else "")
        if not host:
            raise ConfigError(
                "MASTER_ADDR is not set: name the machine of the first process by --main_process_ip"
            )
        return cls(
            rank=rank,
            size=size,
            local_rank=read_number("LOCAL_RANK", rank, given=given),
            node=given.get("GROUP_RANK") or platform.node(),
            host=host,
            port=read_number("MASTER_PORT", PORT, low=1, high=2**16 - 1, given=given),
            attempt=given.get(ATTEMPT, "0"),
            is_host=rank == 0 and given.get(AGENT) != "True",
        )


@dataclass(frozen=True)
class Member:
    """A process of the launch.

    Attributes:
        rank: from 0.
        node: number or name of its machine.
        machine: name of its machine.
        key: under which it leaves signs of life.
    """

    rank: int
    node: str
    machine: str
    key: str

    def __str__(self) -> str:
        """Its rank and machine, for messages."""
        return f"process {self.rank} ({self.machine})"


def meet(place: Place, wait: float) -> tuple[TCPStore, list[Member]]:
    """Connect to the store of the launch, and wait until all have come.

    Args:
        place: of this process.
        wait: seconds in which all must have come.

    Returns:
        The store, and all processes by rank.

    Raises:
        RunError: the first process' machine cannot be reached, its port is in use, a rank is there twice, the processes
            differ in their number, or some do not come.
    """
    end = time.monotonic() + wait
    store = _open_store(place, wait, end)
    try:
        return store, _wait_for_all(place, store, wait, end)
    except RunError:
        if place.is_host:
            # The others read the same here, and the store ends with this process.
            time.sleep(FAREWELL)
        raise
    except RuntimeError as error:
        raise RunError(
            f"the first process has ended at {place.host}:{place.port} while process {place.rank} waited for the others: "
            "see its output, and start the command on every machine again"
        ) from error


def _wait_for_all(place: Place, store: TCPStore, wait: float, end: float) -> list[Member]:
    """Say that this process has come, and wait for the others.

    Args:
        place: of this process.
        store: of the launch.
        wait: seconds in which all must have come.
        end: of these seconds, on the clock of :func:`time.monotonic`.

    Raises:
        RunError: as of :func:`meet`.
    """
    root = f"lkgrag/{place.attempt}/"
    if store.add(f"{root}rank/{place.rank}", 1) > 1:
        raise RunError(
            f"another process has RANK={place.rank}, too: give each machine a --machine_rank of its own, from 0"
        )
    me = {"size": place.size, "node": place.node, "machine": platform.node()}
    store.set(f"{root}sign/{place.rank}", "0")
    store.set(f"{root}member/{place.rank}", json.dumps(me))
    missing = [*range(place.size)]
    members: dict[int, Member] = {}
    while missing:
        for rank in [*missing]:
            if not store.check([f"{root}member/{rank}"]):
                continue
            found = json.loads(store.get(f"{root}member/{rank}"))
            if found["size"] != place.size:
                raise RunError(
                    f"process {rank} ({found['machine']}) was started as one of {found['size']} processes, process "
                    f"{place.rank} ({me['machine']}) as one of {place.size}: give all machines the same --num_machines "
                    "and --num_processes"
                )
            members[rank] = Member(rank, found["node"], found["machine"], f"{root}sign/{rank}")
            missing.remove(rank)
        if missing and time.monotonic() > end:
            words = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
            raise RunError(
                f"after {wait:.0f} s {place.size - len(missing)} of {place.size} processes are there; missing: {words}. "
                "Start the command on every machine within nodes.join seconds, with its own --machine_rank"
            )
        time.sleep(AGAIN / 4 if missing else 0)
    return [members[rank] for rank in range(place.size)]


def _open_store(place: Place, wait: float, end: float) -> TCPStore:
    """Hold the store, or connect to it.

    Raises:
        RunError: the port is in use, or nobody answers there in time.
    """
    where = f"{place.host}:{place.port}"
    limit = timedelta(seconds=wait)
    try:
        if place.is_host:
            # torch takes the same store for its own group in this process.
            return distributed.TCPStore(
                place.host, place.port, None, True, limit, wait_for_workers=False, multi_tenant=True
            )
        _reach(place, end, wait)
        return distributed.TCPStore(
            place.host, place.port, None, False, limit, wait_for_workers=False
        )
    except (RuntimeError, ValueError) as error:
        if place.is_host:
            raise RunError(
                f"port {place.port} cannot be opened here ({_why(error)}): give another --main_process_port to all machines"
            ) from error
        raise RunError(
            f"what answers at {where} is not the first process of this launch ({_why(error)}): give another "
            "--main_process_port to all machines"
        ) from error


def _reach(place: Place, end: float, wait: float) -> None:
    """Wait until the first process' machine answers. torch itself would print a warning for each attempt.

    Raises:
        RunError: nobody answers in time.
    """
    while True:
        try:
            socket.create_connection((place.host, place.port), timeout=max(AGAIN, wait)).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise RunError(
                    f"the first process cannot be reached at {place.host}:{place.port} ({error.strerror or error}) after "
                    f"{wait:.0f} s: start it there, check --main_process_ip and --main_process_port and that the "
                    "port is open, or raise nodes.join"
                ) from error
            time.sleep(AGAIN)


def _why(error: Exception) -> str:
    """The first words of an error of torch, without its place in the source."""
    text = str(error)
    return "in use" if "EADDRINUSE" in text else short(text.partition("\n")[0])
