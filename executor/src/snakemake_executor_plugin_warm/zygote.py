"""The process that scripts are forked from, and what both ends of its sockets say.

The executor runs this file as a program: a fresh interpreter with no thread of Snakemake's, which
imports the modules that it is told to and then forks children, which run the scripts. It uses the
standard library only.

On the control socket the executor sends single bytes, `FORK` with the socket of the new child
attached, `END` and `QUIT`; the zygote sends one message, the `Report`. On the socket of a child,
the zygote sends ``{"pid": …}``, the child receives a `Task`, and the zygote sends
``{"status": …}`` when it has reaped the child. The child thus waits until the executor watches it.
A child that goes on to another script sends ``{"done": 0}`` itself and waits for the next task.
Either comes with the `Usage` of the child's life until then; a child that does not go on sends its
own before, for the zygote does not know which script needed the most memory.
"""

import atexit
import builtins
import contextlib
import contextvars
import ctypes
import fcntl
import gc
import importlib
import importlib.machinery
import io
import json
import locale
import logging
import operator
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading
import time
import types
import warnings
import weakref
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import takewhile
from typing import Any, TypedDict

FORK, END, QUIT = b"F", b"E", b"Q"

INTERRUPT_GRACE = 2.0
"""Seconds that a script has to act on the terminal's Ctrl-C before SIGTERM follows."""
TERMINATE_GRACE = 5.0
"""Seconds that a script has to act on SIGTERM before SIGKILL follows."""

_HEADER = struct.Struct("!I")
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


class Report(TypedDict):
    """What became of the modules to import."""

    failures: dict[str, str]
    """Why a module could not be imported, by its name."""
    threaded: str | None
    """The module whose import left a thread running; nothing can be forked then."""


class Task(TypedDict):
    """What a child needs to become the script's interpreter."""

    script: str
    argv: list[str]
    directory: str
    environment: dict[str, str]
    search_path: list[str]
    """What the script is going to append to ``sys.path`` before all else."""
    last: bool
    """Whether the process ends with the script, whatever it leaves behind."""


class Usage(TypedDict):
    """What a process has used since its start, with those of its children that have ended."""

    cpu_s: float
    read_mb: float
    """From the disk, not from memory in which the system keeps files."""
    written_mb: float
    peak_mb: float
    """The most memory that one of them had at a time, since the last script."""


def usage_of(*figures: resource.struct_rusage) -> Usage:
    """Add up what the system has counted."""
    return Usage(
        cpu_s=sum(each.ru_utime + each.ru_stime for each in figures),
        read_mb=sum(each.ru_inblock for each in figures) / 2048,
        written_mb=sum(each.ru_oublock for each in figures) / 2048,
        peak_mb=max((each.ru_maxrss for each in figures), default=0) / 1024,
    )


def used_between(before: Usage, after: Usage) -> Usage:
    """Tell what was used between two moments of a process's life."""
    return Usage(
        cpu_s=after["cpu_s"] - before["cpu_s"],
        read_mb=after["read_mb"] - before["read_mb"],
        written_mb=after["written_mb"] - before["written_mb"],
        peak_mb=after["peak_mb"],
    )


class Meter:
    """Tells a child that runs one script after another what it has used."""

    def __init__(self) -> None:
        self._peak_of_children = 0

    def peak_mb(self) -> float:
        """Tell the most memory that the script, or a child of it, had at a time."""
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        if children == self._peak_of_children:  # that of an earlier script's children
            return own / 1024
        self._peak_of_children = children
        return max(own, children) / 1024

    def read(self, peak_mb: float) -> Usage:
        """Tell what was used until now, and begin to look anew for the most memory at a time."""
        usage = usage_of(
            resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        )
        with contextlib.suppress(OSError), io.FileIO("/proc/self/clear_refs", "w") as file:
            file.write(b"5")
        return usage | {"peak_mb": peak_mb}


