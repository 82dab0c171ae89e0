"""Standard streams of real processes. Truth: the bytes that arrive, and the exit code."""

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
def test_talk_ends_and_nothing_else(code: str, redirections: str) -> None:
    done = run(code, redirections)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="bash and its redirections")
def test_a_file_gets_no_descriptor_that_libraries_print_to() -> None:
    """By hand: with stdout closed the next file would be number 1."""
    code = "sys.exit(min(open(os.devnull).fileno(), 3))"
    assert run(code, ">&- <&- 2>&-").returncode == 3


@pytest.mark.skipif(os.name == "nt", reason="bash and its redirections")
def test_results_on_a_full_disk_are_an_error_once() -> None:
    """Python's own stream would raise, and complain again at the end, with exit code 120."""
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
def test_a_pipe_that_does_not_block_gets_everything() -> None:
    """Node and others make such pipes; Python's own stream raises when they are full."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    heard: list[bytes] = []

    def read() -> None:
        time.sleep(0.2)
        with os.fdopen(reading, "rb") as file:
            heard.append(file.read())

    reader = threading.Thread(target=read)
    reader.start()
    command = [sys.executable, "-c", START + "print('x' * 1_000_000)"]
    with subprocess.Popen(command, cwd=ROOT, stdout=writing) as process:
        os.close(writing)
        assert process.wait(60) == 0
    reader.join()
    assert heard == [b"x" * 1_000_000 + b"\n"]
