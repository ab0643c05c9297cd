"""The executor's side of the zygotes: start them, replace dead ones, fork from them, end them."""

import contextlib
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from snakemake_executor_plugin_warm import zygote as protocol

MAX_ZYGOTES = 8
"""How many environments are kept warm at a time."""
MAX_DEATHS = 3
"""How many zygotes may die before scripts run as processes of their own."""

Environment = Mapping[str, str]
Key = frozenset[tuple[str, str]]

_ENDING_GRACE = protocol.TERMINATE_GRACE + 5.0
_PER_JOB = frozenset({"TMPDIR", "TMP", "TEMPDIR", "TEMP"})

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "GOTO_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
)
"""The limits that Snakemake sets for a job of one thread."""


class ZygoteDiedError(Exception):
    """The zygote is gone, and with it its children."""


@dataclass(frozen=True)
class Errand:
    """What of a job decides which child runs its script, and what that child does then.

    Attributes
    ----------
    inputs
        Files that the script reads.
    search_path
        What it appends to ``sys.path`` before all else; None if it has to have a process of its
        own.
    large
        Whether it may need the memory that children keep between scripts.
    """

    inputs: frozenset[str]
    search_path: tuple[str, ...] | None
    large: bool


class Child:
    """A forked process, which waits for a script.

    Parameters
    ----------
    pid
        Its process id.
    channel
        Its socket to the zygote.
    zygote
        What it was forked from.

    Attributes
    ----------
    search_path
        What its scripts append to ``sys.path``: modules that one of them has imported are those
        that the next one would find.
    written
        Files that its last script has written.
    n_left
        How many scripts it can still run.
    used
        What its last script has used.
    """

    def __init__(self, pid: int, channel: socket.socket, zygote: "Zygote") -> None:
        self.pid = pid
        self.zygote = zygote
        self.search_path: tuple[str, ...] = ()
        self.written: frozenset[str] = frozenset()
        self.n_left = 1
        self._channel = channel
        self._total = self.used = protocol.usage_of()

    @property
    def waits(self) -> bool:
        """Whether it is still there: from one that waits, only news of its end can come."""
        return not select.select([self._channel], [], [], 0)[0]

    def run(self, script: str, directory: str, environment: Environment) -> int:
        """Run a script and wait for its end.

        Returns
        -------
        int
            Its exit status as `subprocess` gives it: minus the signal that ended it, if one did.

        Raises
        ------
        ZygoteDiedError
            If the status will never be known.
        """
        self.n_left -= 1
        task = protocol.Task(
            script=script,
            argv=[sys.executable, script],
            directory=directory,
            environment=dict(environment),
            search_path=list(self.search_path),
            last=self.n_left == 0,
        )
        try:
            # A child that is killed before it has read its task still has a status.
            with contextlib.suppress(BrokenPipeError):
                protocol.send(self._channel, task)
            answer = protocol.receive(self._channel)
            usage = answer["usage"]
            if len(answer) == 1:
                answer = protocol.receive(self._channel)
        except (EOFError, OSError) as error:
            self._channel.close()
            raise ZygoteDiedError from error
        self.used = protocol.used_between(self._total, usage)
        self._total = usage
        if "done" in answer:
            return int(answer["done"])
        self.n_left = 0
        self._channel.close()
        return int(answer["status"])

    def end(self, *, wait: bool = False) -> None:
        """Let it end instead of waiting for a script, and wait until its memory is free."""
        with self._channel, contextlib.suppress(EOFError, OSError):
            self._channel.shutdown(socket.SHUT_WR)
            if wait:
                protocol.receive(self._channel)