def send(channel: socket.socket, message: Mapping[str, Any]) -> None:
    """Send a message as JSON behind its length."""
    body = json.dumps(message).encode()
    channel.sendall(_HEADER.pack(len(body)) + body)


def receive(channel: socket.socket) -> Any:
    """Receive a message.

    Raises
    ------
    EOFError
        If the other end is closed.
    """
    (length,) = _HEADER.unpack(_receive_exactly(channel, _HEADER.size))
    return json.loads(_receive_exactly(channel, length))


def _receive_exactly(channel: socket.socket, count: int) -> bytes:
    body = b""
    while len(body) < count:
        part = channel.recv(count - len(body))
        if not part:
            raise EOFError
        body += part
    return body


class Zygote:
    """Forks a child for each request, reports its exit status and ends with the executor.

    Parameters
    ----------
    control
        Socket to the executor. Its end is the end of the zygote and of all its children.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._wakeup, self._signalled = socket.socketpair()
        self._pid = os.getpid()
        self._jobs: dict[int, socket.socket] = {}
        self._sentences: list[tuple[float, signal.Signals]] = []
        self._closing = False
        self._orderly = False

        self._inherited: dict[signal.Signals, Any] = {}
        self._outlive_signals()
        self._signalled.setblocking(False)
        self._wakeup.setblocking(False)
        signal.set_wakeup_fd(self._signalled.fileno(), warn_on_full_buffer=False)
        # What a killed script leaves behind, such as the workers of a pool, comes to the zygote.
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def serve(self) -> socket.socket | None:
        """Fork children until the executor goes.

        Returns
        -------
        socket or None
            In a child its socket to the executor, in the zygote None.
        """
        self._outlive_signals()
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        while self._jobs or not self._closing:
            for descriptor, _ in poll.poll(self._milliseconds_to_next_sentence()):
                if descriptor == self._wakeup.fileno():
                    with contextlib.suppress(BlockingIOError):
                        self._wakeup.recv(4096)
                    continue
                channel = self._obey()
                if channel is not None:
                    return self._become_child(channel)
                if self._closing:
                    poll.unregister(self._control)
            self._reap()
            self._execute_sentences()
        if not self._orderly:
            _kill_orphans()
        return None

    def _outlive_signals(self) -> None:
        """Ignore what goes to the whole process group: someone has to reap the children.

        They get the handlers that were there before, be it those of the interpreter or of a
        module that has set its own.
        """
        for number, handler in _ZYGOTE_HANDLERS.items():
            before = signal.signal(number, handler)
            if before is not handler:
                self._inherited[number] = before

    def _obey(self) -> socket.socket | None:
        """Do what the executor says; return its socket in a new child, else None."""
        try:
            order, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        except ConnectionError:
            order, descriptors = b"", []
        if order == FORK and descriptors:
            return self._fork(socket.socket(fileno=descriptors[0]))
        if order == END:
            self._sentence(INTERRUPT_GRACE)
        elif order == QUIT:
            self._closing = self._orderly = True
        elif not order:
            self._closing = True
            self._sentence(0)
        return None

    def _fork(self, channel: socket.socket) -> socket.socket | None:
        try:
            pid = os.fork()
        except OSError as error:
            answer: dict[str, Any] = {"error": str(error)}
        else:
            if pid == 0:
                return channel
            self._jobs[pid] = channel
            answer = {"pid": pid}
        _answer(channel, answer)
        return None

    def _become_child(self, channel: socket.socket) -> socket.socket:
        """Shed what belongs to the zygote."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._inherited.items():
            signal.signal(number, handler)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._pid:
            os._exit(1)
        for own in (self._control, self._wakeup, self._signalled, *self._jobs.values()):
            own.close()
        return channel

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, figures = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return
                channel = self._jobs.pop(pid, None)
                if channel is not None:
                    code = os.waitstatus_to_exitcode(status)
                    _answer(channel, {"status": code, "usage": usage_of(figures)})
                    channel.close()

    def _sentence(self, grace: float) -> None:
        now = time.monotonic()
        self._sentences = [
            (now + grace, signal.SIGTERM),
            (now + grace + TERMINATE_GRACE, signal.SIGKILL),
        ]

    def _milliseconds_to_next_sentence(self) -> float | None:
        if not self._sentences:
            return None
        return max(0.0, 1000 * (self._sentences[0][0] - time.monotonic()))

    def _execute_sentences(self) -> None:
        while self._sentences and self._sentences[0][0] <= time.monotonic():
            _, number = self._sentences.pop(0)
            for pid in self._jobs:
                os.kill(pid, number)


def _note_signal(*_: object) -> None:
    """Exist: a signal without a handler would not wake the zygote up."""


_ZYGOTE_HANDLERS: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.SIG_IGN,
    signal.SIGTERM: signal.SIG_IGN,
    signal.SIGHUP: signal.SIG_IGN,
    signal.SIGCHLD: _note_signal,
}


def _answer(channel: socket.socket, message: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the executor no longer listens
        send(channel, message)


_LIBC = ctypes.CDLL(None)


def _prctl(option: int, value: int) -> None:
    """Set an attribute of this process; where that is refused, other means are left."""
    _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def _kill_orphans() -> None:
    """Kill every process that is left below this one."""
    while orphans := _children():
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as listing:  # noqa: PTH123
            return [int(pid) for pid in listing.read().split()]
    except OSError:  # a kernel that does not list them
        return []


def preload(modules: Iterable[str]) -> Report:
    """Import modules, up to the first that leaves a thread running.

    Parameters
    ----------
    modules
        Their names, or ``module:function`` to call a function of a module as well.
    """
    failures = {}
    for name in modules:
        module, _, function = name.partition(":")
        try:
            found = importlib.import_module(module)
            if function:
                operator.attrgetter(function)(found)()
        except BaseException as error:  # noqa: BLE001 - an import may end in SystemExit
            failures[name] = f"{type(error).__name__}: {error}"
        if _thread_remains():
            return Report(failures=failures, threaded=name)
    return Report(failures=failures, threaded=None)


def _thread_remains() -> bool:
    """Tell whether a fork would leave a thread behind.

    Some libraries, OpenBLAS among them, end their threads before a fork: only after one can the
    others be told.
    """
    if _count_threads() == 1:
        return False
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return _count_threads() > 1


def _count_threads() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208


def run_scripts(channel: socket.socket) -> None:
    """Run the script of a task, and those of further ones as long as this process is as before."""
    task = _next_task(channel)
    if task is None or task["last"]:
        channel.close()
        surroundings = None
    else:
        surroundings = Surroundings()
    meter = Meter()
    while task is not None:
        path = [*_folder_of_script(task), *sys.path, *task["search_path"]]
        run(task)
        if surroundings is None:
            return
        peak = meter.peak_mb()  # what the script leaves is cleared away on its account, too
        goes_on = not task["last"] and surroundings.restore(path)
        usage = meter.read(peak)
        if not goes_on:
            _answer(channel, {"usage": usage})
            return
        task = _next_task(channel, {"done": 0, "usage": usage})


def _next_task(channel: socket.socket, answer: Mapping[str, Any] | None = None) -> Task | None:
    """Wait for a task; return None if none will come."""
    try:
        if answer is not None:
            send(channel, answer)
        task: Task = receive(channel)
    except (EOFError, OSError):
        return None
    except KeyboardInterrupt:
        os._exit(1)
    return task


class Surroundings:
    """What a child has before its first script, and again before each further one.

    What scripts do as a rule is undone: they redirect their standard streams, set up logging,
    capture or filter warnings, open files and extend the search path. The arguments, environment,
    working directory and random state are given to each script anew in any case, and context
    variables, such as NumPy's handling of errors, are its own. Whatever else a script has changed
    stays as it is, and with it the process ends.
    """

    def __init__(self) -> None:
        self._streams = [(number, _duplicate(number)) for number in range(3)]
        self._path = list(sys.path)
        self._modules = {name: it for name, it in sys.modules.items() if name != "__main__"}
        self._root = list(logging.root.handlers), logging.root.level
        self._warnings = _remember_warnings()
        self._lasting = self._lasting_state()
        self._descriptors = _descriptors()

    def restore(self, path: Sequence[str]) -> bool:
        """Undo what a script has changed.

        Parameters
        ----------
        path
            The search path that every script in its place would leave.

        Returns
        -------
        bool
            Whether all is as it was before the first script.
        """
        try:
            _flush_standard_streams()
            if _goes_on() or sys.path != path or self._lasting_state() != self._lasting:
                return False
            self._undo()
            if _descriptors() != self._descriptors:
                return False
            gc.freeze()  # modules that scripts have imported stay, too
        except BaseException:  # noqa: BLE001 - something odd among the leftovers, or Ctrl-C
            return False
        return True

    def _undo(self) -> None:
        _destroy_modules(["__main__"])
        sys.stdin, sys.stdout, sys.stderr = _standard_streams()
        sys.excepthook = sys.__excepthook__
        sys.path[:] = self._path
        handlers, level = self._root
        for handler in [handler for handler in logging.root.handlers if handler not in handlers]:
            logging.root.removeHandler(handler)
            handler.close()
        logging.root.setLevel(level)
        logging.captureWarnings(capture=False)
        self._warnings.__exit__()
        self._warnings = _remember_warnings()
        _flush_standard_streams()
        _LIBC.fflush(None)
        for number, original in self._streams:
            os.dup2(original, number)

    def _lasting_state(self) -> list[object]:
        """Describe what is not undone, such that a change shows."""
        kept = self._modules.items()
        replaced = [name for name, module in kept if sys.modules.get(name) is not module]
        return [_state_of_process(), _state_of_interpreter(), _state_of_libraries(), replaced]


def _state_of_process() -> list[object]:
    return [
        _umask(),
        [resource.getrlimit(limit) for limit in _LIMITS],
        os.sched_getaffinity(0),
        os.getpriority(os.PRIO_PROCESS, 0),
        (os.getpgid(0), os.getsid(0), os.getresuid(), os.getresgid()),
        [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        signal.pthread_sigmask(signal.SIG_BLOCK, []),
        [signal.getitimer(timer) != (0, 0) for timer in _TIMERS],
        locale.setlocale(locale.LC_ALL),
        time.tzname,
    ]


def _state_of_interpreter() -> list[object]:
    return [
        atexit._ncallbacks(),
        (gc.isenabled(), gc.get_threshold(), gc.get_debug(), list(gc.callbacks)),
        (sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile()),
        (sys.getrecursionlimit(), sys.getswitchinterval(), sys.dont_write_bytecode),
        (sys.displayhook, sys.unraisablehook, threading.excepthook),
        (list(sys.meta_path), list(sys.path_hooks)),
        [stream and _settings(stream) for stream in _standard_streams()],
        {name: id(value) for name, value in vars(builtins).items()},
    ]


def _state_of_libraries() -> list[object]:
    """Describe settings of the standard library and of NumPy, no matter when it was imported."""
    processes, random = (sys.modules.get(name) for name in ("multiprocessing", "numpy.random"))
    faults: Any = sys.modules.get("faulthandler")
    return [
        _set_up_loggers(),
        (logging.root.manager.disable, logging.getLoggerClass(), logging.getLogRecordFactory()),
        processes and processes.get_start_method(allow_none=True),
        random is None or type(random.get_bit_generator()).__name__ == "MT19937",
        faults is not None and faults.is_enabled(),
    ]


_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


def _duplicate(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)


def _remember_warnings() -> Any:
    """Return what puts filters back when its ``__exit__`` is called, and shows warnings anew."""
    found = warnings.catch_warnings()
    found.__enter__()
    return found


def _goes_on() -> bool:
    """Tell whether something of a script runs on: a thread or a process."""
    if _count_threads() > 1:
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _umask() -> int:
    os.umask(mask := os.umask(0o077))
    return mask


def _standard_streams() -> tuple[Any, Any, Any]:
    return sys.__stdin__, sys.__stdout__, sys.__stderr__


def _settings(stream: Any) -> tuple[object, ...]:
    buffering = stream.line_buffering, stream.write_through
    return stream.closed, stream.encoding, stream.errors, *buffering


def _set_up_loggers() -> list[tuple[object, ...]]:
    """Describe the loggers below the root that are not as a module's ``getLogger`` leaves them."""
    described: list[tuple[object, ...]] = []
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger):
            # A library adds one of these when it is imported, and it does nothing.
            handlers = [it for it in logger.handlers if not isinstance(it, logging.NullHandler)]
            settings = logger.level, logger.propagate, logger.disabled, handlers, logger.filters[:]
            if settings != (logging.NOTSET, True, False, [], []):
                described.append((name, *settings))
    return described


def _descriptors() -> dict[str, str]:
    """Return what each open descriptor is of."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):  # that of the listing itself
            found[name] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
    return found


def resemble_fresh_interpreter(task: Task) -> types.ModuleType:
    """Make this process what ``python script`` would be, and return its ``__main__``."""
    script = task["script"]
    for name in os.environ.keys() - task["environment"].keys():
        del os.environ[name]
    os.environ.update(task["environment"])
    os.chdir(task["directory"])

    sys.argv = [script]
    sys.orig_argv = task["argv"]
    sys.path[:0] = _folder_of_script(task)

    # What the modules took from the environment, the directory or the entropy of before.
    if "tempfile" in sys.modules:
        sys.modules["tempfile"].tempdir = None  # type: ignore[attr-defined]
    if "multiprocessing.process" in sys.modules:
        sys.modules["multiprocessing.process"].ORIGINAL_DIR = os.getcwd()  # type: ignore[attr-defined]  # noqa: PTH109
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "random" in sys.modules:
        sys.modules["random"].seed()

    main = types.ModuleType("__main__")
    loader = importlib.machinery.SourceFileLoader("__main__", script)
    vars(main).update(
        __annotations__={},
        __builtins__=sys.modules["builtins"],
        __cached__=None,
        __file__=script,
        __loader__=loader,
    )
    sys.modules["__main__"] = main
    return main


def _folder_of_script(task: Task) -> list[str]:
    """Return what Python puts first in the search path."""
    if sys.flags.safe_path:
        return []
    return [os.path.dirname(os.path.realpath(task["script"]))]  # noqa: PTH120


def run(task: Task) -> None:
    """Run the script of a task as ``python script`` would."""
    main = resemble_fresh_interpreter(task)
    try:
        with open(task["script"], "rb") as file:  # noqa: PTH123
            source = file.read()
        code = compile(source, task["script"], "exec", dont_inherit=True)
        contextvars.copy_context().run(exec, code, vars(main))
    except SystemExit as error:
        if error.code not in {None, 0}:
            raise
    except BaseException as error:
        _hide_own_frames(error, error.__traceback__ and error.__traceback__.tb_next)
        raise


def _hide_own_frames(error: BaseException, frames: types.TracebackType | None) -> None:
    """Have the traceback of an uncaught error begin in the script."""
    hook = sys.excepthook

    def show(kind: type[BaseException], value: BaseException, trace: Any) -> None:
        sys.excepthook = hook  # as long as this function lives, so do the variables of the script
        if value is error:
            value.__traceback__ = trace = frames
        hook(kind, value, trace)

    sys.excepthook = show


class _Library(ctypes.Structure):
    """What the dynamic linker tells of a library (``struct dl_phdr_info``)."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("headers", ctypes.c_void_p),
        ("n_headers", ctypes.c_uint16),
        ("n_loaded", ctypes.c_ulonglong),
        ("n_unloaded", ctypes.c_ulonglong),
    )


