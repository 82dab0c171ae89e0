"""Does a file end before its sound does?

A download or a copy that broke off leaves a file that decodes without a word, only shorter. What
tells: the number of frames in the header of an MP3 or an AIFF, the duration in that of a film or a
WMA, the size of a WAV's data, the mark on the last page of an Ogg stream, and what a decoder
complains of. Other formats fail when they are decoded.
"""

from __future__ import annotations

from stemcli.audio.aiff_header import counted_frames
from stemcli.audio.info import AudioInfo
from stemcli.audio.ogg_pages import lacks_last_page
from stemcli.audio.wav_header import promised_share

SLACK = 0.25
"""Seconds that may be missing without a word: a last packet, a rounded header."""


def cut_short(info: AudioInfo, heard: int, complaint: str = "") -> str:
    """A sentence when the file seems to lack its end, else an empty one.

    Args:
        info: what the header says.
        heard: frames from the beginning of the file to the end of its sound.
        complaint: what the decoder went over and may have lost sound to.
    """
    rate = info.sample_rate
    with info.path.open("rb") as file:
        magic = file.read(4)
    promised = _promised(info, heard, magic)
    seconds = f"its sound ends at {heard / rate:.2f} s"
    if promised - heard > SLACK * rate:
        return f"{seconds} of {promised / rate:.2f} s: the file seems to be cut off"
    if magic == b"OggS" and lacks_last_page(info.path):
        return f"{seconds} without the mark of an end: the file seems to be cut off"
    return f"{seconds}, and some of it may be lost: {complaint}" if complaint else ""


def _promised(info: AudioInfo, heard: int, magic: bytes) -> int:
    """Frames that the file should have; 0 when nothing tells."""
    if magic == b"RIFF" and heard:
        return round(heard * promised_share(info.path))
    counted = counted_frames(info.path) if magic == b"FORM" else 0
    return max(counted, info.frames or 0)
