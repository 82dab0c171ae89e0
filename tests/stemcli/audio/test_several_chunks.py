"""Samples in more than one chunk of a file, of which libsndfile and ffmpeg read one alone.

Truth: the samples that were written into the chunks, to the bit.
"""

from __future__ import annotations

import io
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from model_zoo.errors import DecodeError
from stemcli.audio.containers.chunks import MOST_CHUNKS, RIFF, chunks
from stemcli.audio.containers.part import FileBytes
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


def data_chunk(wave: NDArray[np.float32]) -> bytes:
    return b"data" + sized((wave * 32768).astype("<i2").tobytes())


def sized(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def test_a_wave_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(wave_list(*map(data_chunk, WAVES)))
    assert np.array_equal(hear(path), np.concatenate(WAVES))
    assert doubt(path) == ""


def test_counted_silence_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    silence = b"slnt" + sized(struct.pack("<I", RATE))
    path.write_bytes(wave_list(data_chunk(WAVES[0]), silence, data_chunk(WAVES[1])))
    with pytest.raises(
        DecodeError, match=r"silence as a count \(a WAV wave list\), .* plain wav file"
    ):
        hear(path)


def test_counted_silence_in_front_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    silence = b"slnt" + sized(struct.pack("<I", RATE))
    path.write_bytes(wave_list(silence, data_chunk(WAVES[0])))
    with pytest.raises(DecodeError, match="silence as a count"):
        hear(path)


@pytest.mark.parametrize("between", [b"", b"note" + sized(b"12345678")])
def test_a_wave_list_of_one_chunk_is_read(between: bytes, tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(wave_list(between, data_chunk(WAVES[0])))
    assert np.array_equal(hear(path), WAVES[0])
    assert doubt(path) == ""


def test_a_wave_list_of_a_codec_is_read(tmp_path: Path) -> None:
    """Blocks of ADPCM; truth: the decode of the same chunk outside of a list."""
    path = tmp_path / "song.wav"
    soundfile.write(path, WAVES[0], RATE, subtype="MS_ADPCM")
    whole, right = path.read_bytes(), hear(path)
    at = whole.find(b"data")
    path.write_bytes(with_size("WAV", whole[:at] + b"LIST" + sized(b"wavl" + whole[at:])))
    assert np.array_equal(hear(path), right)


def test_a_wave_list_behind_a_chunk_of_samples_is_read(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, WAVES[0], RATE)
    listed = b"LIST" + sized(b"wavl" + data_chunk(WAVES[1]))
    path.write_bytes(with_size("WAV", path.read_bytes() + listed))
    assert np.array_equal(hear(path), np.concatenate(WAVES))


def test_chunks_of_a_codec_in_aifc_follow_each_other(tmp_path: Path) -> None:
    """Packets of IMA4; truth: the decode of one chunk with the bytes of both."""
    path = tmp_path / "song.aiff"
    soundfile.write(path, WAVES[0], RATE, subtype="IMA_ADPCM")
    whole = path.read_bytes()
    at = whole.find(b"SSND")
    (size,) = struct.unpack_from(">I", whole, at + 4)
    body = whole[at + 16 : at + 8 + size]
    half = len(body) // 2 // 68 * 68  # packets of 34 bytes, two channels
    one = hear(path)
    path.write_bytes(with_size("AIFF", whole[:at] + ssnd(body[:half]) + ssnd(body[half:])))
    assert np.array_equal(hear(path), one)


def ssnd(samples: bytes) -> bytes:
    return b"SSND" + struct.pack(">III", 8 + len(samples), 0, 0) + samples


def test_a_codec_labelled_as_pcm_in_two_chunks_is_refused(tmp_path: Path) -> None:
    """ffmpeg, which reads the frames, reads the first chunk alone."""
    sound = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-")
    bare = ("-write_xing", 0, "-id3v2_version", 0, "-f", "mp3", "-")
    frames = ffmpeg(*sound, "-c:a", "libmp3lame", *bare, sound=WAVES[0])
    format = struct.pack("<HHIIHH", 1, 2, RATE, 4 * RATE, 4, 16)
    body = b"WAVEfmt " + sized(format) + (b"data" + sized(frames[: len(frames) // 4 * 4])) * 2
    path = tmp_path / "song.wav"
    path.write_bytes(b"RIFF" + sized(body))
    with pytest.raises(
        DecodeError, match="stores compressed sound in several chunks, which no decoder"
    ):
        hear(path)


@pytest.mark.parametrize("count", [MOST_CHUNKS - 2, MOST_CHUNKS - 1])
def test_samples_behind_many_chunks_are_read_or_refused(count: int, tmp_path: Path) -> None:
    """Never half of them: the last chunk that is looked at has samples, or the one behind it."""
    path = tmp_path / "song.wav"
    soundfile.write(path, WAVES[0], RATE)
    whole = path.read_bytes()
    assert whole[36:40] == b"data"  # behind one other chunk
    many = (b"junk" + bytes(4)) * (count - 1)
    path.write_bytes(with_size("WAV", whole + many + data_chunk(WAVES[1])))
    if count == MOST_CHUNKS - 2:
        assert np.array_equal(hear(path), np.concatenate(WAVES))
    else:
        with pytest.raises(
            DecodeError, match=r"more than 20,000 chunks, more than Stem reads\. Export"
        ):
            hear(path)


def test_as_many_chunks_as_are_looked_at_are_no_error() -> None:
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(b"RIFF" + bytes(4) + b"WAVE" + (b"junk" + bytes(4)) * MOST_CHUNKS)
        data = FileBytes(file)
        assert len(list(chunks(data, RIFF, 0, len(data)))) == MOST_CHUNKS


def test_more_chunks_than_any_program_writes(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(wave_list(*[b"data" + sized(bytes(4))] * 5_000))
    with pytest.raises(
        DecodeError, match=r"its samples in 5,000 chunks, more than Stem reads\. Export"
    ):
        hear(path)
