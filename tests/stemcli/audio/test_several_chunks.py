"""Samples in several chunks of a file, of which libsndfile and ffmpeg read only one.

Reference: the samples written into the chunks, bit for bit.
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
from tests.stemcli.audio.decoding import decode

RATE = 44_100
WAVES = tones(20_001), -tones(9_001)
W64_DATA = b"data" + bytes.fromhex("F3ACD3118CD100C04F8EDB8A")


def file_and_chunk(kind: str, subtype: str) -> tuple[bytes, bytes]:
    """A file with the first wave, and the chunk of samples of a file with the second."""
    both = []
    for wave in WAVES:
        file = io.BytesIO()
        soundfile.write(file, wave, RATE, subtype=subtype, format=kind)
        both.append(file.getvalue())
    original, other = both
    name = {"AIFF": b"SSND", "W64": W64_DATA}.get(kind, b"data")
    chunk = bytearray(other[other.find(name) :])
    if kind == "RF64":
        struct.pack_into("<I", chunk, 4, len(chunk) - 8)
    return original, bytes(chunk)


def with_size(kind: str, data: bytes) -> bytes:
    """The file with its total size in the header, in formats with 32-bit sizes."""
    if kind not in ("WAV", "AIFF"):
        return data
    order = ">" if kind == "AIFF" else "<"
    return data[:4] + struct.pack(order + "I", len(data) - 8) + data[8:]


def doubt_of(path: Path) -> str:
    with open_audio(path) as reader:
        for _ in reader:
            pass
        return reader.doubt


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("kind", ["WAV", "RF64", "W64", "AIFF", "CAF"])
def test_two_chunks_of_samples_are_both_read(kind: str, subtype: str, tmp_path: Path) -> None:
    original, chunk = file_and_chunk(kind, subtype)
    path = tmp_path / f"song.{kind.lower()}"
    path.write_bytes(with_size(kind, original + chunk))
    assert np.array_equal(decode(path), np.concatenate(WAVES))
    assert doubt_of(path) == ""


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "CAF"])
def test_a_second_chunk_that_is_cut_off_is_reported(kind: str, tmp_path: Path) -> None:
    original, chunk = file_and_chunk(kind, "PCM_16")
    path = tmp_path / f"song.{kind.lower()}"
    path.write_bytes(with_size(kind, original + chunk)[: len(original) + len(chunk) // 2])
    expected = np.concatenate(WAVES)
    wave = decode(path)
    assert np.array_equal(wave, expected[: len(wave)])
    assert "ends at 0.56 s of 0.66 s: the file seems to be cut off" in doubt_of(path)


def test_two_chunks_of_adpcm_are_both_read(tmp_path: Path) -> None:
    """Blocks of ADPCM are independent. Reference: ffmpeg's decode of one chunk."""
    path = tmp_path / "song.wav"
    sound = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-", "-c:a", "adpcm_ms", path)
    ffmpeg(*sound, sound=WAVES[0])
    original, one = path.read_bytes(), decode(path)
    at = original.find(b"data")
    (size,) = struct.unpack_from("<I", original, at + 4)
    original = original[: at + 8 + size]
    path.write_bytes(with_size("WAV", original + original[at:]))
    assert np.array_equal(decode(path), np.concatenate([one, one]))


def wave_list(*chunks: bytes) -> bytes:
    """A WAV with its samples in a LIST chunk of type "wavl"."""
    format = struct.pack("<HHIIHH", 1, 2, RATE, 4 * RATE, 4, 16)
    body = b"wavl" + b"".join(chunks)
    body = b"WAVEfmt " + struct.pack("<I", 16) + format + b"LIST" + with_length(body)
    return b"RIFF" + with_length(body)


def data_chunk(wave: NDArray[np.float32]) -> bytes:
    return b"data" + with_length((wave * 32768).astype("<i2").tobytes())


