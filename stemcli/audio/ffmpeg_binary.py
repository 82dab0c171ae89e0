"""Finds an ffmpeg that works, checks its encoders, and reads its error messages."""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from typing import IO

from model_zoo.errors import FfmpegMissingError
from model_zoo.option_names import setting
from stemcli.audio.ffmpeg_process import MOST_LOG
from stemcli.process import find_program

START_TIMEOUT_S = 20.0
"""Seconds for a program to print its version."""


def find_ffmpeg() -> str:
    """The system's ffmpeg if it starts, else the one in the package imageio-ffmpeg.

    Raises:
        FfmpegMissingError: neither starts.
    """
    system = find_program("ffmpeg")
    problem = fault(system) if system else ""
    if system and not problem:
        return system
    bundled = _bundled()
    if bundled and not fault(bundled):
        return bundled
    raise FfmpegMissingError(_none_works(system, problem, bundled))


def broken_ffmpeg() -> str:
    """A sentence about an ffmpeg on PATH that does not start; empty if it works or is missing."""
    system = find_program("ffmpeg")
    problem = fault(system) if system else ""
    return f"the ffmpeg on PATH, {system}, does not start ({problem})" if problem else ""


def fallback_notice() -> str:
    """A sentence if the bundled ffmpeg replaces a broken one on PATH, else an empty string."""
    broken = broken_ffmpeg()
    return f"{broken}: the one of imageio-ffmpeg is used instead" if broken else ""


def fault(program: str) -> str:
    """Why an ffmpeg does not start, in its own words; empty if it starts.

    The result is cached until the file changes.
    """
    try:
        return _tried(program, os.stat(program).st_mtime_ns)
    except OSError as error:
        return error.strerror or str(error)


def require_codec(program: str, codec: str, format: str) -> None:
    """Check that an ffmpeg has an encoder.

    Raises:
        FfmpegMissingError: the encoder is missing.
    """
    if codec not in _encoders(program, os.stat(program).st_mtime_ns):
        raise FfmpegMissingError(
            f"{program} cannot write {format}, because it was built without the encoder {codec}. "
            f"Install a complete ffmpeg, or use {setting(format='flac')}"
        )


def read_log(log: IO[bytes]) -> str:
    """The log of a process so far, cut after :data:`MOST_LOG` bytes.

    The process writes at the position of the file, which it shares: ``seek`` would make a process
    that still writes overwrite the beginning of its log. Windows has only ``seek``, so the position
    returns to the end at once.
    """
    if hasattr(os, "pread"):
        return os.pread(log.fileno(), MOST_LOG, 0).decode("utf-8", "replace")
    log.seek(0)
    found = log.read(MOST_LOG)
    log.seek(0, os.SEEK_END)
    return found.decode("utf-8", "replace")


def complaints(log: str) -> list[str]:
    """The errors in a log written with ``-loglevel level+...``, without their prefixes."""
    lines = (line for line in log.splitlines() if re.search(r"\[(error|fatal|panic)\]", line))
    return [re.sub(r"^(\[[^\]]*\] *)+", "", line).strip() for line in lines]


def missing_decoder(log: str) -> str:
    """The codec for which ffmpeg reports a missing decoder; empty if it reports none.

    Versions before 6 call a codec ``none`` if they do not know it at all.
    """
    found = re.search(r"Decoder \(codec (\S+)\) not found|no decoder found for: (\S+)", log)
    return (found[1] or found[2]) if found else ""


def _bundled() -> str:
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError, OSError):
        return ""


def _none_works(system: str | None, problem: str, bundled: str) -> str:
    if not system and not bundled:
        return (
            "This needs ffmpeg, which was not found. Install it, or try: pip install imageio-ffmpeg"
        )
    on_path = f"{system} does not start ({problem})" if system else "there is none on PATH"
    other = f", and neither does {bundled} ({fault(bundled)})" if system and bundled else ""
    if bundled and not system:
        other = f", and {bundled} does not start ({fault(bundled)})"
    advice = "Install it again" + ("" if bundled else ", or try: pip install imageio-ffmpeg")
    return f"This needs ffmpeg, but {on_path}{other}. {advice}"


@cache
def _tried(program: str, mtime_ns: int) -> str:
    try:
        completed = _run(program, "-version")
    except subprocess.TimeoutExpired:
        return f"it prints nothing for {START_TIMEOUT_S:g} seconds"
    except OSError as error:
        return error.strerror or str(error)
    if completed.returncode == 0 and completed.stdout.startswith(b"ff"):
        return ""
    lines = (completed.stderr or completed.stdout).decode("utf-8", "replace").split("\n")
    first = next((line.strip() for line in lines if line.strip()), "")
    return first[:300] or f"it ends with {completed.returncode}"


@cache
def _encoders(program: str, mtime_ns: int) -> frozenset[str]:
    """Names of encoders, from lines such as `` A....D aac   AAC (Advanced Audio Coding)``."""
    lines = _run(program, "-hide_banner", "-encoders").stdout.decode("utf-8", "replace").split("\n")
    return frozenset(words[1] for line in lines if len(words := line.split()) > 1)


def _run(program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [program, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )
