"""Chained files: several complete files, one after the other in one.

Reference: the samples given to a lossless encoder; for a lossy one libsndfile's or ffmpeg's decode
of each file. Property: the chain decodes to the samples of its links.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soxr

from model_zoo.errors import DecodeError
from stemcli.audio.chain import Converted
from stemcli.audio.decoder import Block, skip_by_decoding
from stemcli.audio.info import AudioInfo
from stemcli.audio.reader import open_audio, probe
from tests.audio_files import ffmpeg, noisy_tones, tones, write_audio
from tests.stemcli.audio.decoding import decode, snr

FRAMES = (30_001, 20_003, 101)


def files(folder: Path, suffix: str, rate: int, codec: str = "") -> list[Path]:
    """Write files of three lengths."""
    paths = []
    for number, frames in enumerate(FRAMES):
        path = folder / f"{number}.{suffix}"
        wave = noisy_tones(frames, rate)[::-1]
        if codec:
            sound = ("-f", "f32le", "-ar", rate, "-ac", 2, "-i", "-", "-c:a", *codec.split())
            ffmpeg(*sound, path, sound=wave)
        else:
            write_audio(path, wave, rate)
        paths.append(path)
    return paths


def chained(links: list[Path], between: bytes = b"") -> Path:
    path = links[0].with_stem("chain")
    path.write_bytes(between.join(link.read_bytes() for link in links))
    return path


def doubt_of(path: Path) -> str:
    with open_audio(path) as reader:
        for _ in reader:
            pass
        return reader.doubt


@pytest.mark.parametrize(
    ("suffix", "rate", "codec", "between"),
    [
        ("ogg", 44_100, "", b""),
        ("opus", 48_000, "", b""),
        ("opus", 24_000, "libopus", b""),
        ("oga", 44_100, "flac", b""),
        ("spx", 16_000, "libspeex", b""),
        ("flac", 44_100, "", b""),
        ("flac", 44_100, "", b"TAG".ljust(128, b" ")),
        ("mp3", 44_100, "", b""),
        ("mp3", 22_050, "libmp3lame", b""),
        ("mp3", 44_100, "libmp3lame", b"TAG".ljust(128, b" ")),
    ],
)
def test_all_links_are_decoded(
    suffix: str, rate: int, codec: str, between: bytes, tmp_path: Path
) -> None:
    links = files(tmp_path, suffix, rate, codec)
    expected = np.concatenate([decode(link) for link in links])
    path = chained(links, between)
    assert np.array_equal(decode(path), expected)
    assert doubt_of(path) == ""
    if suffix not in ("oga", "spx"):
        assert len(expected) == sum(FRAMES)
        assert probe(path).frames == len(expected)


def test_a_lossless_chain_is_exact(tmp_path: Path) -> None:
    """Property: FLAC returns the encoded samples."""
    waves = [tones(frames) for frames in FRAMES]
    links = [write_audio(tmp_path / f"{n}.flac", wave) for n, wave in enumerate(waves)]
    assert np.array_equal(decode(chained(links)), np.concatenate(waves))


@pytest.mark.parametrize("suffix", ["ogg", "opus", "mp3", "flac"])
def test_an_excerpt_across_links_is_a_slice_of_the_song(suffix: str, tmp_path: Path) -> None:
    rate = 48_000 if suffix == "opus" else 44_100
    path = chained(files(tmp_path, suffix, rate))
    full = decode(path)
    excerpt = decode(path, start=0.5, end=1.0)
    assert np.array_equal(excerpt, full[rate // 2 : rate])
    assert np.array_equal(decode(path, start=0.9), full[round(0.9 * rate) :])


@pytest.mark.parametrize("suffix", ["ogg", "flac", "mp3", "oga"])
@pytest.mark.parametrize("channels", [(2, 1), (1, 2)])
def test_links_are_converted_to_the_channels_of_the_first(
    suffix: str, channels: tuple[int, int], tmp_path: Path
) -> None:
    """Property: mono is copied to both channels, and stereo is averaged to mono."""
    links = [write_second(tmp_path / f"{n}.{suffix}", 44_100, n) for n in channels]
    first, second = (decode(link) for link in links)
    path = chained(links)
    expected = np.repeat(second, 2, 1) if channels[0] == 2 else second.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(decode(path), np.concatenate([first, expected]), atol=1e-6)
    assert doubt_of(path) == ""


def test_links_with_incompatible_channels_are_refused(tmp_path: Path) -> None:
    links = [write_second(tmp_path / f"{n}.ogg", 44_100, n) for n in (2, 6)]
    with pytest.raises(DecodeError, match=r"at 1\.00 s changes from 2 to 6 channels\. Convert it"):
        open_audio(chained(links))


@pytest.mark.parametrize("suffix", ["ogg", "oga", "flac", "mp3"])
def test_links_are_resampled_to_the_rate_of_the_first(suffix: str, tmp_path: Path) -> None:
    """Reference: soxr at its highest quality; a second stays a second."""
    links = [write_second(tmp_path / f"{rate}.{suffix}", rate, 2) for rate in (44_100, 32_000)]
    first, second = (decode(link) for link in links)
    path = chained(links)
    wave = decode(path)
    assert abs(len(wave) - 88_200) <= 1
    assert np.array_equal(wave[: len(first)], first)
    converted = soxr.resample(second, 32_000, 44_100, quality="VHQ")
    assert snr(converted[500:-500], wave[len(first) :][: len(converted)][500:-500]) > 60
    assert doubt_of(path) == ""


def write_second(path: Path, rate: int, channels: int) -> Path:
    """Write a second of tones."""
    codec = {"ogg": "libvorbis", "mp3": "libmp3lame"}.get(path.suffix[1:], "flac")
    sound = ("-f", "f32le", "-ar", rate, "-ac", channels, "-i", "-", "-c:a", codec)
    ffmpeg(*sound, path, sound=tones(rate, rate, channels))
    return path


@pytest.mark.parametrize("suffix", ["ogg", "opus"])
def test_damage_in_a_later_link_is_reported(suffix: str, tmp_path: Path) -> None:
    links = files(tmp_path, suffix, 48_000)
    second = bytearray(links[1].read_bytes())
    second[len(second) // 2] ^= 0xFF
    links[1].write_bytes(second)
    path = chained(links)
    try:
        report = doubt_of(path)
    except DecodeError as error:
        report = str(error)
    assert "damaged" in report
    times_reported = [float(time) for time in re.findall(r"at (\d+\.\d\d) s", report)]
    begins, ends = FRAMES[0] / 48_000, sum(FRAMES[:2]) / 48_000
    assert len(times_reported) == 2
    assert all(begins - 0.01 < time < ends + 0.01 for time in times_reported)


def test_damage_in_a_later_flac_is_reported_in_the_time_of_the_song(tmp_path: Path) -> None:
    """Within the second of three links, after the first 0.68 s of 1.14 s."""
    links = files(tmp_path, "flac", 44_100)
    second = bytearray(links[1].read_bytes())
    second[len(second) // 2] ^= 0xFF
    links[1].write_bytes(second)
    with pytest.raises(DecodeError, match=r"stops at (0\.[6-9]\d|1\.[01]\d) s of 1\.14 s"):
        decode(chained(links))


def test_a_missing_page_is_reported(tmp_path: Path) -> None:
    """Its neighbors are complete, and only their numbers show it (RFC 3533, section 6)."""
    path = write_audio(tmp_path / "song.ogg", noisy_tones(200_000))
    data = path.read_bytes()
    pages = [at for at in range(len(data)) if data.startswith(b"OggS", at)]
    assert len(pages) > 6
    path.write_bytes(data[: pages[4]] + data[pages[5] :])
    try:
        report = doubt_of(path)
    except DecodeError as error:
        report = str(error)
    assert "damaged" in report


def test_decoding_stops_at_a_gap_without_frames_in_an_mp3(tmp_path: Path) -> None:
    links = files(tmp_path, "mp3", 44_100)
    path = chained(links, between=b"?" * 9000)
    with pytest.raises(DecodeError, match=r"stops at 0\.68 s .*\(no frame follows where one"):
        decode(path)
    assert np.array_equal(decode(path, end=0.68), decode(links[0])[: round(0.68 * 44_100)])


def test_a_few_bytes_between_frames_of_an_mp3_are_reported(tmp_path: Path) -> None:
    """Players skip them; no frame is missing, but the bytes may once have been one."""
    path = write_audio(tmp_path / "song.mp3", noisy_tones(60_000))
    full, data = decode(path), path.read_bytes()
    frame = data.find(data[417:419], 5000)
    path.write_bytes(data[:frame] + b"\0?" * 50 + data[frame:])
    assert np.array_equal(decode(path), full)
    assert "100 bytes between its frames are not audio" in doubt_of(path)


def test_a_chain_of_flacs_with_only_a_streaminfo_block(tmp_path: Path) -> None:
    """Its first metadata block is also its last (RFC 9639, section 8.1)."""
    waves = [tones(frames) for frames in FRAMES]
    links = [write_audio(tmp_path / f"{n}.flac", wave) for n, wave in enumerate(waves)]
    for link in links[1:]:
        data = link.read_bytes()
        at, is_last = 4, False
        while not is_last:
            is_last, at = data[at] >= 0x80, at + 4 + int.from_bytes(data[at + 1 : at + 4], "big")
        link.write_bytes(b"fLaC\x80" + data[5:42] + data[at:])
    assert np.array_equal(decode(chained(links)), np.concatenate(waves))


class Silence:
    """A decoder of silence that remembers the largest read."""

    def __init__(self, frames: int) -> None:
        self.info = AudioInfo(Path("song.wav"), 44_100, 2, frames, "16")
        self.left, self.most, self.loss = frames, 0, ""

    def read(self, frames: int) -> Block:
        self.most, count = max(self.most, frames), min(frames, self.left)
        self.left -= count
        return np.zeros((count, 2), np.float32)

    def skip(self, frames: int) -> None:
        skip_by_decoding(self, frames)

    def close(self) -> None: ...


def test_samples_are_skipped_in_small_blocks() -> None:
    """Also at another rate: skipping an hour must not decode it in one block."""
    silence = Silence(2_000_000)
    silence.skip(1_900_000)
    assert silence.left == 100_000
    converted = Converted(silence, replace(silence.info, sample_rate=22_050))
    converted.skip(10**12)
    assert (silence.left, len(converted.read(1))) == (0, 0)
    assert silence.most <= 65_536
