"""Coded audio in a container that is labelled as PCM.

Reference: ffmpeg's decode of the codec in its own container.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from model_zoo.errors import DecodeError
from stemcli.audio.containers.frames import bitstream, crc16
from tests.audio_files import ffmpeg, noisy_tones, write_audio
from tests.stemcli.audio.decoding import decode

RATE = 48_000
WAVE = noisy_tones(40_000, RATE)


def coded(codec: str, muxer: str) -> bytes:
    """Coded frames, or S/PDIF bursts of frames with the muxer ``spdif``."""
    sound = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-")
    return ffmpeg(*sound, "-c:a", *codec.split(), "-f", muxer, "-", sound=WAVE)


def swapped(data: bytes) -> bytes:
    """The data with the bytes of each 16-bit word swapped."""
    return np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()


def wav(data: bytes, tag: int = 1) -> bytes:
    """A 16-bit stereo WAV whose format tag may be wrong."""
    format = struct.pack("<HHIIHH", tag, 2, RATE, 4 * RATE, 4, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + format + b"data" + struct.pack("<I", len(data))
    return b"RIFF" + struct.pack("<I", len(body) + len(data)) + body + data


def decode_frames(data: bytes, muxer: str) -> NDArray[np.float32]:
    """ffmpeg's decode of coded frames in their own container."""
    path = Path(f"alone.{muxer}")
    path.write_bytes(data)
    raw = ffmpeg("-f", muxer, "-i", path, "-f", "f32le", "-")
    return np.frombuffer(raw, "<f4").reshape(-1, 2)


DTS = "dca -strict -2 -b:a 768k"


