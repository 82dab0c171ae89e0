"""Clips of songs, from synthetic songs whose samples encode where they come from."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from model_zoo.errors import ConfigError, DecodeError
from tests.trainers.commands import RATE
from tests.trainers.data.amplitude import amplitude
from tests.trainers.data.songs import (
    SECONDS,
    clips_of,
    decode_position,
    with_augmentation,
    with_data,
    write_songs,
)
from trainers.config import AugmentationRecipe, Recipe, StageRecipe
from trainers.data import mixing
from trainers.data.clips import numbers
from trainers.data.mixing import FreeMixes, PairClips, SongClips
from trainers.data.recording import Clip
from trainers.data.tracks import Source, Track

LENGTH = RATE // 2
NETWORK = ("vocals", "band")
ALWAYS = {"chance": 1.0}


@pytest.fixture
def plain(recipe: Recipe) -> Recipe:
    return with_data(recipe)


@pytest.fixture
def songs(recordings: Path) -> tuple[Track, ...]:
    return write_songs(recordings / "songs")


def test_stems_of_a_clip_are_cut_at_the_same_position(
    songs: tuple[Track, ...], plain: Recipe
) -> None:
    clips = clips_of(songs, plain)
    for index in range(2 * clips.epoch):
        mixture, stems = clips[index]
        positions = [decode_position(stem) for stem in stems]
        assert {start for start, _, _ in positions} == {positions[0][0]}
        assert {song for _, song, _ in positions} == {positions[0][1]}
        assert [stem for _, _, stem in positions] == [0, 1, 2]
        assert mixture.equal(stems.sum(0))
        steps = stems[:, 0].diff(dim=-1) * 2**15  # consecutive samples
        inside = steps[:, : round(SECONDS[positions[0][1]] * RATE) - positions[0][0] - 1]
        assert (inside == 1).all()


def test_an_epoch_has_every_position_of_every_song(songs: tuple[Track, ...], plain: Recipe) -> None:
    """Songs of 2, 3.1, 0.7 and 1 s have 4, 6, 1 and 2 clips of half a second."""
    clips = clips_of(songs, plain)
    assert clips.epoch == 13
    for epoch in range(3):
        found = [clips.positions.at(index) for index in range(13 * epoch, 13 * epoch + 13)]
        drawn = [
            decode_position(clips[index][1][0])[1] for index in range(13 * epoch, 13 * epoch + 13)
        ]
        assert [drawn.count(song) for song in range(4)] == [4, 6, 1, 2]
        assert drawn == [position.song for position in found]


def test_a_clip_depends_on_seed_and_number_alone(songs: tuple[Track, ...], plain: Recipe) -> None:
    clips = clips_of(songs, plain)
    twin, other = pickle.loads(pickle.dumps(clips)), clips_of(songs, plain, seed=6)
    later = {index: clips[index] for index in (30, 2, 17)}
    for index, (mixture, stems) in later.items():
        assert all(one.equal(two) for one, two in zip((mixture, stems), twin[index], strict=True))
    assert any(not later[index][0].equal(other[index][0]) for index in later)


def test_workers_share_the_clips_of_a_single_worker(
    songs: tuple[Track, ...], plain: Recipe
) -> None:
    """In each step two ranks with batches of 2 draw what a single one draws in a batch of 4."""
    clips = clips_of(songs, plain)
    expected = [clips[index][0] for index in numbers(0, 3, 4)]
    ranks = [[clips[index][0] for index in numbers(0, 3, 2, rank, 2)] for rank in (0, 1)]
    for step in range(3):
        drawn = [mix for rank in ranks for mix in rank[2 * step : 2 * step + 2]]
        batch = expected[4 * step : 4 * step + 4]
        assert all(one.equal(two) for one, two in zip(drawn, batch, strict=True))


def test_groups_are_sums_and_other_stems_stay_in_the_mixture(
    songs: tuple[Track, ...], recipe: Recipe
) -> None:
    """Stems can be sums of files, and the mixture contains stems that the network lacks."""
    grouped = with_data(recipe, groups={"band": ["bass", "drums"]})
    apart = clips_of(songs, grouped)
    for index in range(3):
        mixture, (bass, drums, vocals) = apart[index]
        both, stems = clips_of(songs, grouped, ("vocals", "band"))[index]
        assert stems.equal(torch.stack([vocals, bass + drums]))
        alone, (only,) = clips_of(songs, grouped, ("drums",))[index]
        assert only.equal(drums)
        assert mixture.equal(both)
        assert mixture.equal(alone)


def test_songs_with_groups_or_their_parts_are_mixed(recordings: Path, recipe: Recipe) -> None:
    """Property: if the network has all stems, they sum to the mixture, remixed or not."""
    parts = write_songs(recordings / "parts", [1.0])
    whole = write_songs(recordings / "whole", [1.0], ("band", "vocals"))
    grouped = with_data(recipe, groups={"band": ["bass", "drums"]})
    for chance in (0.0, 1.0):
        clips = clips_of(
            (*parts, *whole), with_augmentation(grouped, remix={"chance": chance}), NETWORK
        )
        for index in range(8):
            mixture, stems = clips[index]
            assert stems.any((-2, -1)).all()
            assert mixture.equal(stems.sum(0))


def test_a_stem_with_a_mixture_keeps_that_mixture(pair: Track, plain: Recipe) -> None:
    """Reference: the mixture file. A song with a stem and a mixture is cut like any other."""
    file, _ = soundfile.read(pair.mixture.path, dtype="float32")
    clips = clips_of([pair], plain, ("vocals",))
    for index in range(4):
        mixture_clip, (target,) = clips[index]
        (start,) = np.flatnonzero(np.abs(file[:, 0] - float(mixture_clip[0, 0])) < 1e-6)
        assert np.abs(mixture_clip.numpy() - file[start : start + LENGTH].T).max() < 1e-6
        assert target.abs().max() == pytest.approx(0.4, abs=0.01)


def test_the_rest_of_one_song_is_mixed_with_a_stem_of_another(
    recordings: Path, pair: Track, plain: Recipe
) -> None:
    """The other song is a mixture without the network's stem."""
    soundfile.write(recordings / "band.wav", np.full((2 * RATE, 2), 0.25), RATE)
    band = Track("band", {}, Source(recordings / "band.wav"))
    clips = clips_of([band, pair], with_augmentation(plain, remix=ALWAYS), ("vocals",))
    residuals = [
        mixture_clip - target[0] for mixture_clip, target in (clips[index] for index in range(20))
    ]
    assert {round(residual.std().item(), 1) for residual in residuals} == {0.0, 0.2}


