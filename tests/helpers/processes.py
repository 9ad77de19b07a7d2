"""Commands in processes of their own, which need not import everything anew.

``python -m lkgrag.train`` imports for five seconds what a small run then uses for three. So these processes
are forked from one that has imported it and done nothing else; from there on they are what the interpreter
would start: their own arguments, environment, output, locks and death. At least one test of each command
starts the interpreter itself.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

import torch

from helpers.ports import free_port

#: Seconds after which a process is given up.
LIMIT = 600
#: A process that knows a GPU must not be forked.
FORKS = not torch.cuda.is_available()

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "lkgrag.run.pipeline",
        "lkgrag.run.reevaluate",
        "lkgrag.serving.shards",
        "lkgrag.serving.export",
        "lkgrag.report.figures",
        # What a run imports on the way.
        "numba",
        "peft",
        "transformers.models.llama.modeling_llama",
    ]
)


def _prepare():
    """Start the process that others are forked from, with what commands set before they import."""
    from lkgrag.cli.command import prepare_environment

    before = dict(os.environ)
    try:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        prepare_environment()
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _become(program, args, environment, folder, out, err):
    """What the interpreter does with ``-m program`` or ``-c program``, in a forked process."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in ((1, out), (2, err)):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
        os.close(handle)
    if _is_module(program):
        sys.argv = [program, *args]
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["-c", *args]
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})


def _is_module(program):
    return program.replace(".", "").isidentifier()


class Process:
    """A running command.

    Args:
        program: a module, or code.
        args: its arguments.
        environment: what differs from ours.
    """

    def __init__(self, program, args, environment=None):
        self.args = [program, *map(str, args)]
        self._folder = tempfile.TemporaryDirectory()
        self._out, self._err = (Path(self._folder.name) / name for name in ("out", "err"))
        environment = {**os.environ, **(environment or {})}
        if FORKS:
            _prepare()
            given = (program, self.args[1:], environment, os.getcwd(), self._out, self._err)
            self._process = _CONTEXT.Process(target=_become, args=given)
            self._process.start()
        else:
            line = [sys.executable, "-m" if _is_module(program) else "-c", *self.args]
            with open(self._out, "w") as out, open(self._err, "w") as err:
                self._process = subprocess.Popen(line, env=environment, stdout=out, stderr=err)
        self.pid = self._process.pid

    def poll(self):
        """Its exit status, the negative number of a signal; None while it runs."""
        return self._process.exitcode if FORKS else self._process.poll()

    def wait(self, seconds=LIMIT):
        """Its exit status.

        Raises:
            TimeoutExpired: it still runs.
        """
        if not FORKS:
            return self._process.wait(seconds)
        self._process.join(seconds)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, seconds)
        return self._process.exitcode

    def read_output(self):
        """What it has written to stdout so far."""
        return self._out.read_text() if self._out.exists() else ""

    def kill(self):
        """End it at once, as a lack of memory would."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def finish(self, seconds=LIMIT):
        """What :func:`subprocess.run` gives."""
        try:
            code = self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        out, err = (path.read_text() for path in (self._out, self._err))
        return subprocess.CompletedProcess(self.args, code, out, err)


def run(program, *args, **environment):
    """Run a module or code to its end."""
    return Process(program, args, environment).finish()


def start_together(processes, program, args, is_one_machine=True):
    """Processes that work together on a CPU, as Accelerate's launcher starts them: of one machine, or one each."""
    together = {
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes if is_one_machine else 1),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "ACCELERATE_MIXED_PRECISION": "no",
        "ACCELERATE_DYNAMO_BACKEND": "no",
    }
    if processes == 1:
        return [Process(program, args)]

    def places(rank):
        local, machine = (rank, 0) if is_one_machine else (0, rank)
        return {"RANK": str(rank), "LOCAL_RANK": str(local), "GROUP_RANK": str(machine)}

    return [Process(program, args, {**together, **places(rank)}) for rank in range(processes)]


def finish_together(processes, seconds=LIMIT):
    """What each gives; where one fails, the others are ended."""
    end = time.monotonic() + seconds
    while any(process.poll() is None for process in processes):
        failed = any(process.poll() not in (None, 0) for process in processes)
        if failed or time.monotonic() > end:
            # Whoever waits for another says so within a second.
            time.sleep(1)
            for process in processes:
                process.kill()
        time.sleep(0.02)
    return [process.finish() for process in processes]
