from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from mutagen.mp3 import MP3, BitrateMode
from numpy.typing import NDArray

from model_zoo.errors import EncodeError, OutputError
from stemcli.audio.encoders import FfmpegSink, WavSink, to_integers
from stemcli.audio.formats import OutputFormat
from stemcli.audio.reader import probe
from stemcli.audio.writer import open_writer
from tests.audio_files import ffmpeg, tones
from tests.full_disk import file_limit
from tests.stemcli.audio.decoding import decode, snr

LOSSLESS = [("wav", "16"), ("wav", "24"), ("wav", "32f"), ("flac", "16"), ("flac", "24")]
STEPS = {"16": 2.0**-15, "24": 2.0**-23, "32f": 2.0**-24}
LOSSY = ["mp3", "ogg", "opus", "m4a"]


def write(
    path: Path, wave: NDArray[np.float32], rate: int = 44100, block: int = 7000, **choices: object
) -> Path:
    """Write ``wave`` in blocks of ``block`` frames, in the format of the extension."""
    format = OutputFormat.from_dict({"name": path.suffix[1:], **choices})
    with open_writer(path, rate, wave.shape[1], format) as writer:
        for start in range(0, len(wave), block):
            writer.write(wave[start : start + block])
    return path


@pytest.mark.parametrize(("name", "depth"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_representable_samples_are_exact(
    tmp_path: Path, name: str, depth: str, channels: int
) -> None:
    """Property: multiples of the 16-bit step are kept bit for bit, extremes too."""
    wave = tones(20001, 48000, channels)
    wave[5], wave[6] = -1.0, 32767 / 32768
    path = write(tmp_path / f"stem.{name}", wave, 48000, depth=depth)
    assert np.array_equal(decode(path), wave)
    assert probe(path).depth == depth


@pytest.mark.parametrize(("name", "depth"), LOSSLESS)
def test_other_samples_are_rounded_to_the_nearest_step(
    tmp_path: Path, name: str, depth: str
) -> None:
    """The tolerance follows from the bit depth: half a step."""
    wave = (tones(20000) * np.float32(0.7654321)).astype(np.float32)
    decoded = decode(write(tmp_path / f"stem.{name}", wave, depth=depth))
    assert np.abs(decoded - wave).max() <= STEPS[depth] / 2


@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=50), st.sampled_from([16, 24]))
def test_integers_are_clipped_and_rounded(samples: list[float], bits: int) -> None:
    """Property: values are clipped to the range, then rounded by at most half a step."""
    wave = np.array(samples, np.float32)
    full = 2.0 ** (bits - 1)
    expected = np.clip(wave.astype(np.float64) * full, -full, full - 1)
    assert np.abs(to_integers(wave, bits) - expected).max() <= 0.5


@pytest.mark.parametrize("name", ["wav", "flac", *LOSSY])
def test_loud_samples_are_clipped(tmp_path: Path, name: str) -> None:
    """A tone eight times too loud becomes a full-scale square wave; it never wraps."""
    rate = 48000
    loud = (8 * tones(30000, rate)).astype(np.float32)
    choices = {"depth": "16"} if name in ("wav", "flac") else {}
    decoded = decode(write(tmp_path / f"stem.{name}", loud, rate, **choices))
    assert snr(np.clip(loud, -1, 1), decoded) > (80 if choices else 10)


def test_float_files_keep_loud_samples(tmp_path: Path) -> None:
    loud = (8 * tones(3000)).astype(np.float32)
    assert np.array_equal(decode(write(tmp_path / "stem.wav", loud, depth="32f")), loud)


