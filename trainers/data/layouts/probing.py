"""What ffprobe says of a file, which is all that it opens."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model_zoo.errors import DecodeError
from stemcli.audio.endings import DEMUXERS
from stemcli.audio.ffmpeg_binary import complaints, read_log
from stemcli.audio.ffmpeg_process import FfmpegProcess

Stream = dict[str, Any]
PROGRAM = "ffprobe"
BLOCK = 65536  # bytes


def sound_streams(path: Path) -> list[Stream]:
    """The sound tracks of a file, as ``ffprobe -show_streams`` describes them.

    musdb and stempeg open files without any limits. What passes here is a sound file or a film,
    and so no playlist or script by which a stranger's file would reach others.

    Raises:
        DecodeError: it is neither, or damaged.
        FfmpegMissingError: ffprobe cannot be started.
    """
    with FfmpegProcess(_command(path)) as process:
        said = b"".join(_blocks(process))
        if process.finish():
            reason = (complaints(read_log(process.log)) or ["ffprobe gives no reason"])[0]
            raise DecodeError(f"No sound can be read from {path} ({reason}): download it again")
    streams: list[Stream] = json.loads(said).get("streams", [])
    return streams


def _command(path: Path) -> list[str]:
    only = ["-protocol_whitelist", "file", "-format_whitelist", DEMUXERS]
    shown = ["-loglevel", "level+error", "-show_streams", "-select_streams", "a", "-of", "json"]
    return [shutil.which(PROGRAM) or PROGRAM, *only, *shown, f"file:{path}"]


def _blocks(process: FfmpegProcess) -> Iterator[bytes]:
    while block := process.read(BLOCK):
        yield block
