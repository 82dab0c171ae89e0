"""The formats and containers of the table, with encoders for each.

The encoders' input is known, so lossless formats must return it exactly.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import soundfile
from numpy.typing import NDArray

from tests.audio_files import ffmpeg

Wave = NDArray[np.float32]

FRAMES = 30_001
"""Samples per channel in every file; an odd number, so that byte counts are odd too."""


@dataclass(frozen=True)
class Row:
    """One format in one container.

    Attributes:
        name: its name in the table.
        suffix: the file extension.
        codec: ffmpeg's encoding options, or a subtype of libsndfile.
        muxer: ffmpeg's or libsndfile's name of the container.
        rate: sample rate in Hz.
        channels: number of channels.
        step: quantization step as a fraction of full scale; 0 if 16-bit samples are kept
            exactly, None for a lossy encoding.
        family: a group of containers that share oddities.
        padding: largest number of samples that the format adds without recording their number.
        by_libsndfile: whether libsndfile writes the file; otherwise ffmpeg does.
        counts: whether the file states the number of encoded samples, which then is expected
            even if the reference decoder gives another.
    """

    name: str
    suffix: str
    codec: tuple[str, ...]
    muxer: str
    rate: int = 44100
    channels: int = 2
    step: float | None = None
    family: str = ""
    padding: int = 0
    by_libsndfile: bool = False
    counts: bool = False
    extra: tuple[str, ...] = field(default=())

    def encode(self, wave: Wave, *, piped: bool = False) -> bytes:
        """The bytes of a file with these samples; ``piped`` as if written to a pipe."""
        if self.by_libsndfile:
            file = io.BytesIO()
            soundfile.write(file, wave, self.rate, subtype=self.codec[0], format=self.muxer)
            return file.getvalue()
        return _by_ffmpeg(self, wave, piped=piped)


def _by_ffmpeg(row: Row, wave: Wave, *, piped: bool) -> bytes:
    import tempfile
    from pathlib import Path

    sound = ("-f", "f32le", "-ar", row.rate, "-ac", row.channels, "-i", "-")
    options = (*sound, *row.codec, "-f", row.muxer, *row.extra)
    if piped:
        return ffmpeg(*options, "-", sound=wave)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{row.suffix}"
        ffmpeg(*options, path, sound=wave)
        return path.read_bytes()


@cache
def sound(rate: int, channels: int, frames: int = FRAMES, seed: int = 0) -> Wave:
    """A sweep per channel with a little noise, in 16-bit steps."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / rate
    span = frames / rate
    top = 0.3 * min(rate, 16_000) / 2
    low = 150.0 * (1 + np.arange(channels)) * (1 + seed)
    phase = 2 * np.pi * (low * time + (top - low) * time**2 / (2 * span))
    wave = 0.5 * np.sin(phase) + 0.001 * rng.standard_normal((frames, channels))
    return (np.rint(wave * 32768) / 32768).astype(np.float32)


def _pcm(name: str, suffix: str, subtype: str, muxer: str, step: float = 0, **more: object) -> Row:
    return Row(name, suffix, (subtype,), muxer, step=step, by_libsndfile=True, **more)  # type: ignore[arg-type]


def _ffmpeg(name: str, suffix: str, codec: str, muxer: str, **more: object) -> Row:
    first, *options = codec.split()
    return Row(name, suffix, ("-c:a", first, *options), muxer, **more)  # type: ignore[arg-type]


_RIFF = {"family": "riff"}