@pytest.mark.parametrize("name", LOSSY)
@pytest.mark.parametrize("rate", [24000, 48000])
@pytest.mark.parametrize("frames", [1000, 1152 * 20, 30011])
def test_lossy_stems_keep_length_and_alignment(
    tmp_path: Path, name: str, rate: int, frames: int
) -> None:
    """Property: length and alignment do not depend on the codec's frames."""
    wave = tones(frames, rate)
    decoded = decode(write(tmp_path / f"stem.{name}", wave, rate))
    assert decoded.shape == wave.shape
    assert frames == 1000 or snr(wave[1000:-1000], decoded[1000:-1000]) > 15


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg", "opus"])
def test_a_single_sample_is_kept(tmp_path: Path, name: str) -> None:
    assert decode(write(tmp_path / f"stem.{name}", tones(1, 48000), 48000)).shape == (1, 2)


@pytest.mark.usefixtures("bundled_ffmpeg")
@pytest.mark.parametrize("name", ["ogg", "opus", "m4a"])
def test_the_bundled_ffmpeg_can_write(tmp_path: Path, name: str) -> None:
    wave = tones(30011, 48000, 4)
    assert decode(write(tmp_path / f"stem.{name}", wave, 48000)).shape == wave.shape


@pytest.mark.parametrize("name", ["ogg", "opus", "m4a"])
def test_surround_channels_keep_their_order(tmp_path: Path, name: str) -> None:
    """Property: channel k has the tone of channel k, in any order of the codec."""
    wave = tones(24000, 48000, channels=6)
    wave[:, 3] = 0.3 * np.sin(2 * np.pi * 60 * np.arange(24000) / 48000)  # the LFE channel
    decoded = decode(write(tmp_path / f"stem.{name}", wave, 48000))
    assert np.abs(wave.T @ decoded).argmax(axis=1).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("name", "frames"), [("mp3", 10489), ("opus", 11417), ("m4a", 10489)])
def test_an_unsupported_sample_rate_is_converted(tmp_path: Path, name: str, frames: int) -> None:
    """By hand: 10000 samples at 10512 Hz are 10487.8 at 11025 Hz and 11415.5 at 12000 Hz."""
    path = tmp_path / f"stem.{name}"
    writer = open_writer(path, 10512, 1, OutputFormat(name))
    writer.write(tones(10000, 10512, 1))
    writer.commit()
    assert abs(len(decode(path)) - frames) <= 1
    assert writer.notices[0].startswith(f"{name} does not support 10512 Hz: written at 1")


@pytest.mark.parametrize("bitrate", [64, 128, 320])
def test_mp3_has_the_requested_bit_rate(tmp_path: Path, bitrate: int) -> None:
    path = write(tmp_path / "stem.mp3", tones(48000, 48000), 48000, bitrate=bitrate)
    info: Any = MP3(path).info
    assert (round(info.bitrate / 1000), info.bitrate_mode) == (bitrate, BitrateMode.CBR)


@pytest.mark.parametrize(("name", "best", "worst"), [("mp3", 0, 9), ("ogg", 10, 0)])
def test_better_quality_takes_more_space(
    tmp_path: Path, name: str, best: float, worst: float
) -> None:
    sizes = [
        write(tmp_path / f"{quality}.{name}", tones(44100), quality=quality).stat().st_size
        for quality in (best, worst)
    ]
    assert sizes[0] > 1.5 * sizes[1]


@pytest.mark.parametrize("name", ["ogg", "opus", "m4a"])
def test_a_higher_bit_rate_takes_more_space(tmp_path: Path, name: str) -> None:
    sound = tones(48000, 48000)
    sizes = [
        write(tmp_path / f"{rate}.{name}", sound, 48000, bitrate=rate).stat().st_size
        for rate in (256, 48)
    ]
    assert sizes[0] > 1.5 * sizes[1]


@pytest.mark.parametrize("frames", [3000, 300000])
def test_a_bit_rate_refused_by_the_encoder_is_reported(tmp_path: Path, frames: int) -> None:
    """Vorbis has no 500 kbit/s for mono at 8 kHz, which is detected at the end or earlier."""
    with pytest.raises(EncodeError, match=r"cannot write ogg at 8000 Hz.*leaving out bitrate"):
        write(tmp_path / "stem.ogg", tones(frames, 8000, 1), 8000, bitrate=500)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
