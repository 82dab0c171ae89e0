"""Clips of songs. Truth: songs in which every sample says where it is from, and laws of sums."""

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
    place,
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


def test_stems_of_a_clip_are_cut_at_one_place_of_one_song(
    songs: tuple[Track, ...], plain: Recipe
) -> None:
    clips = clips_of(songs, plain)
    for index in range(2 * clips.epoch):
        mixture, stems = clips[index]
        places = [place(stem) for stem in stems]
        assert {start for start, _, _ in places} == {places[0][0]}
        assert {song for _, song, _ in places} == {places[0][1]}
        assert [stem for _, _, stem in places] == [0, 1, 2]
        assert mixture.equal(stems.sum(0))
        steps = stems[:, 0].diff(dim=-1) * 2**15  # one sample after the other
        inside = steps[:, : round(SECONDS[places[0][1]] * RATE) - places[0][0] - 1]
        assert (inside == 1).all()


def test_an_epoch_hears_every_slot_of_every_song(songs: tuple[Track, ...], plain: Recipe) -> None:
    """Songs of 2, 3.1, 0.7 and 1 s hold 4, 6, 1 and 2 clips of half a second."""
    clips = clips_of(songs, plain)
    assert clips.epoch == 13
    for epoch in range(3):
        found = [clips.slots.at(index) for index in range(13 * epoch, 13 * epoch + 13)]
        drawn = [place(clips[index][1][0])[1] for index in range(13 * epoch, 13 * epoch + 13)]
        assert [drawn.count(song) for song in range(4)] == [4, 6, 1, 2]
        assert drawn == [slot.song for slot in found]


def test_a_clip_depends_on_seed_and_number_alone(songs: tuple[Track, ...], plain: Recipe) -> None:
    clips = clips_of(songs, plain)
    twin, other = pickle.loads(pickle.dumps(clips)), clips_of(songs, plain, seed=6)
    later = {index: clips[index] for index in (30, 2, 17)}
    for index, (mixture, stems) in later.items():
        assert all(one.equal(two) for one, two in zip((mixture, stems), twin[index], strict=True))
    assert any(not later[index][0].equal(other[index][0]) for index in later)


def test_workers_share_what_one_draws_alone(songs: tuple[Track, ...], plain: Recipe) -> None:
    """Two ranks with batches of 2 draw in each step what one draws in a batch of 4."""
    clips = clips_of(songs, plain)
    alone = [clips[index][0] for index in numbers(0, 3, 4)]
    ranks = [[clips[index][0] for index in numbers(0, 3, 2, rank, 2)] for rank in (0, 1)]
    for step in range(3):
        shared = [mix for rank in ranks for mix in rank[2 * step : 2 * step + 2]]
        whole = alone[4 * step : 4 * step + 4]
        assert all(one.equal(two) for one, two in zip(shared, whole, strict=True))


def test_groups_are_sums_and_the_rest_is_heard_but_not_wanted(
    songs: tuple[Track, ...], recipe: Recipe
) -> None:
    """Network stems: vocals, and the sum of bass and drums. Network of drums: the rest is there."""
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


def test_wholes_and_parts_are_mixed(recordings: Path, recipe: Recipe) -> None:
    """Law: of one song or remixed, the stems of a network that names all add up to the mixture."""
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


def test_a_stem_beside_its_mixture_is_heard_in_it(pair: Track, plain: Recipe) -> None:
    """Reference: the file of the mixture; in a folder of its own a pair is a song like others."""
    file, _ = soundfile.read(pair.mixture.path, dtype="float32")
    clips = clips_of([pair], plain, ("vocals",))
    for index in range(4):
        heard, (wanted,) = clips[index]
        (start,) = np.flatnonzero(np.abs(file[:, 0] - float(heard[0, 0])) < 1e-6)
        assert np.abs(heard.numpy() - file[start : start + LENGTH].T).max() < 1e-6
        assert wanted.abs().max() == pytest.approx(0.4, abs=0.01)


def test_the_rest_of_one_song_is_mixed_with_a_stem_of_another(
    recordings: Path, pair: Track, plain: Recipe
) -> None:
    """The other song is a mixture in which the network's stem is silent."""
    soundfile.write(recordings / "band.wav", np.full((2 * RATE, 2), 0.25), RATE)
    band = Track("band", {}, Source(recordings / "band.wav"))
    clips = clips_of([band, pair], with_augmentation(plain, remix=ALWAYS), ("vocals",))
    rests = [heard - wanted[0] for heard, wanted in (clips[index] for index in range(20))]
    assert {round(rest.std().item(), 1) for rest in rests} == {0.0, 0.2}


def test_missing_stems_are_silent(recordings: Path, plain: Recipe) -> None:
    """Also where the rest of the clip, and all of the mixture, is digital silence."""
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
        places = [place(stem) for stem in stems]
        assert len({song for _, song, _ in places}) == 3
        assert [stem for _, _, stem in places] == [0, 1, 2]
        assert mixture.equal(stems.sum(0))
        seen |= {song for _, song, _ in places}
    assert seen == {0, 1, 2, 3}


