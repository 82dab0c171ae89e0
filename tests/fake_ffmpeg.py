"""Fake ffmpeg programs that misbehave in a known way, to put in front on PATH."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

# Answers ``-version`` like a working ffmpeg; the script follows.
_HEAD = '#!/bin/sh\ncase "$*" in *-version*) echo "ffmpeg version 0 of a test"; exit;; esac\n'


def put(folder: Path, script: str, *, starts: bool = True) -> Path:
    """Write a program named ffmpeg that runs ``script``.

    Args:
        folder: the folder to put on PATH.
        script: a shell script.
        starts: whether it answers ``-version`` like a working ffmpeg.
    """
    folder.mkdir(exist_ok=True)
    program = folder / "ffmpeg"
    program.write_text((_HEAD if starts else "#!/bin/sh\n") + script)
    program.chmod(0o755)
    return program


def hanging(folder: Path) -> Path:
    """Write an ffmpeg that hangs; returns the file with its process id."""
    pid_file = folder / "number"
    put(folder, f"echo $$ > {shlex.quote(str(pid_file))}\nexec sleep 600\n")
    return pid_file


def in_front(folder: Path) -> str:
    """PATH with the folder in front."""
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def is_running(process: int) -> bool:
    """Whether a process is running; a zombie is not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
