"""The options of commands whose work the workers of a Ray cluster can share."""

from __future__ import annotations

from dataclasses import dataclass

from lkgrag.cli.arguments import whole_number
from lkgrag.errors import ConfigError, nearest
from lkgrag.utils.launcher import count_processes
from lkgrag.utils.ray_cluster import check_address, import_ray


@dataclass(frozen=True)
class CrewOptions:
    """Which workers are wanted.

    Attributes:
        workers: how many; None for one a core.
        address: of a cluster; None for one on this machine.
    """

    workers: int | None
    address: str | None

    def count(self, threads: int, cores: int) -> tuple[int, int]:
        """Workers (0: as many as the cluster has CPUs for), and threads of each.

        Args:
            threads: of a process, as the run has it; below 1 for a share of the cores.
            cores: of this machine.

        Raises:
            ConfigError: there are more workers than cores.
        """
        if self.address is not None:
            return self.workers or 0, max(1, threads)
        workers = self.workers or max(1, cores // max(1, threads))
        # Two, so that a cluster can be tried anywhere.
        if workers > max(2, cores):
            raise ConfigError(
                f"workers={workers}: this machine has {cores} cores: take at most {max(2, cores)}, or name a cluster "
                "by address="
            )
        return workers, threads if threads > 0 else max(1, cores // workers)


def parse_crew(
    pairs: dict[str, str], other: str, command: str, problem: str | None = None
) -> CrewOptions | None:
    """Read ``engine``, ``workers`` and ``address``; None where another engine works.

    Args:
        pairs: all options.
        other: the word for the other engine, which is the default.
        command: that is started, as ``python -m lkgrag.count``.
        problem: why Ray cannot be taken; None if it can.

    Raises:
        ConfigError: an option has a wrong value or does not fit the others, or Ray is not installed.
    """
    engines = (other, "ray")
    engine = pairs.get("engine", other)
    if engine not in engines:
        raise ConfigError(
            f"option 'engine': {engine[:60]!r} is none of {', '.join(engines)}.{nearest(engine, engines)}"
        )
    if engine != "ray":
        for name in ("workers", "address"):
            if name in pairs:
                raise ConfigError(
                    f"option '{name}' is for engine=ray: add it, or leave {name}= out"
                )
        return None
    if problem is not None:
        raise ConfigError(problem)
    if count_processes() > 1:
        raise ConfigError(
            f"engine=ray starts its workers itself: start it by {command}, not by accelerate launch"
        )
    workers = whole_number(pairs, "workers", 1) if "workers" in pairs else None
    address = pairs.get("address")
    if address is not None:
        check_address(address)
    import_ray()
    return CrewOptions(workers, address)