def test_the_share_of_remixed_clips(songs: tuple[Track, ...], plain: Recipe) -> None:
    """A quarter of 400, within 4 standard deviations."""
    clips = clips_of(songs, with_augmentation(plain, remix={"chance": 0.25}))
    places = [[place(stem)[1] for stem in clips[index][1]] for index in range(400)]
    mixed = sum(len(set(each)) > 1 for each in places)
    assert abs(mixed - 100) < 4 * np.sqrt(400 * 0.25 * 0.75)


def test_remixing_avoids_silence(recordings: Path, plain: Recipe) -> None:
    """A stem that is heard in a fifth of its song: 8 tries find it in 83 of 100 clips or more."""
    wave = np.zeros((10 * RATE, 2))
    wave[8 * RATE :] = 0.5
    soundfile.write(recordings / "vocals.wav", wave, RATE)
    song = Track("song", {"vocals": Source(recordings / "vocals.wav")})
    plain = with_augmentation(plain, remix=ALWAYS)
    clips = clips_of([song], plain, ("vocals",))
    heard = sum(bool(clips[index][0].any()) for index in range(100))
    assert heard > 70
    aligned = clips_of([song], with_data(plain, augmentation={}), ("vocals",))
    assert sum(bool(aligned[index][0].any()) for index in range(aligned.epoch)) < 7


def test_free_stems_are_always_mixed(recordings: Path, plain: Recipe) -> None:
    """Each file is one stem; a clip has one file of every stem."""
    songs = [
        Track(f"{song.name}/{name}", {name: source})
        for song in write_songs(recordings / "songs")
        for name, source in song.stems.items()
    ]
    clips = clips_of(songs, plain, kind=FreeMixes)
    assert clips.epoch == 3 * 13
    drawn = [[place(stem) for stem in clips[index][1]] for index in range(60)]
    assert all([stem for _, _, stem in each] == [0, 1, 2] for each in drawn)
    assert len({tuple(song for _, song, _ in each) for each in drawn}) > 20


def test_stages_shorten_and_darken(recordings: Path, plain: Recipe) -> None:
    """Tones of 500 Hz and 3 kHz: the first of the two steps hears the low one alone."""
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


def test_files_of_one_song_must_be_equally_long(recordings: Path, plain: Recipe) -> None:
    """But for what lossy codecs add, 250 ms at most, in which the shorter one is silent."""
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
class Halving:
    """Stands in for a variation: twice the speed, each stem at a level of its own, and a codec."""

    gains: tuple[float, ...]

    @classmethod
    def draw(cls, recipe: AugmentationRecipe, rng: np.random.Generator) -> Halving:
        return cls(tuple(rng.uniform(0.5, 1, 9)))

    def source_length(self, length: int, sample_rate: int) -> int:
        return 2 * length

    def apply(self, stems: Mapping[str, Clip], length: int, sample_rate: int) -> dict[str, Clip]:
        assert {clip.shape for clip in stems.values()} == {(2, 2 * length)}
        pairs = zip(self.gains, stems.items(), strict=False)
        return {name: np.float32(gain) * clip[::-1, ::2] for gain, (name, clip) in pairs}

    def degrade(self, mixture: Clip, sample_rate: int) -> Clip:
        return mixture[::-1]