def with_length(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def test_a_wave_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(wave_list(*map(data_chunk, WAVES)))
    assert np.array_equal(decode(path), np.concatenate(WAVES))
    assert doubt_of(path) == ""


def test_counted_silence_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    silence = b"slnt" + with_length(struct.pack("<I", RATE))
    path.write_bytes(wave_list(data_chunk(WAVES[0]), silence, data_chunk(WAVES[1])))
    with pytest.raises(
        DecodeError, match=r"silence as a count \(a WAV wave list\), .* plain wav file"
    ):
        decode(path)


def test_counted_silence_at_the_start_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    silence = b"slnt" + with_length(struct.pack("<I", RATE))
    path.write_bytes(wave_list(silence, data_chunk(WAVES[0])))
    with pytest.raises(DecodeError, match="silence as a count"):
        decode(path)


@pytest.mark.parametrize("between", [b"", b"note" + with_length(b"12345678")])
def test_a_wave_list_of_one_chunk_is_read(between: bytes, tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(wave_list(between, data_chunk(WAVES[0])))
    assert np.array_equal(decode(path), WAVES[0])
    assert doubt_of(path) == ""


def test_a_wave_list_of_adpcm_is_read(tmp_path: Path) -> None:
    """Reference: the decode of the same chunk outside a list."""
    path = tmp_path / "song.wav"
    soundfile.write(path, WAVES[0], RATE, subtype="MS_ADPCM")
    original, expected = path.read_bytes(), decode(path)
    at = original.find(b"data")
    path.write_bytes(
        with_size("WAV", original[:at] + b"LIST" + with_length(b"wavl" + original[at:]))
    )
    assert np.array_equal(decode(path), expected)


def test_a_wave_list_after_a_chunk_of_samples_is_read(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, WAVES[0], RATE)
    wave_list_ = b"LIST" + with_length(b"wavl" + data_chunk(WAVES[1]))
    path.write_bytes(with_size("WAV", path.read_bytes() + wave_list_))
    assert np.array_equal(decode(path), np.concatenate(WAVES))


def test_two_chunks_of_ima4_in_aifc_are_both_read(tmp_path: Path) -> None:
    """Reference: the decode of one chunk with the bytes of both."""
    path = tmp_path / "song.aiff"
    soundfile.write(path, WAVES[0], RATE, subtype="IMA_ADPCM")
    original = path.read_bytes()
    at = original.find(b"SSND")
    (size,) = struct.unpack_from(">I", original, at + 4)
    body = original[at + 16 : at + 8 + size]
    half = len(body) // 2 // 68 * 68  # packets of 34 bytes, two channels
    one = decode(path)
    path.write_bytes(with_size("AIFF", original[:at] + ssnd(body[:half]) + ssnd(body[half:])))
    assert np.array_equal(decode(path), one)


def ssnd(samples: bytes) -> bytes:
    return b"SSND" + struct.pack(">III", 8 + len(samples), 0, 0) + samples


def test_a_codec_labelled_as_pcm_in_two_chunks_is_refused(tmp_path: Path) -> None:
    """ffmpeg decodes the frames, but reads only the first chunk."""
    sound = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-")
    mp3_options = ("-write_xing", 0, "-id3v2_version", 0, "-f", "mp3", "-")
    frames = ffmpeg(*sound, "-c:a", "libmp3lame", *mp3_options, sound=WAVES[0])
    format = struct.pack("<HHIIHH", 1, 2, RATE, 4 * RATE, 4, 16)
    body = (
        b"WAVEfmt "
        + with_length(format)
        + (b"data" + with_length(frames[: len(frames) // 4 * 4])) * 2
    )
    path = tmp_path / "song.wav"
    path.write_bytes(b"RIFF" + with_length(body))
    with pytest.raises(
        DecodeError, match="stores compressed sound in several chunks, which no decoder"
    ):
        decode(path)


@pytest.mark.parametrize("count", [MOST_CHUNKS - 2, MOST_CHUNKS - 1])
def test_samples_after_many_chunks_are_read_or_refused(count: int, tmp_path: Path) -> None:
    """Samples in the last chunk within the limit are read; one chunk later, the file is refused."""
    path = tmp_path / "song.wav"
    soundfile.write(path, WAVES[0], RATE)
    original = path.read_bytes()
    assert original[36:40] == b"data"  # after one other chunk
    many = (b"junk" + bytes(4)) * (count - 1)
    path.write_bytes(with_size("WAV", original + many + data_chunk(WAVES[1])))
    if count == MOST_CHUNKS - 2:
        assert np.array_equal(decode(path), np.concatenate(WAVES))
    else:
        with pytest.raises(
            DecodeError, match=r"more than 20,000 chunks, more than Stem reads\. Export"
        ):
            decode(path)


def test_the_maximum_number_of_chunks_is_accepted() -> None:
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(b"RIFF" + bytes(4) + b"WAVE" + (b"junk" + bytes(4)) * MOST_CHUNKS)
        data = FileBytes(file)
        assert len(list(chunks(data, RIFF, 0, len(data)))) == MOST_CHUNKS


def test_thousands_of_chunks_of_samples_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(wave_list(*[b"data" + with_length(bytes(4))] * 5_000))
    with pytest.raises(
        DecodeError, match=r"its samples in 5,000 chunks, more than Stem reads\. Export"
    ):
        decode(path)
