"""Does a file end before its sound does?

A download or a copy that broke off leaves a file that decodes without a word, only shorter. What
tells: the number of frames in an MP3's header, the size of a WAV's data, and the mark on the last
page of an Ogg stream. Other formats fail when they are decoded.
"""

from __future__ import annotations

from stemcli.audio.info import AudioInfo
from stemcli.audio.ogg_pages import lacks_last_page
from stemcli.audio.wav_header import missing_bytes

SLACK = 0.25
"""Seconds that may be missing without a word: a last packet, a rounded header."""


def cut_short(info: AudioInfo, heard: int) -> str:
    """A sentence when the file seems to lack its end, else an empty one.

    Args:
        info: what the header says.
        heard: frames from the beginning of the file to the end of its sound.
    """
    rate = info.sample_rate
    promised = info.frames or 0
    with info.path.open("rb") as file:
        magic = file.read(4)
    if magic == b"RIFF" and heard:
        promised = heard + missing_bytes(info.path) * heard // info.path.stat().st_size
    seconds = f"its sound ends at {heard / rate:.2f} s"
    if promised - heard > SLACK * rate:
        return f"{seconds} of {promised / rate:.2f} s: the file seems to be cut off"
    if magic == b"OggS" and lacks_last_page(info.path):
        return f"{seconds} without the mark of an end: the file seems to be cut off"
    return ""
