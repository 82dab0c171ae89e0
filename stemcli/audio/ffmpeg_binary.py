"""Which ffmpeg is used, and what it said when it failed."""

from __future__ import annotations

import re
import shutil
from typing import IO

from model_zoo.errors import FfmpegMissingError


def find_ffmpeg() -> str:
    """The system's ffmpeg, else the one that the package imageio-ffmpeg carries.

    Raises:
        FfmpegMissingError: there is neither.
    """
    system = shutil.which("ffmpeg")
    if system:
        return system
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError, OSError) as error:
        raise FfmpegMissingError(
            "This needs ffmpeg, and none was found: install it, or type pip install imageio-ffmpeg"
        ) from error


def read_log(log: IO[bytes]) -> str:
    """Everything that a process has written into its log file so far."""
    log.seek(0)
    return log.read().decode("utf-8", "replace")


def complaints(log: str) -> list[str]:
    """The errors in a log that was written with ``-loglevel level+...``, without their prefixes."""
    lines = (line for line in log.splitlines() if re.search(r"\[(error|fatal|panic)\]", line))
    return [re.sub(r"^(\[[^\]]*\] *)+", "", line).strip() for line in lines]
