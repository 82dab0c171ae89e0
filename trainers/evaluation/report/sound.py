"""Sound and pictures inside a page."""

from __future__ import annotations

import base64
import io

import soundfile

from trainers.evaluation.judge import Wave

MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""In Hz; all that MPEG layer III has."""


def playable(wave: Wave, sample_rate: int) -> str:
    """An address that holds the sound itself: MP3, or FLAC where MP3 cannot be."""
    held = io.BytesIO()
    can = "MP3" in soundfile.available_formats() and sample_rate in MP3_RATES
    form = "MP3" if can else "FLAC"
    soundfile.write(held, wave.clamp(-1, 1).T.numpy(), sample_rate, format=form)
    return address(f"audio/{'mpeg' if form == 'MP3' else 'flac'}", held.getvalue())


def address(kind: str, content: bytes) -> str:
    """A ``data:`` URL (RFC 2397)."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