def test_variations_change_stems_before_they_are_summed(
    songs: tuple[Track, ...], plain: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All else stays as it is; the codec alone parts the mixture from the sum."""
    monkeypatch.setattr(mixing, "Variation", Halving)
    clips = clips_of(songs, plain)
    mixture, stems = clips[1]
    assert mixture.shape == (2, LENGTH)
    assert (mixture.flip(0) - stems.sum(0)).abs().max() < 1e-6
    marks = (
        stems[:, 0, 0]
        * 2**15
        / torch.tensor(Halving.draw(None, np.random.default_rng((5, 1))).gains[:3])
    )
    assert (marks % 1000).round().tolist() == [100, 200, 300]
    assert (stems[0, 1].diff()[:100] * 2**15).std() < 1e-2


@pytest.fixture
def pair(recordings: Path) -> Track:
    """A mixture that is its target and noise."""
    noise = np.random.default_rng(1).uniform(-0.4, 0.4, (2 * RATE, 2))
    target = np.sin(np.arange(2 * RATE) / 9)[:, None] * (0.4, 0.2)
    for name, wave in (("mixture", target + noise), ("vocals", target)):
        soundfile.write(recordings / f"{name}.wav", wave, RATE, "FLOAT")
    vocals, mixture = (Source(recordings / f"{name}.wav") for name in ("vocals", "mixture"))
    return Track("pair", {"vocals": vocals}, mixture)


def test_a_pair_is_cut_at_one_place(pair: Track, plain: Recipe) -> None:
    """Reference: the files themselves, searched for the place that the clip was cut from."""
    mixture, _ = soundfile.read(pair.mixture.path, dtype="float32")
    target, _ = soundfile.read(pair.stems["vocals"].path, dtype="float32")
    clips = clips_of([pair], plain, ("vocals",), PairClips)
    assert clips.epoch == 4
    for index in range(4):
        heard, (wanted,) = clips[index]
        (start,) = np.flatnonzero(np.abs(mixture[:, 0] - float(heard[0, 0])) < 1e-6)
        part = slice(start, start + LENGTH)
        assert np.abs(heard.numpy() - mixture[part].T).max() < 1e-6
        assert np.array_equal(wanted.numpy(), target[part].T)


def test_a_pair_is_varied_as_two_stems(
    pair: Track, plain: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mixture less its target is the noise at a level of its own."""
    monkeypatch.setattr(mixing, "Variation", Halving)
    clips = clips_of([pair], plain, ("vocals",), PairClips)
    gains = Halving.draw(None, np.random.default_rng((5, 0))).gains
    heard, (wanted,) = clips[0]
    assert wanted.abs().max() == pytest.approx(0.4 * gains[0], abs=0.01)
    assert (heard.flip(0) - wanted).abs().max() == pytest.approx(0.4 * gains[1], abs=0.01)


def test_pairs_refuse_what_needs_all_stems(pair: Track, plain: Recipe) -> None:
    every = {name: ALWAYS for name in ("remix", "filter", "reverb", "gain", "mono", "time_stretch")}
    with pytest.raises(ConfigError) as refused:
        clips_of([pair], with_augmentation(plain, **every), ("vocals",), PairClips)
    assert str(refused.value).endswith(
        "--set data.augmentation.remix.chance=0 --set data.augmentation.filter.chance=0"
        " --set data.augmentation.reverb.chance=0"
    )


def steady(folder: Path, peak: float = 0.0, **levels: float) -> Track:
    """A constant for each stem, and maybe one other sample at the end of all of them together."""
    folder.mkdir()
    for name, level in levels.items():
        wave = np.full((2 * RATE, 2), level)
        wave[-1] = peak / len(levels) if peak else level
        soundfile.write(folder / f"{name}.wav", wave, RATE, "FLOAT")
    return Track(folder.name, {name: Source(folder / f"{name}.wav") for name in levels})


def first_levels(clips: SongClips) -> set[tuple[float, ...]]:
    """The first sample of the mixture and of the stems of some clips."""
    found = [
        (mixture[0, 0], *stems[:, 0, 0]) for mixture, stems in map(clips.__getitem__, range(9))
    ]
    return {tuple(round(float(value), 4) for value in values) for values in found}


def test_levelled_networks_hear_clips_as_of_songs_with_a_peak_of_1(
    recordings: Path, plain: Recipe
) -> None:
    """Stems of 0.3 and -0.1 that somewhere add up to 0.8: by hand, 0.3 / 0.8. The peaks of the
    stems, 0.4 each, would tell nothing of it. Other networks hear the song as it is.
    """
    song = steady(recordings / "song", 0.8, vocals=0.3, band=-0.1)
    assert first_levels(clips_of([song], plain, NETWORK, needs_peak_level=True)) == {
        (0.25, 0.375, -0.125)
    }
    assert first_levels(clips_of([song], plain, NETWORK)) == {(0.2, 0.3, -0.1)}


def test_clips_of_several_songs_have_the_level_of_the_loudest(
    recordings: Path, plain: Recipe
) -> None:
    """Free stems of 0.2 and 0.1, one of which somewhere reaches 0.5; and where the clip itself is
    louder, with both at 0.4, the clip counts.
    """
    loud = steady(recordings / "a", 0.5, vocals=0.2), steady(recordings / "b", band=0.1)
    clips = clips_of(loud, plain, NETWORK, FreeMixes, needs_peak_level=True)
    assert first_levels(clips) == {(0.6, 0.4, 0.2)}
    even = steady(recordings / "c", vocals=0.4), steady(recordings / "d", band=0.4)
    clips = clips_of(even, plain, NETWORK, FreeMixes, needs_peak_level=True)
    assert first_levels(clips) == {(1.0, 0.5, 0.5)}


def test_a_levelled_pair_has_the_level_of_its_mixture(pair: Track, plain: Recipe) -> None:
    """Reference: the files, divided by the loudest sample of the mixture."""
    mixture, _ = soundfile.read(pair.mixture.path, dtype="float32")
    as_it_is = clips_of([pair], plain, ("vocals",), PairClips)
    levelled = clips_of([pair], plain, ("vocals",), PairClips, needs_peak_level=True)
    for index in range(4):
        for one, other in zip(as_it_is[index], levelled[index], strict=True):
            torch.testing.assert_close(other, one / float(np.abs(mixture).max()))
