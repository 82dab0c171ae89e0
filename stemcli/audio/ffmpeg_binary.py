"""Which ffmpeg is used, what it can do, and what it said when it failed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from typing import IO

from model_zoo.errors import FfmpegMissingError
from stemcli.audio.ffmpeg_process import MOST_LOG

START_TIMEOUT_S = 20.0
"""Seconds for a program to say its version."""


def find_ffmpeg() -> str:
    """The system's ffmpeg if it starts, else the one that the package imageio-ffmpeg carries.

    Raises:
        FfmpegMissingError: there is none that starts.
    """
    system = shutil.which("ffmpeg")
    wrong = fault(system) if system else ""
    if system and not wrong:
        return system
    bundled = _bundled()
    if bundled and not fault(bundled):
        return bundled
    raise FfmpegMissingError(_none_works(system, wrong, bundled))


def broken_ffmpeg() -> str:
    """What is wrong with the ffmpeg on PATH, naming it; empty when it works or is not there."""
    system = shutil.which("ffmpeg")
    wrong = fault(system) if system else ""
    return f"the ffmpeg on PATH, {system}, does not start ({wrong})" if wrong else ""


def fallback_notice() -> str:
    """A sentence when the bundled ffmpeg replaces a broken one on PATH, else an empty string."""
    broken = broken_ffmpeg()
    return f"{broken}: the one of imageio-ffmpeg is used instead" if broken else ""


def fault(program: str) -> str:
    """Why a program of ffmpeg does not start, in its own words; empty when it does.

    The answer is kept until the file changes.
    """
    try:
        return _tried(program, os.stat(program).st_mtime_ns)
    except OSError as error:
        return error.strerror or str(error)


def require_codec(program: str, codec: str, format: str) -> None:
    """Check that an ffmpeg has an encoder.

    Raises:
        FfmpegMissingError: it has not.
    """
    if codec not in _encoders(program, os.stat(program).st_mtime_ns):
        raise FfmpegMissingError(
            f"{program} cannot write {format}, because it was built without the encoder {codec}: "
            "install a complete ffmpeg, or type --format flac"
        )


def read_log(log: IO[bytes]) -> str:
    """What a process has written into its log file so far, without the end of a very long one."""
    log.seek(0)
    return log.read(MOST_LOG).decode("utf-8", "replace")


def complaints(log: str) -> list[str]:
    """The errors in a log that was written with ``-loglevel level+...``, without their prefixes."""
    lines = (line for line in log.splitlines() if re.search(r"\[(error|fatal|panic)\]", line))
    return [re.sub(r"^(\[[^\]]*\] *)+", "", line).strip() for line in lines]


def missing_decoder(log: str) -> str:
    """The codec for which ffmpeg says that it has no decoder; empty where it does not say so.

    Versions before 6 call a codec ``none`` that they do not know at all.
    """
    found = re.search(r"Decoder \(codec (\S+)\) not found|no decoder found for: (\S+)", log)
    return (found[1] or found[2]) if found else ""


def _bundled() -> str:
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError, OSError):
        return ""


def _none_works(system: str | None, wrong: str, bundled: str) -> str:
    if not system and not bundled:
        return (
            "This needs ffmpeg, and none was found: install it, or type pip install imageio-ffmpeg"
        )
    found = f"{system} does not start ({wrong})" if system else "there is none on PATH"
    other = f", and neither does {bundled} ({fault(bundled)})" if system and bundled else ""
    if bundled and not system:
        other = f", and {bundled} does not start ({fault(bundled)})"
    advice = "install it again" + ("" if bundled else ", or type pip install imageio-ffmpeg")
    return f"This needs ffmpeg, but {found}{other}: {advice}"


@cache
def _tried(program: str, mtime_ns: int) -> str:
    try:
        said = _run(program, "-version")
    except subprocess.TimeoutExpired:
        return f"it says nothing for {START_TIMEOUT_S:g} seconds"
    except OSError as error:
        return error.strerror or str(error)
    if said.returncode == 0 and said.stdout.startswith(b"ff"):
        return ""
    words = (said.stderr or said.stdout).decode("utf-8", "replace").split("\n")
    first = next((line.strip() for line in words if line.strip()), "")
    return first[:300] or f"it ends with {said.returncode}"


@cache
def _encoders(program: str, mtime_ns: int) -> frozenset[str]:
    """Names, the second word of lines such as `` A....D aac   AAC (Advanced Audio Coding)``."""
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