_LibraryCallback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(_Library), ctypes.c_size_t, ctypes.c_void_p
)


def count_libraries() -> int:
    """Return how many shared libraries this process has ever loaded."""
    count = 0

    def note(library: Any, _size: int, _data: object) -> int:
        nonlocal count
        count = library.contents.n_loaded
        return 1

    _LIBC.dl_iterate_phdr(_LibraryCallback(note), None)
    return count


def end(preloaded: Set[str], n_libraries: int) -> None:
    """End the zygote, or the process of a script that has succeeded, as Python would.

    Threads are joined, ``atexit`` functions called, the modules of the script destroyed and files
    flushed, and the exit handlers of C libraries called if the script has loaded any. Only what
    was preloaded stays as it is: to take apart every object and every library of numpy, scipy and
    astropy costs more than most scripts do, and dirties the memory that is shared with the zygote.

    Parameters
    ----------
    preloaded
        The modules that were there when the script began.
    n_libraries
        What `count_libraries` gave then.

    Notes
    -----
    Where something fails, such as the flush of a standard stream, this returns and leaves the end
    and the exit status to Python.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        _flush_standard_streams()
        sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
        sys.excepthook = sys.__excepthook__
        # New ones come last; even to look at the name of another would be to copy its memory.
        new = list(takewhile(lambda name: name not in preloaded, reversed(sys.modules)))
        _destroy_modules(["__main__", *reversed(new)])
        _flush_standard_streams()
    except Exception:  # noqa: BLE001 - an odd stream, or something odd among the modules
        return
    # A file that only a preloaded module refers to would lose what is still in its buffer.
    flush_files()
    if count_libraries() != n_libraries:
        ctypes.pythonapi.exit(0)
    _LIBC.fflush(None)
    os._exit(0)


def flush_files() -> None:
    """Write what is still in the buffers of open files."""
    for item in gc.get_objects():
        if type(item) in _BUFFERED and not item.closed:
            with contextlib.suppress(OSError, ValueError):
                item.flush()


def _flush_standard_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()


def _destroy_modules(names: Sequence[str]) -> None:
    """Destroy modules step by step as Python does, for the sake of the order of finalizers."""
    gc.collect()  # sorts, by who refers to whom: a text file comes before its buffer from now on
    alive = weakref.WeakValueDictionary(
        {name: sys.modules.pop(name) for name in names if name in sys.modules}
    )
    gc.collect()
    for name in reversed(names):
        module = alive.get(name)
        if module is not None:
            _clear(vars(module))


def _clear(variables: dict[str, Any]) -> None:
    for name in [name for name in variables if name[:1] == "_" != name[1:2]]:
        variables[name] = None
    for name in [name for name in variables if name != "__builtins__"]:
        variables[name] = None


_BUFFERED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def main(descriptor: str, *modules: str) -> None:
    """Serve as zygote on the socket of the given descriptor; in a child, run its scripts."""
    if not sys.flags.safe_path:
        del sys.path[0]
    control = socket.socket(fileno=int(descriptor))
    zygote = Zygote(control)
    gc.disable()  # modules stay: to look for garbage among them is a tenth of the time
    report = preload(modules)
    _answer(control, report)
    if report["threaded"] is not None:
        return
    # What is the same for all children is done here: they do not touch the memory of each module.
    importlib.invalidate_caches()
    preloaded, n_libraries = frozenset(sys.modules), count_libraries()
    gc.freeze()
    gc.enable()
    try:
        channel = zygote.serve()
        if channel is not None:
            run_scripts(channel)
        end(preloaded, n_libraries)
    except KeyboardInterrupt as error:
        if not error.args:
            # Of Ctrl-C, at which nobody wants to know where each script was.
            sys.excepthook = lambda *_: None
        raise


if __name__ == "__main__":
    main(*sys.argv[1:])
