"""Standard streams of real processes. Expected: the bytes that arrive, and the exit code."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START = "import os, sys; from stemcli.streams import secure_streams; secure_streams(); "


def run(code: str, redirections: str) -> subprocess.CompletedProcess[str]:
    script = f'"$0" -c "$1" {redirections}'
    command = ["bash", "-c", script, sys.executable, START + code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.skipif(os.name == "nt", reason="bash and its redirections")
@pytest.mark.parametrize(
    ("code", "redirections"),
    [
        ("print('x'); print('y', file=sys.stderr); sys.stdin.read()", "<&- >&- 2>&-"),
        ("print('x', flush=True); os.write(1, b'x')", ">&-"),
        ("print('x' * 999999)", "| true; exit ${PIPESTATUS[0]}"),
        ("print('x' * 999999, file=sys.stderr)", "2>/dev/full"),
        ("print('é – ├─ \\udce9')", ""),
    ],
)
def test_broken_streams_do_not_end_the_program(code: str, redirections: str) -> None:
    done = run(code, redirections)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="bash and its redirections")
def test_closed_standard_descriptors_are_not_reused() -> None:
    """By hand: with stdout closed, the next opened file would get descriptor 1."""
    code = "sys.exit(min(open(os.devnull).fileno(), 3))"
    assert run(code, ">&- <&- 2>&-").returncode == 3


@pytest.mark.skipif(os.name == "nt", reason="bash and its redirections")
def test_a_full_disk_is_reported_once() -> None:
    """Python's own stream would raise, report again at exit, and exit with code 120."""
    code = """
from stemcli.streams import is_incomplete
for number in range(99):
    print(number, flush=True)
sys.exit(7 if is_incomplete(sys.stdout) else 0)
"""
    done = run(code, "> /dev/full")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: Cannot write to standard output (No space left on device)")
    assert done.returncode == 7


@pytest.mark.skipif(os.name == "nt", reason="pipes that do not block")
def test_a_non_blocking_pipe_gets_all_output() -> None:
    """Node and others create such pipes; Python's own stream raises when they are full."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    received: list[bytes] = []

    def read() -> None:
        time.sleep(0.2)
        with os.fdopen(reading, "rb") as file:
            received.append(file.read())

    reader = threading.Thread(target=read)
    reader.start()
    command = [sys.executable, "-c", START + "print('x' * 1_000_000)"]
    with subprocess.Popen(command, cwd=ROOT, stdout=writing) as process:
        os.close(writing)
        assert process.wait(60) == 0
    reader.join()
    assert received == [b"x" * 1_000_000 + b"\n"]