def test_missing_stems_are_silent(recordings: Path, plain: Recipe) -> None:
    """The rest of the clip, and thus the mixture, may be digital silence too."""
    soundfile.write(recordings / "drums.wav", np.zeros((RATE, 2)), RATE)
    song = Track("quiet", {"drums": Source(recordings / "drums.wav")})
    mixture, stems = clips_of([song], plain)[0]
    assert mixture.equal(torch.zeros(2, LENGTH))
    assert stems.equal(torch.zeros(3, 2, LENGTH))


def test_remixed_stems_come_from_different_songs(songs: tuple[Track, ...], plain: Recipe) -> None:
    clips = clips_of(songs, with_augmentation(plain, remix=ALWAYS))
    seen = set()
    for index in range(40):
        mixture, stems = clips[index]
        positions = [decode_position(stem) for stem in stems]
        assert len({song for _, song, _ in positions}) == 3
        assert [stem for _, _, stem in positions] == [0, 1, 2]
        assert mixture.equal(stems.sum(0))
        seen |= {song for _, song, _ in positions}
    assert seen == {0, 1, 2, 3}


def test_the_share_of_remixed_clips(songs: tuple[Track, ...], plain: Recipe) -> None:
    """A quarter of 400, within 4 standard deviations."""
    clips = clips_of(songs, with_augmentation(plain, remix={"chance": 0.25}))
    positions = [[decode_position(stem)[1] for stem in clips[index][1]] for index in range(400)]
    mixed = sum(len(set(songs_of_clip)) > 1 for songs_of_clip in positions)
    assert abs(mixed - 100) < 4 * np.sqrt(400 * 0.25 * 0.75)


