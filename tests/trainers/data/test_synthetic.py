"""Songs made by formula. Truth: laws of sums and seeds, and what networks are to hear in them."""

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


def read(place: Path) -> dict[str, np.ndarray]:
    return {path.stem: soundfile.read(path, dtype="int16")[0] for path in place.glob("*.wav")}


def test_files_add_up_to_their_mixture_to_the_sample(tmp_path: Path) -> None:
    places = render_songs(tmp_path / "set", 2, 3.0, RATE, seed=4)
    assert [place.name for place in places] == ["song_001", "song_002"]
    for place in places:
        waves = read(place)
        mixture = waves.pop("mixture")
        assert waves.keys() == set(NAMES)
        assert mixture.shape == (3 * RATE, 2)
        assert np.array_equal(mixture, sum(wave.astype(int) for wave in waves.values()))
        assert np.abs(mixture).max() <= PEAK * 2**15 + 2


def test_a_seed_names_its_songs_however_many_there_are(tmp_path: Path) -> None:
    one = render_songs(tmp_path / "one", 1, 1.0, RATE, seed=4)
    two = render_songs(tmp_path / "two", 2, 1.0, RATE, seed=4)
    other = render_songs(tmp_path / "other", 1, 1.0, RATE, seed=5)
    first, again, second, third = (
        (place / "mixture.wav").read_bytes() for place in (one[0], *two, other[0])
    )
    assert first == again
    assert len({first, second, third}) == 3


def test_levels_are_those_of_a_song(songs: list[dict[str, np.ndarray]]) -> None:
    """As far apart as listed; loud songs are turned down as a whole."""
    for stems in songs:
        found = [20 * np.log10(np.sqrt(np.square(stems[name]).mean())) for name in NAMES]
        steps = np.array(found) - [LEVELS[name] for name in NAMES]
        assert np.ptp(steps) < 1e-6
        assert -9 < steps[0] <= 0
        assert np.abs(sum(stems.values())).max() <= PEAK + 1e-9


def test_stems_can_be_parted_by_masks(songs: list[dict[str, np.ndarray]]) -> None:
    """Reference: the ideal ratio mask, the share of each stem's magnitude, gains 8 dB or more."""
    window = torch.hann_window(1024)
    for stems in songs:
        waves = torch.stack([torch.from_numpy(stems[name]) for name in NAMES]).float()
        mixture = waves.sum(0)
        size = stft(waves, window, 256).abs()
        masked = stft(mixture, window, 256) * size / (size.sum(0) + 1e-6)
        parted = istft(masked, window, 256, waves.shape[-1])
        gained = global_sdr(parted, waves) - global_sdr(mixture.expand_as(waves), waves)
        assert (gained > 8).all()


def test_each_stem_has_its_place(songs: list[dict[str, np.ndarray]]) -> None:
    """Half of the bass lies below 250 Hz, of the others' power a quarter at most but for kicks."""
    for stems in songs:
        power = {name: np.abs(np.fft.rfft(stems[name].mean(0))) ** 2 for name in NAMES}
        hz = np.fft.rfftfreq(10 * RATE, 1 / RATE)
        low = {name: power[name][hz < 250].sum() / power[name].sum() for name in NAMES}
        assert low["bass"] > 0.5
        assert max(low["vocals"], low["other"]) < 0.35


def test_voices_move_and_rest_while_chords_stand_still(
    songs: list[dict[str, np.ndarray]],
) -> None:
    """From one twentieth of a second to the next the spectrum of a chord stays, a voice's not."""
    for stems in songs:
        alike = {}
        for name in ("vocals", "other"):
            frames = stems[name].mean(0)[: 10 * RATE].reshape(-1, RATE // 20)
            sizes = np.abs(np.fft.rfft(frames * np.hanning(RATE // 20)))
            sizes /= np.linalg.norm(sizes, axis=1, keepdims=True) + 1e-9
            alike[name] = np.median((sizes[1:] * sizes[:-1]).sum(1))
        assert alike["other"] > alike["vocals"]
        loud = np.abs(stems["vocals"]).max(0).reshape(-1, RATE // 10).max(1) > 1e-3
        assert 0.4 < loud.mean() < 1


def test_overtones_are_never_mirrored() -> None:
    """Of 3 kHz at 16 kHz, the second lies at 6; the third, at 9, would come back at 7."""
    tone = overtones_of(np.full(RATE, 3000.0), RATE, 10, 1.0)
    size = 2 * np.abs(np.fft.rfft(tone)) / RATE
    assert size[[3000, 6000]] == pytest.approx([1, 0.5], abs=1e-6)
    assert np.delete(size, [3000, 6000]).max() < 1e-6


def test_songs_are_not_overwritten(tmp_path: Path) -> None:
    render_songs(tmp_path, 1, 1.0, RATE)
    with pytest.raises(OutputError, match=r"song_001 already exists"):
        render_songs(tmp_path, 2, 1.0, RATE)
    assert not (tmp_path / "song_002").exists()


def test_the_command_for_people_and_programs(tmp_path: Path) -> None:
    words = ["--songs", "1", "--seconds", "1", "--sample-rate", "8000", "--seed", "3"]
    shown = CliRunner().invoke(render_command, [str(tmp_path / "a"), *words])
    assert shown.exit_code == 0
    assert shown.output == (
        f"1 songs of 1 s written to {tmp_path / 'a'}\nTry: stem data check {tmp_path / 'a'}\n"
    )
    told = CliRunner().invoke(render_command, [str(tmp_path / "b"), *words, "--json"])
    assert json.loads(told.output)["songs"] == [str(tmp_path / "b" / "song_001")]
    assert soundfile.info(tmp_path / "b" / "song_001" / "vocals.wav").samplerate == 8000


@pytest.mark.parametrize("words", [["--songs", "0"], ["--seconds", "0"], ["--sample-rate", "10"]])
def test_numbers_that_make_no_songs(tmp_path: Path, words: list[str]) -> None:
    refused = CliRunner().invoke(render_command, [str(tmp_path / "a"), *words])
    assert refused.exit_code == 2
    assert not (tmp_path / "a").exists()