class Zygote:
    """A running zygote.

    Parameters
    ----------
    modules
        What it imports.
    environment
        The environment in which it does so.
    stdout
        Its standard output and that of its children.
    own_variables
        What it finds in its environment beside that.
    """

    def __init__(
        self,
        modules: Sequence[str],
        environment: Environment,
        stdout: IO[Any] | None,
        own_variables: Environment = MappingProxyType({}),
    ) -> None:
        self.environment = environment
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(protocol.__file__)), str(theirs.fileno()), *modules],
                env={**environment, **own_variables},
                stdout=stdout,
                pass_fds=(theirs.fileno(),),
            )
        self._report: protocol.Report | None = None
        self._reading = threading.Lock()

    @property
    def ready(self) -> bool:
        """Whether it has imported its modules."""
        return self._report is not None

    def report(self) -> protocol.Report:
        """Wait until the modules are imported and tell how that went.

        Raises
        ------
        ZygoteDiedError
            If the zygote has died over it.
        """
        with self._reading:
            if self._report is None:
                try:
                    self._report = protocol.receive(self._control)
                except (EOFError, OSError) as error:
                    raise ZygoteDiedError from error
            return self._report

    def fork(self) -> Child:
        """Fork a child.

        Raises
        ------
        ZygoteDiedError
            If the zygote is no longer there.
        OSError
            If the system has no room for another process.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._control, [protocol.FORK], [theirs.fileno()])
            answer = protocol.receive(ours)
        except (EOFError, OSError) as error:
            ours.close()
            raise ZygoteDiedError from error
        if "error" in answer:
            ours.close()
            raise OSError(answer["error"])
        return Child(answer["pid"], ours, self)

    def end_children(self) -> None:
        """Have the children end: SIGTERM after a grace, SIGKILL after another."""
        if not self.ready:
            self._process.kill()  # it has none, and imports may last
        with contextlib.suppress(OSError):
            self._control.send(protocol.END)

    def close(self, *, orderly: bool) -> None:
        """End the zygote and wait until it has gone.

        Parameters
        ----------
        orderly
            Whether processes that scripts have left running may go on, as they may after any
            script. Otherwise they are killed.
        """
        if not self.ready:
            self._process.kill()  # it has no children, and imports may last
        with contextlib.suppress(OSError):
            if orderly:
                self._control.send(protocol.QUIT)
        self._control.close()
        try:
            self._process.wait(_ENDING_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Nursery:
    """Forks from the zygote that has the environment of the job.

    Libraries read their thread limits when they are imported. A zygote hence serves only jobs
    whose environment is the one in which it has imported them; there is one for each.

    Parameters
    ----------
    modules
        What each zygote imports.
    warn
        Called with a sentence for the user.
    shared
        Whether jobs of any number of threads have the same zygote, whose libraries know of one.
    own_variables
        What only zygotes find in their environment.
    scripts_per_child
        How many scripts a child runs at most, one after another.
    """

    def __init__(
        self,
        modules: Sequence[str],
        warn: Callable[[str], None],
        *,
        shared: bool = False,
        own_variables: Environment = MappingProxyType({}),
        scripts_per_child: int = 1,
    ) -> None:
        self._modules = list(modules)
        self._warn = warn
        self._own_variables = own_variables
        self._limits = ONE_THREAD if shared else {}
        self._said: set[str] = set()
        self._lock = threading.Lock()
        self._zygotes: dict[Key, Zygote] = {}
        self._scripts_per_child = scripts_per_child
        self._idle: list[Child] = []
        self._deaths = 0
        self._ending = False

    def start(self, environment: Environment, stdout: IO[Any] | None) -> None:
        """Start the zygote for an environment, if there is none yet."""
        environment = {**environment, **self._limits}
        self._zygote(_key(environment), environment, stdout)

    def child(
        self, environment: Environment, stdout: IO[Any] | None, errand: Errand
    ) -> Child | None:
        """Find or fork a child for a job with the given environment.

        Returns
        -------
        Child or None
            None if the job is to run as a process of its own.

        Raises
        ------
        KeyboardInterrupt
            If the user has ended the run.
        """
        environment = {**environment, **self._limits}
        key = _key(environment)
        if errand.large:
            self._make_room()
        while (zygote := self._zygote(key, environment, stdout)) is not None:
            try:
                if self._accept(key, zygote):
                    return self._kept(zygote, errand) or self._forked(zygote, errand)
            except ZygoteDiedError:
                self._bury(key, zygote)
            except OSError as error:
                self._warn_once(f"A script runs as a process of its own: {error}.")
                return None
        return None

    def take_back(self, child: Child, written: frozenset[str]) -> None:
        """Keep a child whose script has come to its end, if it can run another one."""
        if child.n_left == 0:
            return
        child.written = written
        with self._lock:
            self._idle.append(child)
            if self._ending or child.zygote not in self._zygotes.values():
                self._end_idle()

    def _kept(self, zygote: Zygote, errand: Errand) -> Child | None:
        """Pick a child that waits, best the one that has written what is read now."""
        with self._lock:
            for child in [child for child in self._idle if not child.waits]:
                self._idle.remove(child)
                child.end()
            fitting = [
                child
                for child in self._idle
                if child.zygote is zygote and child.search_path == errand.search_path
            ]
            if not fitting:
                return None
            child = max(fitting, key=lambda child: len(child.written & errand.inputs))
            self._idle.remove(child)
            return child

    def _forked(self, zygote: Zygote, errand: Errand) -> Child:
        with self._lock:
            if self._idle:  # it does not fit, and there shall be no more children than jobs
                self._idle.pop(0).end()
        child = zygote.fork()
        if errand.search_path is not None:
            child.search_path, child.n_left = errand.search_path, self._scripts_per_child
        return child

    def _make_room(self) -> None:
        """Have the children that wait give their memory back."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.end(wait=True)

    def _end_idle(self) -> None:
        for child in self._idle:
            child.end()
        self._idle.clear()

    def end_children(self) -> None:
        """Have all children end, without waiting for them, and fork no more."""
        with self._lock:
            self._ending = True
            self._end_idle()
            for zygote in self._zygotes.values():
                zygote.end_children()

    def close(self, *, orderly: bool) -> None:
        """End all zygotes and wait until they have gone."""
        with self._lock:
            self._ending = True
            self._end_idle()
            for zygote in self._zygotes.values():
                zygote.close(orderly=orderly)
            self._zygotes.clear()

    def _zygote(self, key: Key, environment: Environment, stdout: IO[Any] | None) -> Zygote | None:
        """Return the zygote for an environment, a new one if need be."""
        with self._lock:
            if self._ending:
                raise KeyboardInterrupt
            if key in self._zygotes:
                return self._zygotes[key]
            if self._deaths >= MAX_DEATHS:
                return None
            if len(self._zygotes) >= MAX_ZYGOTES:
                self._warn_once(
                    f"Scripts run in more than {MAX_ZYGOTES} different environments; those beyond "
                    "run as processes of their own."
                )
                return None
            try:
                zygote = Zygote(self._modules, environment, stdout, self._own_variables)
            except OSError as error:
                self._warn_once(f"A script runs as a process of its own: {error}.")
                return None
            self._zygotes[key] = zygote
            return zygote

    def _accept(self, key: Key, zygote: Zygote) -> bool:
        """Wait for the imports and tell whether the zygote can be used."""
        report = zygote.report()
        threaded = report["threaded"]
        with self._lock:
            for name, why in report["failures"].items():
                self._warn_once(f"The module {name} of warm-preload cannot be imported ({why}).")
            if threaded is not None and self._discard(key, zygote):
                self._modules = [name for name in self._modules if name != threaded]
                self._warn_once(
                    f"The module {threaded} of warm-preload starts a thread when it is imported, "
                    "and a process with threads cannot be forked safely. It is not preloaded."
                )
        return threaded is None

    def _bury(self, key: Key, zygote: Zygote) -> None:
        with self._lock:
            if not self._discard(key, zygote) or self._ending:
                return
            if not zygote.ready:
                self._deaths = MAX_DEATHS
                self._warn(
                    "The process that scripts are forked from died while it imported "
                    f"{', '.join(self._modules)}. Scripts run as processes of their own."
                )
                return
            self._deaths += 1
            self._warn(
                "The process that scripts are forked from has died; "
                + (
                    "another one takes its place."
                    if self._deaths < MAX_DEATHS
                    else "scripts run as processes of their own from here on."
                )
            )

    def _discard(self, key: Key, zygote: Zygote) -> bool:
        """Drop a zygote, if no other thread has done so."""
        if self._zygotes.get(key) is not zygote:
            return False
        del self._zygotes[key]
        zygote.close(orderly=False)
        return True

    def _warn_once(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self._warn(sentence)


def _key(environment: Environment) -> Key:
    return frozenset(item for item in environment.items() if item[0] not in _PER_JOB)