def test_remixing_avoids_silence(recordings: Path, plain: Recipe) -> None:
    """A stem that sounds in a fifth of its song: 8 tries find it in 83 % of clips or more."""
    wave = np.zeros((10 * RATE, 2))
    wave[8 * RATE :] = 0.5
    soundfile.write(recordings / "vocals.wav", wave, RATE)
    song = Track("song", {"vocals": Source(recordings / "vocals.wav")})
    plain = with_augmentation(plain, remix=ALWAYS)
    clips = clips_of([song], plain, ("vocals",))
    audible = sum(bool(clips[index][0].any()) for index in range(100))
    assert audible > 70
    aligned = clips_of([song], with_data(plain, augmentation={}), ("vocals",))
    assert sum(bool(aligned[index][0].any()) for index in range(aligned.epoch)) < 7


def test_free_stems_are_always_remixed(recordings: Path, plain: Recipe) -> None:
    """Each file is one stem; a clip mixes one file of every stem."""
    songs = [
        Track(f"{song.name}/{name}", {name: source})
        for song in write_songs(recordings / "songs")
        for name, source in song.stems.items()
    ]
    clips = clips_of(songs, plain, kind=FreeMixes)
    assert clips.epoch == 3 * 13
    drawn = [[decode_position(stem) for stem in clips[index][1]] for index in range(60)]
    assert all([stem for _, _, stem in each] == [0, 1, 2] for each in drawn)
    assert len({tuple(song for _, song, _ in each) for each in drawn}) > 20


