"""Programs named ffmpeg that misbehave in a known way, for the beginning of PATH."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

# What any of them answers when it is asked whether it starts; the rest is the shell's.
_HEAD = '#!/bin/sh\ncase "$*" in *-version*) echo "ffmpeg version 0 of a test"; exit;; esac\n'


def put(folder: Path, script: str, *, starts: bool = True) -> Path:
    """A program named ffmpeg that runs ``script``.

    Args:
        folder: which is to be put on PATH.
        script: of a shell.
        starts: whether it says its version first, as one does that works.
    """
    folder.mkdir(exist_ok=True)
    program = folder / "ffmpeg"
    program.write_text((_HEAD if starts else "#!/bin/sh\n") + script)
    program.chmod(0o755)
    return program


def hanging(folder: Path) -> Path:
    """One that gives nothing, as on a disk behind a dead network; returns where its number is."""
    number = folder / "number"
    put(folder, f"echo $$ > {shlex.quote(str(number))}\nexec sleep 600\n")
    return number


def in_front(folder: Path) -> str:
    """PATH with the folder at its beginning."""
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def is_running(process: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
