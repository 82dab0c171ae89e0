"""Runs ``stem`` as on Windows, as far as another system can imitate it.

``python -m tests.windows '[["separate", "song.wav"], ...]'`` imports every module of the three
packages, runs the commands one after the other, and prints their exit codes as JSON.

To our modules, and only to them, ``os``, ``signal``, ``subprocess`` and ``sys`` look as on
Windows, and modules that only Unix has are missing (reference: "Availability" in the documentation
of Python's library). Files that are open can be neither replaced nor removed, only files that are
open for writing can be flushed, folders cannot be opened, and processes are not forked.
"""

from __future__ import annotations

import builtins
import ctypes
import enum
import errno
import fcntl
import importlib
import json
import multiprocessing
import os
import pkgutil
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click.core

PACKAGES = ("model_zoo", "stemcli", "trainers")

MODULES = """
fcntl grp posix pty pwd readline resource spwd syslog termios tty
"""
OF_OS = """
O_ASYNC O_CLOEXEC O_DIRECT O_DIRECTORY O_DSYNC O_NDELAY O_NOATIME O_NOCTTY O_NOFOLLOW O_NONBLOCK
O_SYNC O_TMPFILE WCOREDUMP WEXITSTATUS WIFEXITED WIFSIGNALED WNOHANG WTERMSIG chflags chown chroot
confstr ctermid environb eventfd fchdir fchmod fchown fork forkpty fpathconf fstatvfs getegid
geteuid getgid getgrouplist getgroups getloadavg getpgid getpgrp getpriority getrandom getresgid
getresuid getsid getuid getxattr initgroups killpg lchmod lchown listxattr lockf major makedev
memfd_create minor mkfifo mknod nice openpty pathconf pidfd_open pipe2 posix_fadvise
posix_fallocate posix_openpt posix_spawn posix_spawnp pread preadv pwrite pwritev readv
register_at_fork removexattr sched_getaffinity sched_getparam sched_setaffinity sched_yield
sendfile setegid seteuid setgid setgroups setns setpgid setpriority setregid setreuid setsid
setuid setxattr splice statvfs sync sysconf tcgetpgrp tcsetpgrp ttyname uname unshare wait wait3
wait4 waitid writev
"""
OF_SIGNAL = """
ITIMER_REAL SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGIO SIGKILL SIGPIPE SIGPROF SIGQUIT SIGSTOP
SIGSYS SIGTRAP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH SIGXCPU SIGXFSZ
SIG_BLOCK SIG_SETMASK SIG_UNBLOCK alarm getitimer pause pthread_kill pthread_sigmask setitimer
siginterrupt sigpending sigtimedwait sigwait sigwaitinfo
"""

UNIX_MODULES = frozenset(MODULES.split())
UNIX_ONLY = {"os": frozenset(OF_OS.split()), "signal": frozenset(OF_SIGNAL.split())}
"""Attributes of modules that Windows lacks."""

KEEPS_OS_NAME = frozenset({"stemcli.batch.records"})
"""Modules that would join paths of this system with backslashes if they saw ``os.name == "nt"``."""


class Signals(enum.IntEnum):
    """The signals of Windows; Ctrl-Break is played by a signal of the same number."""

    SIGINT = 2
    SIGILL = 4
    SIGABRT = 6
    SIGFPE = 8
    SIGSEGV = 11
    SIGTERM = 15
    SIGBREAK = 21


class Seen(types.ModuleType):
    """A module as our code sees it on Windows; whatever is set is set in the real module."""

    def __init__(self, real: types.ModuleType, changed: Mapping[str, Any]) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(changed)
        self.__dict__["_real"] = real

    def __getattr__(self, name: str) -> Any:
        real = self.__dict__["_real"]
        if name in UNIX_ONLY.get(real.__name__, ()):
            raise AttributeError(f"module {real.__name__!r} has no attribute {name!r} on Windows")
        return getattr(real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["_real"], name, value)


def open_file(path: Any, flags: int, *args: Any, **named: Any) -> int:
    """``os.open``, which opens no folders on Windows."""
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
    return os.open(path, flags, *args, **named)


def fsync(descriptor: int) -> None:
    """``os.fsync``, which on Windows needs a file that is open for writing."""
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "Bad file descriptor")
    os.fsync(descriptor)


def set_handler(number: int, handler: Any) -> Any:
    """``signal.signal``, which knows only the signals of Windows."""
    if number not in {*Signals}:
        raise ValueError("invalid signal value")
    return signal.signal(number, handler)


def without_flags(start: Callable[..., Any]) -> Callable[..., Any]:
    def started(*args: Any, creationflags: int = 0, **named: Any) -> Any:
        refused = {"preexec_fn", "process_group", "start_new_session", "pass_fds", "user", "umask"}
        wrong = [name for name in refused if named.pop(name, None)]
        assert not wrong, f"Windows does not support {wrong}"
        return start(*args, **named)

    return started