def test_stages_shorten_and_low_pass_clips(recordings: Path, plain: Recipe) -> None:
    """Tones of 500 Hz and 3 kHz: the first of two steps only contains the low one."""
    time = np.arange(4 * RATE) / RATE
    for name, hz in (("low", 500), ("high", 3000)):
        soundfile.write(recordings / f"{name}.wav", 0.5 * np.sin(2 * np.pi * hz * time), RATE)
    stems = {name: Source(recordings / f"{name}.wav") for name in ("low", "high")}
    stages = (StageRecipe(until=0.5, seconds=0.25, lowpass_hz=1000.0),)
    staged = replace(plain, schedule=replace(plain.schedule, steps=2, stages=stages))
    clips = clips_of([Track("song", stems)], staged, ("low", "high"))
    (first, early), (second, late) = clips[1], clips[2]
    assert (first.shape, second.shape) == ((2, RATE // 4), (2, RATE // 2))
    middle = slice(RATE // 16, RATE // 16 + RATE // 10)
    levels = [
        [
            amplitude(stem[0].numpy()[middle], hz)
            for stem, hz in zip(stems, (500, 3000), strict=True)
        ]
        for stems in (early, late)
    ]
    assert levels == [pytest.approx([0.5, 0], abs=0.01), pytest.approx([0.5, 0.5], abs=0.01)]
    assert (first - early.sum(0)).abs().max() < 1e-6


def test_files_of_a_song_must_have_equal_lengths(recordings: Path, plain: Recipe) -> None:
    """Lossy codecs may add up to 250 ms, in which the shorter file is silent."""
    names = ("bass", "drums")
    song = Track("song", {name: Source(recordings / f"{name}.wav") for name in names})
    soundfile.write(recordings / "bass.wav", np.full((LENGTH, 2), 0.25), RATE)
    soundfile.write(recordings / "drums.wav", np.full((LENGTH - 2000, 2), 0.5), RATE)
    mixture, _ = clips_of([song], plain)[0]
    assert mixture[0].unique_consecutive().tolist() == [0.75, 0.25]
    soundfile.write(recordings / "drums.wav", np.full((LENGTH - 2001, 2), 0.5), RATE)
    with pytest.raises(DecodeError, match=r"drums\.wav and .*bass\.wav differ in length"):
        clips_of([song], plain)


@dataclass(frozen=True)
class FakeVariation:
    """A fake variation: doubles the speed, scales each stem, and swaps sides as its codec."""

    gains: tuple[float, ...]

    @classmethod
    def draw(cls, recipe: AugmentationRecipe, rng: np.random.Generator) -> FakeVariation:
        return cls(tuple(rng.uniform(0.5, 1, 9)))

    def source_length(self, length: int, sample_rate: int) -> int:
        return 2 * length

    def apply(self, stems: Mapping[str, Clip], length: int, sample_rate: int) -> dict[str, Clip]:
        assert {clip.shape for clip in stems.values()} == {(2, 2 * length)}
        pairs = zip(self.gains, stems.items(), strict=False)
        return {name: np.float32(gain) * clip[::-1, ::2] for gain, (name, clip) in pairs}

    def degrade(self, mixture: Clip, sample_rate: int) -> Clip:
        return mixture[::-1]


def test_stems_are_varied_before_they_are_summed(
    songs: tuple[Track, ...], plain: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else changes; the mixture differs from the sum only by the codec."""
    monkeypatch.setattr(mixing, "Variation", FakeVariation)
    clips = clips_of(songs, plain)
    mixture, stems = clips[1]
    assert mixture.shape == (2, LENGTH)
    assert (mixture.flip(0) - stems.sum(0)).abs().max() < 1e-6
    codes = (
        stems[:, 0, 0]
        * 2**15
        / torch.tensor(FakeVariation.draw(None, np.random.default_rng((5, 1))).gains[:3])
    )
    assert (codes % 1000).round().tolist() == [100, 200, 300]
    assert (stems[0, 1].diff()[:100] * 2**15).std() < 1e-2


@pytest.fixture
def pair(recordings: Path) -> Track:
    """A song with a target, and a mixture that is the target plus noise."""
    noise = np.random.default_rng(1).uniform(-0.4, 0.4, (2 * RATE, 2))
    target = np.sin(np.arange(2 * RATE) / 9)[:, None] * (0.4, 0.2)
    for name, wave in (("mixture", target + noise), ("vocals", target)):
        soundfile.write(recordings / f"{name}.wav", wave, RATE, "FLOAT")
    vocals, mixture = (Source(recordings / f"{name}.wav") for name in ("vocals", "mixture"))
    return Track("pair", {"vocals": vocals}, mixture)


def test_a_pair_is_cut_at_one_position(pair: Track, plain: Recipe) -> None:
    """Reference: the files, searched for the position of the clip."""
    mixture, _ = soundfile.read(pair.mixture.path, dtype="float32")
    target, _ = soundfile.read(pair.stems["vocals"].path, dtype="float32")
    clips = clips_of([pair], plain, ("vocals",), PairClips)
    assert clips.epoch == 4
    for index in range(4):
        mixture_clip, (target_clip,) = clips[index]
        (start,) = np.flatnonzero(np.abs(mixture[:, 0] - float(mixture_clip[0, 0])) < 1e-6)
        part = slice(start, start + LENGTH)
        assert np.abs(mixture_clip.numpy() - mixture[part].T).max() < 1e-6
        assert np.array_equal(target_clip.numpy(), target[part].T)


def test_a_pair_is_varied_as_two_stems(
    pair: Track, plain: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mixture minus the target is the noise, which has its own gain."""
    monkeypatch.setattr(mixing, "Variation", FakeVariation)
    clips = clips_of([pair], plain, ("vocals",), PairClips)
    gains = FakeVariation.draw(None, np.random.default_rng((5, 0))).gains
    mixture_clip, (target,) = clips[0]
    assert target.abs().max() == pytest.approx(0.4 * gains[0], abs=0.01)
    assert (mixture_clip.flip(0) - target).abs().max() == pytest.approx(0.4 * gains[1], abs=0.01)


def test_pairs_refuse_augmentations_that_need_all_stems(pair: Track, plain: Recipe) -> None:
    every = {name: ALWAYS for name in ("remix", "filter", "reverb", "gain", "mono", "time_stretch")}
    with pytest.raises(ConfigError) as caught:
        clips_of([pair], with_augmentation(plain, **every), ("vocals",), PairClips)
    assert str(caught.value).endswith(
        "--set data.augmentation.remix.chance=0 --set data.augmentation.filter.chance=0"
        " --set data.augmentation.reverb.chance=0"
    )


def constant_song(folder: Path, peak: float = 0.0, **levels: float) -> Track:
    """A song with constant stems, whose last samples sum to ``peak`` if it is given."""
    folder.mkdir()
    for name, level in levels.items():
        wave = np.full((2 * RATE, 2), level)
        wave[-1] = peak / len(levels) if peak else level
        soundfile.write(folder / f"{name}.wav", wave, RATE, "FLOAT")
    return Track(folder.name, {name: Source(folder / f"{name}.wav") for name in levels})


def first_levels(clips: SongClips) -> set[tuple[float, ...]]:
    """The first samples of mixture and stems of some clips."""
    found = [
        (mixture[0, 0], *stems[:, 0, 0]) for mixture, stems in map(clips.__getitem__, range(9))
    ]
    return {tuple(round(float(value), 4) for value in values) for values in found}


def test_clips_are_divided_by_the_peak_of_their_song(recordings: Path, plain: Recipe) -> None:
    """Clips are divided by the peak of their song's mixture, 0.8, not of its stems, 0.4.

    Other networks receive the song unchanged.
    """
    song = constant_song(recordings / "song", 0.8, vocals=0.3, band=-0.1)
    assert first_levels(clips_of([song], plain, NETWORK, needs_peak_level=True)) == {
        (0.25, 0.375, -0.125)
    }
    assert first_levels(clips_of([song], plain, NETWORK)) == {(0.2, 0.3, -0.1)}


def test_clips_of_several_songs_are_divided_by_the_largest_peak(
    recordings: Path, plain: Recipe
) -> None:
    """Clips are divided by the largest peak of their songs, or by their own if it is larger.

    Free stems are 0.2 with a peak of 0.5, and 0.1; then both are 0.4 and sum to 0.8.
    """
    songs_with_peak = (
        constant_song(recordings / "a", 0.5, vocals=0.2),
        constant_song(recordings / "b", band=0.1),
    )
    clips = clips_of(songs_with_peak, plain, NETWORK, FreeMixes, needs_peak_level=True)
    assert first_levels(clips) == {(0.6, 0.4, 0.2)}
    even = constant_song(recordings / "c", vocals=0.4), constant_song(recordings / "d", band=0.4)
    clips = clips_of(even, plain, NETWORK, FreeMixes, needs_peak_level=True)
    assert first_levels(clips) == {(1.0, 0.5, 0.5)}


def test_a_pair_is_divided_by_the_peak_of_its_mixture(pair: Track, plain: Recipe) -> None:
    """Reference: the files, divided by the peak of the mixture."""
    mixture, _ = soundfile.read(pair.mixture.path, dtype="float32")
    as_it_is = clips_of([pair], plain, ("vocals",), PairClips)
    divided = clips_of([pair], plain, ("vocals",), PairClips, needs_peak_level=True)
    for index in range(4):
        for one, other in zip(as_it_is[index], divided[index], strict=True):
            torch.testing.assert_close(other, one / float(np.abs(mixture).max()))