ROWS = [
    _pcm("wav 16", "wav", "PCM_16", "WAV", **_RIFF),
    _pcm("wav 8", "wav", "PCM_U8", "WAV", 2**-7, channels=1, **_RIFF),
    _pcm("wav 24 mono", "wav", "PCM_24", "WAV", channels=1, **_RIFF),
    _pcm("wav float", "wav", "FLOAT", "WAV", **_RIFF),
    _pcm("wavex 24", "wav", "PCM_24", "WAVEX", **_RIFF),
    _ffmpeg("wav by ffmpeg", "wav", "pcm_s16le", "wav", step=0, **_RIFF),
    _ffmpeg("wav adpcm", "wav", "adpcm_ms", "wav", padding=4096, family="adpcm"),
    _pcm("wav mulaw", "wav", "ULAW", "WAV", 2**-4, **_RIFF),
    _ffmpeg("mp3 in wav", "wav", "libmp3lame", "wav", padding=4000, family="mp3wav"),
    _pcm("rf64", "wav", "PCM_16", "RF64", family="rf64"),
    _ffmpeg(
        "rf64 by ffmpeg",
        "wav",
        "pcm_s24le",
        "wav",
        step=0,
        family="rf64",
        extra=("-rf64", "always"),
    ),
    _pcm("w64", "w64", "PCM_16", "W64", family="w64"),
    _ffmpeg("w64 by ffmpeg", "w64", "pcm_s24le", "w64", step=0, family="w64"),
    _pcm("aiff", "aiff", "PCM_16", "AIFF", family="aiff"),
    _pcm("aiff 24 mono", "aif", "PCM_24", "AIFF", channels=1, family="aiff"),
    _pcm("aifc float", "aifc", "FLOAT", "AIFF", family="aiff"),
    _ffmpeg("aifc sowt", "aifc", "pcm_s16le", "aiff", step=0, family="aiff"),
    _pcm("caf", "caf", "PCM_16", "CAF", family="caf"),
    _pcm("caf alac", "caf", "ALAC_16", "CAF", family="caf alac"),
    _ffmpeg("caf by ffmpeg", "caf", "pcm_s24le", "caf", step=0, family="caf"),
    _pcm("au", "au", "PCM_16", "AU", family="au"),
    _ffmpeg("au by ffmpeg", "au", "pcm_s24be", "au", step=0, family="au"),
    _pcm("flac", "flac", "PCM_16", "FLAC", family="flac"),
    _ffmpeg("flac by ffmpeg", "flac", "flac -sample_fmt s16", "flac", step=0, family="flac"),
    _pcm("ogg vorbis", "ogg", "VORBIS", "OGG", step=None, counts=True, family="ogg"),
    _ffmpeg("vorbis by ffmpeg", "ogg", "libvorbis", "ogg", counts=True, family="ogg"),
    _ffmpeg("opus", "opus", "libopus", "opus", rate=48000, family="ogg"),
    _ffmpeg("ogg flac", "oga", "flac -sample_fmt s16", "ogg", step=0, family="ogg"),
    _ffmpeg(
        "speex", "spx", "libspeex", "ogg", rate=16000, channels=1, padding=2000, family="speex"
    ),
    _pcm(
        "mp3 by libsndfile",
        "mp3",
        "MPEG_LAYER_III",
        "MP3",
        step=None,
        family="mp3",
    ),
    _ffmpeg("mp3 cbr", "mp3", "libmp3lame -b:a 128k", "mp3", family="mp3"),
    _ffmpeg("mp3 vbr", "mp3", "libmp3lame -q:a 4", "mp3", family="mp3"),
    _ffmpeg("mp3 22 kHz", "mp3", "libmp3lame", "mp3", rate=22050, family="mp3"),
    _ffmpeg(
        "mp3 without xing",
        "mp3",
        "libmp3lame -b:a 128k",
        "mp3",
        family="mpeg audio",
        padding=4000,
        extra=("-write_xing", "0", "-id3v2_version", "0"),
    ),
    _ffmpeg("mp2", "mp2", "mp2 -b:a 192k", "mp2", family="mpeg audio", padding=4000),
    _ffmpeg("adts aac", "aac", "aac", "adts", family="elementary", padding=4096),
    _ffmpeg("ac3", "ac3", "ac3", "ac3", rate=48000, family="elementary", padding=4096),
    _ffmpeg("eac3", "eac3", "eac3", "eac3", rate=48000, family="elementary", padding=4096),
    _ffmpeg(
        "dts",
        "dts",
        "dca -strict -2 -b:a 768k",
        "dts",
        rate=48000,
        family="elementary",
        padding=4096,
    ),
    _ffmpeg("m4a aac", "m4a", "aac", "ipod", counts=True, family="mp4"),
    _ffmpeg("m4a alac", "m4a", "alac", "ipod", step=0, family="mp4"),
    _ffmpeg(
        "mp4 faststart",
        "mp4",
        "aac",
        "mp4",
        counts=True,
        family="mp4",
        extra=("-movflags", "faststart"),
    ),
    _ffmpeg(
        "mp4 fragmented",
        "mp4",
        "aac",
        "mp4",
        family="fragments",
        padding=4096,
        extra=("-movflags", "frag_keyframe+empty_moov", "-frag_duration", "100000"),
    ),
    _ffmpeg("mov pcm", "mov", "pcm_s16le", "mov", step=0, family="mp4"),
    _ffmpeg("wma", "wma", "wmav2", "asf", family="asf", padding=4096),
    _ffmpeg("wavpack", "wv", "wavpack -sample_fmt s16p", "wv", step=0, family="wavpack"),
    _ffmpeg("tta", "tta", "tta", "tta", step=0, family="tta"),
    _ffmpeg("mka flac", "mka", "flac -sample_fmt s16", "matroska", step=0, family="matroska"),
    _ffmpeg("mkv vorbis", "mkv", "libvorbis", "matroska", family="matroska", padding=2048),
    _ffmpeg("mkv aac", "mkv", "aac", "matroska", family="matroska", padding=4096),
    _ffmpeg("webm opus", "webm", "libopus", "webm", rate=48000, family="matroska", padding=2048),
    _ffmpeg("avi pcm", "avi", "pcm_s16le", "avi", step=0, family="avi"),
    _ffmpeg("avi mp3", "avi", "libmp3lame", "avi", family="avi", padding=4096),
    _ffmpeg("flv mp3", "flv", "libmp3lame", "flv", family="flv", padding=4096),
    _ffmpeg("mpegts mp2", "ts", "mp2", "mpegts", family="ts", padding=4096),
    _ffmpeg("mpegts aac", "ts", "aac", "mpegts", family="ts", padding=4096),
    _ffmpeg("mpeg ps", "mpg", "mp2", "mpeg", family="ts", padding=4096),
]