def test_equal_audio_gives_equal_bytes(tmp_path: Path, name: str) -> None:
    paths = [write(tmp_path / f"{copy}.{name}", tones(9000, 48000), 48000) for copy in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("depth", ["16", "24", "32f"])
def test_a_wav_beyond_the_limit_is_an_rf64(tmp_path: Path, depth: str) -> None:
    """Reference: libsndfile and ffmpeg. The limit is lowered from 4 GB to 10 kB."""
    path, wave = tmp_path / "stem.wav", tones(9001, channels=3)
    sink = WavSink(path, 44100, 3, depth, largest_riff=10000)
    sink.write(wave)
    sink.close()
    assert soundfile.info(path).format == "RF64"
    assert np.array_equal(decode(path), wave)
    raw = np.frombuffer(ffmpeg("-i", path, "-f", "f32le", "-"), "<f4")
    assert np.array_equal(raw.reshape(-1, 3), wave)


@pytest.mark.parametrize("depth", ["16", "24", "32f"])
@pytest.mark.parametrize("frames", [1001, 1002])
def test_other_programs_read_our_wav(tmp_path: Path, depth: str, frames: int) -> None:
    """Reference: libsndfile and ffmpeg. An odd number of bytes is padded."""
    wave = tones(frames, channels=1)
    path = write(tmp_path / "stem.wav", wave, depth=depth)
    info = soundfile.info(path)
    raw = np.frombuffer(ffmpeg("-i", path, "-f", "f32le", "-"), "<f4")
    assert (info.format, info.frames, path.stat().st_size % 2) == ("WAV", frames, 0)
    assert np.array_equal(raw, wave[:, 0])


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg"])
def test_a_file_appears_only_when_complete(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / f"stem.{name}"
    writer = open_writer(path, 44100, 2, OutputFormat(name))
    writer.write(tones(5000))
    assert not path.exists()
    writer.close()
    assert [writer.temporary] == list(path.parent.iterdir())
    writer.commit()
    writer.discard()
    assert [path] == list(path.parent.iterdir())


def write_and_interrupt(path: Path) -> None:
    with open_writer(path, 44100, 2, OutputFormat(path.suffix[1:])) as writer:
        writer.write(tones(5000))
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg"])
def test_an_exception_leaves_no_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"stem.{name}"
    path.write_text("what was there before")
    with pytest.raises(KeyboardInterrupt):
        write_and_interrupt(path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "what was there before"


def test_not_a_number_is_refused(tmp_path: Path) -> None:
    wave = tones(100)
    wave[50, 1] = np.nan
    with pytest.raises(EncodeError, match=r"would hold NaN\. Try precision='fp32'"):
        write(tmp_path / "stem.wav", wave)


@pytest.mark.parametrize("name", ["wav", "flac", "ogg"])
def test_an_unwritable_path_is_reported(tmp_path: Path, name: str) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match=r"^Cannot write to .* Choose another folder with output"):
        write(tmp_path / "taken" / f"stem.{name}", tones(100))


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg"])
@pytest.mark.parametrize("block", [100, 7000])
def test_a_full_disk_is_reported_and_leaves_no_file(tmp_path: Path, name: str, block: int) -> None:
    """With small blocks, buffered data fails when flushed, and again when closed."""
    wave = tones(100_000)
    with (
        file_limit(5_000),
        pytest.raises(
            OutputError,
            match=r"^Cannot write to .*stem\.\w+ \(.*\)\. Choose another folder with output",
        ),
    ):
        write(tmp_path / f"stem.{name}", wave, block=block)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
@pytest.mark.parametrize("name", ["ogg", "opus", "m4a"])
def test_a_disk_that_is_full_when_ffmpeg_closes_the_file(name: str) -> None:
    """Expected: what /dev/full does, an error with every write; short files are written last."""
    sink = FfmpegSink(Path("/dev/full"), 48_000, 2, OutputFormat(name))

    def encode() -> None:
        sink.write(tones(4800))
        sink.close()

    with pytest.raises(OSError, match="No space left on device"):
        encode()
    sink.abort()
