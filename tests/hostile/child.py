"""Runs a command of stem in a separate process, with limits, and measures its memory.

The processes are forked from one that has already imported torch, so that each row of a table
takes a fraction of a second.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip(
        "needs Linux: memory is limited by RLIMIT_AS and measured in /proc",
        allow_module_level=True,
    )

import resource

ADDRESS_SPACE = 8 * 2**30
"""Limit of address space in bytes; beyond it, a MemoryError is raised."""

TIMEOUT = 60.0
"""Seconds after which a command is killed."""

TEMPORARY = "temporary"
"""The temporary folder of a command, which it must leave empty."""

HUNG = -9
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["torch", "soundfile", "stemcli.cli", "stemcli.engine.session", "stemcli.batch.run"]
)


@dataclass(frozen=True)
class Ended:
    """Result of a command.

    Attributes:
        code: its exit code; :data:`HUNG` if it had to be killed.
        out: its standard output.
        err: its standard error.
        memory: its peak memory in bytes, relative to the start.
    """

    code: int
    out: str
    err: str
    memory: int


def stem(folder: Path, *args: str, **environment: str) -> Ended:
    """Run a command of stem in ``folder``, which also has its zoo and home folder."""
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    (folder / TEMPORARY).mkdir(exist_ok=True)
    process = CONTEXT.Process(target=_run, args=(folder, logs, args, environment))
    process.start()
    process.join(TIMEOUT)
    if process.exitcode is None:
        process.kill()
        process.join()
    code = HUNG if process.exitcode is None else process.exitcode
    return Ended(code, _read(logs / "out"), _read(logs / "err"), int(_read(logs / "memory") or 0))


def _run(folder: Path, logs: Path, args: Sequence[str], environment: dict[str, str]) -> None:
    os.chdir(folder)
    folders = {"STEM_HOME": "zoo", "HOME": "home", "TMPDIR": TEMPORARY}
    os.environ.update({name: str(folder / name_) for name, name_ in folders.items()})
    os.environ.update(environment)
    tempfile.tempdir = None
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(logs / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), number)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", 0), "utf-8", "surrogateescape", None, True)
    sys.stderr = io.TextIOWrapper(
        os.fdopen(2, "wb", 0), "utf-8", "backslashreplace", None, write_through=True
    )
    from stemcli.cli.app import stem as command

    start_peak = _peak()
    try:
        command.main(list(args), prog_name="stem")
    finally:
        (logs / "memory").write_text(str(_peak() - start_peak))


def _peak() -> int:
    """Peak memory of this process in bytes (proc(5), VmHWM)."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.partition("VmHWM:")[2].split()[0])


def _read(path: Path) -> str:
    return path.read_text("utf-8", "surrogateescape") if path.exists() else ""