def locking(descriptor: int, mode: int, length: int) -> None:
    """``msvcrt.locking``: the file cannot be locked twice, not even by one process."""
    assert (mode, length) == (2, 1)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PermissionError(errno.EACCES, "Permission denied") from None


MSVCRT = types.ModuleType("msvcrt")
MSVCRT.__dict__.update(LK_NBLCK=2, locking=locking)

PEAK = 123_456_789
"""Bytes that this ``kernel32`` reports as the peak working set."""


def memory_info(process: Any, counters: Any, size: int) -> int:
    """``GetProcessMemoryInfo``."""
    assert size == counters._obj.cb == ctypes.sizeof(counters._obj) == 72
    counters._obj.PeakWorkingSetSize = PEAK
    return 1


def open_library(name: str) -> Any:
    assert name == "kernel32"
    return types.SimpleNamespace(GetCurrentProcess=lambda: 1, K32GetProcessMemoryInfo=memory_info)


def seen_modules() -> dict[str, Seen]:
    """The modules that look different on Windows."""
    as_on_windows = {
        "os": {"name": "nt", "open": open_file, "fsync": fsync},
        "signal": {"Signals": Signals, "signal": set_handler, "SIGBREAK": Signals.SIGBREAK},
        "subprocess": {
            "Popen": without_flags(subprocess.Popen),
            "run": without_flags(subprocess.run),
            "CREATE_NEW_PROCESS_GROUP": 0x200,
            "CREATE_NO_WINDOW": 0x0800_0000,
        },
        "sys": {"platform": "win32"},
        "ctypes": {"CDLL": open_library},
    }
    return {name: Seen(sys.modules[name], found) for name, found in as_on_windows.items()}


def imitate_windows() -> None:
    """Change what imports give to our modules, and refuse to replace open files."""
    real, seen = builtins.__import__, seen_modules()
    plain_os = Seen(os, {"open": open_file, "fsync": fsync})

    def imported(
        name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        module = str((globals or {}).get("__name__", ""))
        rest = (globals, locals, fromlist, level)
        if module.split(".", maxsplit=1)[0] not in PACKAGES:
            return real(name, *rest)
        if name in UNIX_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name == "msvcrt":
            return MSVCRT
        if name == "os" and module in KEEPS_OS_NAME:
            return plain_os
        return seen[name] if name in seen else real(name, *rest)

    builtins.__import__ = imported
    click.core.os = seen["os"]  # it expands patterns in arguments on Windows
    multiprocessing.set_start_method("spawn")
    sys.addaudithook(refuse_open_files)


def refuse_open_files(event: str, args: tuple[Any, ...]) -> None:
    """Raise as Windows does if a file is removed or replaced while this process has it open."""
    if event not in ("os.rename", "os.remove"):
        return
    # On Windows, tempfile asks the system to remove a file with its last descriptor.
    if Path(sys._getframe(1).f_code.co_filename).name == "tempfile.py":
        return
    opened = {*opened_files()}
    for path in args[: 2 if event == "os.rename" else 1]:
        if isinstance(path, (str, bytes, os.PathLike)) and os.path.realpath(path) in opened:
            raise PermissionError(errno.EACCES, "The process cannot access the file", str(path))


def opened_files() -> Iterator[str]:
    """Files that this process has open or mapped into memory."""
    for link in Path("/proc/self/fd").iterdir():
        try:
            yield os.readlink(link)
        except OSError:  # the descriptor of the iteration itself
            continue
    for line in Path("/proc/self/maps").read_text("utf-8").splitlines():
        yield from line.split(maxsplit=5)[5:]


def modules() -> Iterator[str]:
    """Names of all modules of the packages."""
    for package in PACKAGES:
        found = importlib.import_module(package)
        yield from (m.name for m in pkgutil.walk_packages(found.__path__, f"{package}."))


def run(command: list[str]) -> int:
    """The exit code of a command."""
    from stemcli.cli.app import stem

    sys.argv[1:] = command
    try:
        stem.main(prog_name="stem")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def main() -> None:
    """Import all modules, run the commands in the arguments, and print their exit codes."""
    commands = json.loads(sys.argv[1])
    imitate_windows()
    for name in modules():
        if not name.endswith(".__main__"):
            importlib.import_module(name)
    from stemcli.cli.app import tidy_up_when_ended
    from stemcli.process import complete_environment

    complete_environment()
    tidy_up_when_ended()
    codes = [run(command) for command in commands]
    print(json.dumps(codes))


if __name__ == "__main__":
    main()
