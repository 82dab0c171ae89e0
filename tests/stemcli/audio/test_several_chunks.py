"""Samples in more than one chunk of a file, of which libsndfile and ffmpeg read one alone.

Truth: the samples that were written into the chunks, to the bit.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_zoo.errors import DecodeError
from stemcli.audio.reader import open_audio
from tests.audio_files import ffmpeg, tones
from tests.stemcli.audio.hearing import hear

RATE = 44_100
WAVES = tones(20_001), -tones(9_001)
W64_DATA = b"data" + bytes.fromhex("F3ACD3118CD100C04F8EDB8A")


def whole_and_chunk(kind: str, subtype: str) -> tuple[bytes, bytes]:
    """A file with the first wave, and a chunk of samples cut out of one with the second."""
    both = []
    for wave in WAVES:
        file = io.BytesIO()
        soundfile.write(file, wave, RATE, subtype=subtype, format=kind)
        both.append(file.getvalue())
    whole, other = both
    name = {"AIFF": b"SSND", "W64": W64_DATA}.get(kind, b"data")
    chunk = bytearray(other[other.find(name) :])
    if kind == "RF64":
        struct.pack_into("<I", chunk, 4, len(chunk) - 8)
    return whole, bytes(chunk)


def with_size(kind: str, data: bytes) -> bytes:
    """The file with a header that counts all of it, where it counts in 32 bits."""
    if kind not in ("WAV", "AIFF"):
        return data
    order = ">" if kind == "AIFF" else "<"
    return data[:4] + struct.pack(order + "I", len(data) - 8) + data[8:]


def doubt(path: Path) -> str:
    with open_audio(path) as reader:
        for _ in reader:
            pass
        return reader.doubt


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("kind", ["WAV", "RF64", "W64", "AIFF", "CAF"])
def test_samples_of_two_chunks_follow_each_other(kind: str, subtype: str, tmp_path: Path) -> None:
    whole, chunk = whole_and_chunk(kind, subtype)
    path = tmp_path / f"song.{kind.lower()}"
    path.write_bytes(with_size(kind, whole + chunk))
    assert np.array_equal(hear(path), np.concatenate(WAVES))
    assert doubt(path) == ""


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "CAF"])
def test_a_second_chunk_that_is_cut_off_is_reported(kind: str, tmp_path: Path) -> None:
    whole, chunk = whole_and_chunk(kind, "PCM_16")
    path = tmp_path / f"song.{kind.lower()}"
    path.write_bytes(with_size(kind, whole + chunk)[: len(whole) + len(chunk) // 2])
    right = np.concatenate(WAVES)
    found = hear(path)
    assert np.array_equal(found, right[: len(found)])
    assert "ends at 0.56 s of 0.66 s: the file seems to be cut off" in doubt(path)


def test_chunks_of_a_codec_follow_each_other(tmp_path: Path) -> None:
    """Blocks of ADPCM, which depend on no other block; truth: ffmpeg's decode of one chunk."""
    path = tmp_path / "song.wav"
    sound = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-", "-c:a", "adpcm_ms", path)
    ffmpeg(*sound, sound=WAVES[0])
    whole, one = path.read_bytes(), hear(path)
    at = whole.find(b"data")
    (size,) = struct.unpack_from("<I", whole, at + 4)
    whole = whole[: at + 8 + size]
    path.write_bytes(with_size("WAV", whole + whole[at:]))
    assert np.array_equal(hear(path), np.concatenate([one, one]))


def wave_list(*chunks: bytes) -> bytes:
    """A WAV with its samples in a LIST of type "wavl"."""
    format = struct.pack("<HHIIHH", 1, 2, RATE, 4 * RATE, 4, 16)
    body = b"wavl" + b"".join(chunks)
    body = b"WAVEfmt " + struct.pack("<I", 16) + format + b"LIST" + sized(body)
    return b"RIFF" + sized(body)


def sized(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def test_a_wave_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    chunks = [b"data" + sized((wave * 32768).astype("<i2").tobytes()) for wave in WAVES]
    path.write_bytes(wave_list(*chunks))
    assert np.array_equal(hear(path), np.concatenate(WAVES))
    assert doubt(path) == ""


def test_counted_silence_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    chunks = [b"data" + sized((wave * 32768).astype("<i2").tobytes()) for wave in WAVES]
    silence = b"slnt" + sized(struct.pack("<I", RATE))
    path.write_bytes(wave_list(chunks[0], silence, chunks[1]))
    with pytest.raises(DecodeError, match=r"a wave list with counted silence, .* plain wav file"):
        hear(path)


def test_more_chunks_than_any_program_writes(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(wave_list(*[b"data" + sized(bytes(4))] * 5_000))
    with pytest.raises(DecodeError, match="damaged: its samples lie in 4999 chunks; export"):
        hear(path)
