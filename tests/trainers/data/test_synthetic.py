"""Synthetic songs: sums, seeds and the properties that make them separable."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from model_zoo.errors import OutputError
from model_zoo.ops.spectra import istft, stft
from trainers.cli.data import render_command
from trainers.data.synthetic import LEVELS, PEAK, overtones_of, play, render_songs
from trainers.metrics.sdr import global_sdr

RATE = 16_000
NAMES = ("vocals", "drums", "bass", "other")


@pytest.fixture(scope="module")
def songs() -> list[dict[str, np.ndarray]]:
    return [play(10.0, RATE, np.random.default_rng((1, number))) for number in range(3)]


def read(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: soundfile.read(path, dtype="int16")[0] for path in folder.glob("*.wav")}


def test_stems_sum_exactly_to_their_mixture(tmp_path: Path) -> None:
    folders = render_songs(tmp_path / "set", 2, 3.0, RATE, seed=4)
    assert [folder.name for folder in folders] == ["song_001", "song_002"]
    for folder in folders:
        waves = read(folder)
        mixture = waves.pop("mixture")
        assert waves.keys() == set(NAMES)
        assert mixture.shape == (3 * RATE, 2)
        assert np.array_equal(mixture, sum(wave.astype(int) for wave in waves.values()))
        assert np.abs(mixture).max() <= PEAK * 2**15 + 2


def test_songs_depend_on_the_seed_not_on_their_count(tmp_path: Path) -> None:
    one = render_songs(tmp_path / "one", 1, 1.0, RATE, seed=4)
    two = render_songs(tmp_path / "two", 2, 1.0, RATE, seed=4)
    other = render_songs(tmp_path / "other", 1, 1.0, RATE, seed=5)
    first, again, second, third = (
        (folder / "mixture.wav").read_bytes() for folder in (one[0], *two, other[0])
    )
    assert first == again
    assert len({first, second, third}) == 3


def test_stem_levels_are_as_listed(songs: list[dict[str, np.ndarray]]) -> None:
    """Level differences are as listed; loud songs are turned down as a whole."""
    for stems in songs:
        found = [20 * np.log10(np.sqrt(np.square(stems[name]).mean())) for name in NAMES]
        steps = np.array(found) - [LEVELS[name] for name in NAMES]
        assert np.ptp(steps) < 1e-6
        assert -9 < steps[0] <= 0
        assert np.abs(sum(stems.values())).max() <= PEAK + 1e-9


def test_masks_can_separate_the_stems(songs: list[dict[str, np.ndarray]]) -> None:
    """The ideal ratio mask, each stem's share of the magnitudes, gains 8 dB or more."""
    window = torch.hann_window(1024)
    for stems in songs:
        waves = torch.stack([torch.from_numpy(stems[name]) for name in NAMES]).float()
        mixture = waves.sum(0)
        size = stft(waves, window, 256).abs()
        masked = stft(mixture, window, 256) * size / (size.sum(0) + 1e-6)
        separated = istft(masked, window, 256, waves.shape[-1])
        gain = global_sdr(separated, waves) - global_sdr(mixture.expand_as(waves), waves)
        assert (gain > 8).all()


def test_only_the_bass_is_mostly_low(songs: list[dict[str, np.ndarray]]) -> None:
    """Half of the bass's power is below 250 Hz, and at most a third of vocals and other."""
    for stems in songs:
        power = {name: np.abs(np.fft.rfft(stems[name].mean(0))) ** 2 for name in NAMES}
        hz = np.fft.rfftfreq(10 * RATE, 1 / RATE)
        low = {name: power[name][hz < 250].sum() / power[name].sum() for name in NAMES}
        assert low["bass"] > 0.5
        assert max(low["vocals"], low["other"]) < 0.35


def test_voices_vary_more_than_chords(
    songs: list[dict[str, np.ndarray]],
) -> None:
    """The spectra of successive 50 ms are more alike for chords than for voices."""
    for stems in songs:
        similarity = {}
        for name in ("vocals", "other"):
            frames = stems[name].mean(0)[: 10 * RATE].reshape(-1, RATE // 20)
            spectra = np.abs(np.fft.rfft(frames * np.hanning(RATE // 20)))
            spectra /= np.linalg.norm(spectra, axis=1, keepdims=True) + 1e-9
            similarity[name] = np.median((spectra[1:] * spectra[:-1]).sum(1))
        assert similarity["other"] > similarity["vocals"]
        loud = np.abs(stems["vocals"]).max(0).reshape(-1, RATE // 10).max(1) > 1e-3
        assert 0.4 < loud.mean() < 1


def test_overtones_do_not_alias() -> None:
    """The second harmonic of 3 kHz is 6 kHz; the third, 9 kHz, would alias to 7 kHz."""
    tone = overtones_of(np.full(RATE, 3000.0), RATE, 10, 1.0)
    size = 2 * np.abs(np.fft.rfft(tone)) / RATE
    assert size[[3000, 6000]] == pytest.approx([1, 0.5], abs=1e-6)
    assert np.delete(size, [3000, 6000]).max() < 1e-6


def test_songs_are_not_overwritten(tmp_path: Path) -> None:
    render_songs(tmp_path, 1, 1.0, RATE)
    with pytest.raises(OutputError, match=r"song_001 already exists"):
        render_songs(tmp_path, 2, 1.0, RATE)
    assert not (tmp_path / "song_002").exists()


def test_the_command_prints_lines_or_json(tmp_path: Path) -> None:
    words = ["--songs", "1", "--seconds", "1", "--sample-rate", "8000", "--seed", "3"]
    result = CliRunner().invoke(render_command, [str(tmp_path / "a"), *words])
    assert result.exit_code == 0
    assert result.output == (
        f"1 songs of 1 s written to {tmp_path / 'a'}\nTry: stem data check {tmp_path / 'a'}\n"
    )
    json_result = CliRunner().invoke(render_command, [str(tmp_path / "b"), *words, "--json"])
    assert json.loads(json_result.output)["songs"] == [str(tmp_path / "b" / "song_001")]
    assert soundfile.info(tmp_path / "b" / "song_001" / "vocals.wav").samplerate == 8000


@pytest.mark.parametrize("words", [["--songs", "0"], ["--seconds", "0"], ["--sample-rate", "10"]])
def test_invalid_numbers_are_refused(tmp_path: Path, words: list[str]) -> None:
    result = CliRunner().invoke(render_command, [str(tmp_path / "a"), *words])
    assert result.exit_code == 2
    assert not (tmp_path / "a").exists()
