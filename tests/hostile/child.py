"""A command of stem in a process of its own, with limits and a record of what it took.

The processes are forks of one that has imported torch, which would take most of the time; so a row
of a table takes a fraction of a second.
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

RAM = 8 * 2**30
"""Bytes of address space: more ends in a MemoryError instead of taking this machine down."""

PATIENCE = 60.0
"""Seconds after which a command hangs and is killed."""

TEMPORARY = "temporary"
"""The temporary folder of a command, in which it leaves nothing."""

HUNG = -9
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["torch", "soundfile", "stemcli.cli", "stemcli.engine.session", "stemcli.batch.run"]
)


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code; :data:`HUNG` if it had to be killed.
        out: what it wrote to standard output.
        err: what it wrote to standard error.
        memory: bytes that it held in memory at most, beyond what it began with.
    """

    code: int
    out: str
    err: str
    memory: int


def stem(folder: Path, *words: str, **environment: str) -> Ended:
    """Run a command of stem in ``folder``, where its models and its home lie too."""
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    (folder / TEMPORARY).mkdir(exist_ok=True)
    process = CONTEXT.Process(target=_run, args=(folder, logs, words, environment))
    process.start()
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
    code = HUNG if process.exitcode is None else process.exitcode
    return Ended(code, _read(logs / "out"), _read(logs / "err"), int(_read(logs / "memory") or 0))


def _run(folder: Path, logs: Path, words: Sequence[str], environment: dict[str, str]) -> None:
    os.chdir(folder)
    places = {"STEM_HOME": "zoo", "HOME": "home", "TMPDIR": TEMPORARY}
    os.environ.update({name: str(folder / place) for name, place in places.items()})
    os.environ.update(environment)
    tempfile.tempdir = None
    resource.setrlimit(resource.RLIMIT_AS, (RAM, RAM))
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(logs / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), number)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", 0), "utf-8", "surrogateescape", None, True)
    sys.stderr = io.TextIOWrapper(
        os.fdopen(2, "wb", 0), "utf-8", "backslashreplace", None, write_through=True
    )
    from stemcli.cli.app import stem as command

    began = _peak()
    try:
        command.main(list(words), prog_name="stem")
    finally:
        (logs / "memory").write_text(str(_peak() - began))


def _peak() -> int:
    """Bytes that this process held in memory at most (proc(5), VmHWM)."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.partition("VmHWM:")[2].split()[0])


def _read(path: Path) -> str:
    return path.read_text("utf-8", "surrogateescape") if path.exists() else ""