@pytest.mark.parametrize(
    ("codec", "muxer", "order", "tag"),
    [
        (DTS, "dts", swapped, 1),
        (DTS, "dts", bytes, 1),
        ("ac3", "ac3", bytes, 0x2000),
        ("ac3", "ac3", bytes, 1),
        ("aac", "adts", bytes, 1),
        ("libmp3lame", "mp3", bytes, 0x55),
        ("libmp3lame", "mp3", bytes, 1),
        ("mp2", "mp2", bytes, 0x50),
    ],
)
def test_a_codec_in_a_wav_is_decoded(
    codec: str, muxer: str, order: type, tag: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    extra = " -write_xing 0 -id3v2_version 0" if muxer == "mp3" else ""
    frames = coded(codec + extra, muxer)
    path = tmp_path / "song.wav"
    path.write_bytes(wav(order(frames), tag))
    expected = decode_frames(frames, {"adts": "aac", "mp2": "mp3"}.get(muxer, muxer))
    np.testing.assert_allclose(decode(path), expected, atol=1e-4)


def test_spdif_bursts_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AC-3 in IEC 61937 bursts, as recorded from an optical output."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "song.wav"
    path.write_bytes(wav(coded("ac3", "spdif")))
    np.testing.assert_allclose(decode(path), decode_frames(coded("ac3", "ac3"), "ac3"), atol=1e-4)


CODECS = {"DTS": (DTS, "dts"), "AC-3": ("ac3", "ac3"), "E-AC-3": ("eac3", "eac3")}
WORDS = {"low byte first": "<i2", "high byte first": ">i2"}


def as_samples(path: Path, frames: bytes, silence: int, subtype: str = "PCM_16") -> Path:
    """A lossless file whose samples are the words of coded frames, after some silence."""
    words = np.frombuffer(frames[: len(frames) // 4 * 4], "<i2").reshape(-1, 2)
    wave = np.concatenate([np.zeros((silence, 2), "<i2"), words]) / np.float32(32768)
    if path.suffix == ".m4a":
        sound = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-")
        ffmpeg(*sound, "-c:a", "alac", "-sample_fmt", "s16p", path, sound=wave)
    else:
        soundfile.write(path, wave, RATE, subtype=subtype)
    return path


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("order", [bytes, swapped])
@pytest.mark.parametrize(
    ("suffix", "subtype", "silence"),
    [
        ("flac", "PCM_16", 0),
        ("flac", "PCM_24", 9000),
        ("caf", "PCM_16", 9000),
        ("m4a", "", 0),
        ("m4a", "", 9000),
        ("wav", "PCM_24", 0),
        ("wav", "PCM_32", 9000),
    ],
)
def test_a_codec_in_any_other_container_is_refused(
    codec: str, order: type, suffix: str, subtype: str, silence: int, tmp_path: Path
) -> None:
    path = as_samples(tmp_path / f"song.{suffix}", order(coded(*CODECS[codec])), silence, subtype)
    sentence = rf"contains {codec} labelled as PCM.*Decode it"
    with pytest.raises(DecodeError, match=sentence):
        decode(path)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("suffix", ["aiff", "w64", "rf64"])
def test_a_codec_in_aiff_w64_and_rf64_is_decoded(
    codec: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AIFF samples have the high byte first, like the words of all three codecs."""
    monkeypatch.chdir(tmp_path)
    frames = coded(*CODECS[codec])
    order = swapped if suffix == "aiff" else bytes
    path = as_samples(tmp_path / f"song.{suffix}", order(frames), silence=0)
    expected = decode_frames(frames, CODECS[codec][1])
    np.testing.assert_allclose(decode(path), expected, atol=1e-4)


@pytest.mark.parametrize("codec", ["AC-3", "E-AC-3"])
@pytest.mark.parametrize("suffix", ["wav", "w64", "rf64", "aiff"])
def test_swapped_bytes_of_ac3_are_refused(codec: str, suffix: str, tmp_path: Path) -> None:
    """ffmpeg detects them in a WAV, but misreads the number of channels."""
    order = bytes if suffix == "aiff" else swapped
    path = as_samples(tmp_path / f"song.{suffix}", order(coded(*CODECS[codec])), silence=0)
    with pytest.raises(DecodeError, match=rf"contains {codec} labelled as PCM"):
        decode(path)


def test_a_codec_after_silence_that_nearly_fills_the_first_block(tmp_path: Path) -> None:
    """Only one frame of AC-3 fits into the first block of 10,000 samples."""
    path = as_samples(tmp_path / "song.flac", coded("ac3", "ac3"), silence=9_700)
    with pytest.raises(DecodeError, match="contains AC-3 labelled as PCM"):
        decode(path)


def test_loud_noise_is_not_a_codec(tmp_path: Path) -> None:
    """Property: noise contains every 16-bit word, but not at equal distances."""
    rng = np.random.default_rng(0)
    noise = rng.integers(-(2**15), 2**15, (2**20, 2)).astype("<i2")
    assert bitstream(noise.tobytes()) == ""
    wave = noise[:100_000] / np.float32(32768)
    path = write_audio(tmp_path / "song.wav", wave, subtype="PCM_16")
    assert np.array_equal(decode(path), wave)


def test_occasional_sync_words_are_not_a_codec() -> None:
    """Two may occur by chance, so a third at the same distance is required."""
    sync = b"\xfe\x7f\x01\x80"
    assert bitstream(sync + bytes(1000) + sync + bytes(1500) + sync) == ""
    assert bitstream((sync + bytes(1000)) * 3) == "DTS"


def test_a_full_scale_square_wave_is_not_a_codec() -> None:
    """Its two levels side by side are the sync word of DTS, throughout half a period."""
    high = np.tile(np.array([32766, -32767], "<i2"), 50)
    wave = np.tile(np.concatenate([high, -high]), 100)
    assert bitstream(wave.tobytes()) == ""


def test_periodic_audio_with_the_sync_word_of_ac3_is_not_a_codec() -> None:
    """Its period equals the frame length it describes: 192 kbit/s, 768 bytes, 48 kHz."""
    frame = b"\x0b\x77\x12\x34\x14\x40" + bytes(range(250)) * 3 + bytes(12)
    assert len(frame) == 768
    assert bitstream(frame * 20) == ""
    valid = frame[:-2] + crc16(frame[2:-2]).to_bytes(2, "big")
    assert bitstream(valid * 2) == ""
    assert bitstream(valid * 3) == bitstream(swapped(valid) * 3) == "AC-3"


def test_crc16_by_long_division() -> None:
    """Reference: the polynomial long division of RFC 9639, section 9.3."""
    data = b"fLaC and some bytes \x00\xff"
    number = int.from_bytes(data, "big") << 16
    for bit in range(8 * len(data) + 15, 15, -1):
        if number >> bit & 1:
            number ^= 0x18005 << bit - 16
    assert crc16(data) == number
