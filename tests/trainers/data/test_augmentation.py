"""Variations of clips. Truth: laws of each operation, exact arithmetic, and binomial counts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainers.data.variations import RATE, WAYS, impulse, noise, only, rms, varied
from trainers.config.data import AugmentationRecipe
from trainers.data import augmentation
from trainers.data.augmentation import Variation

STEMS = ("vocals", "drums", "bass", "other")
LENGTH = 3000
LINEAR_FOR_ALL = ("mono", "frequency_mask", "time_mask")
OF_EACH_STEM = ("filter", "reverb", "gain", "polarity", "swap")


def song(variation: Variation, length: int = LENGTH) -> dict[str, np.ndarray]:
    """Four stems of noise as long as the variation asks for."""
    source = variation.source_length(length, RATE)
    return {stem: noise(source, number) for number, stem in enumerate(STEMS)}


def variations(recipe: AugmentationRecipe, count: int) -> Iterator[Variation]:
    rng = np.random.default_rng(1)
    return (Variation.draw(recipe, rng) for _ in range(count))


def happened(variation: Variation, way: str) -> bool:
    """Whether a clip of 50 ms is another afterwards; a room is silent for up to 30 ms."""
    clip = noise(400)
    if way in {"time_stretch", "pitch_shift"}:
        return variation.source_length(400, RATE) != 400
    if way == "codec":
        return variation.degrade(clip, RATE) is not clip
    return not np.array_equal(variation.apply({"voice": clip}, 400, RATE)["voice"], clip)


@settings(max_examples=25)
@given(
    often=st.sets(st.sampled_from(WAYS)),
    sometimes=st.sets(st.sampled_from(WAYS)),
    seed=st.integers(0, 2**63 - 1),
)
def test_the_mixture_is_the_sum_of_the_targets_but_for_the_codec(
    often: set[str], sometimes: set[str], seed: int
) -> None:
    """A target does not depend on what else is in the clip, and nothing is done to the sum."""
    chances = {way: {"chance": 0.5} for way in sometimes} | {way: {"chance": 1.0} for way in often}
    variation = Variation(AugmentationRecipe.from_dict(chances), seed)
    stems = variation.apply(song(variation), LENGTH, RATE)
    mixture = variation.degrade(sum(stems.values()), RATE)
    assert list(stems) == list(STEMS)
    for stem, clip in song(variation).items():
        before = clip.copy()
        (alone,) = variation.apply({stem: clip}, LENGTH, RATE).values()
        assert np.array_equal(alone, stems[stem])
        assert np.array_equal(clip, before)
        assert alone.shape == mixture.shape == (2, LENGTH)
        assert alone.dtype == mixture.dtype == np.float32
        assert np.isfinite(alone).all()
    assert np.array_equal(mixture, sum(stems.values())) or "codec" in often | sometimes


@settings(max_examples=20)
@given(ways=st.sets(st.sampled_from(LINEAR_FOR_ALL)), seed=st.integers(0, 1000))
def test_what_is_done_to_all_stems_is_done_to_the_mixture(ways: set[str], seed: int) -> None:
    variation = Variation(only(*ways), seed)
    stems = song(variation)
    apart = sum(variation.apply(stems, LENGTH, RATE).values())
    together = variation.apply({"mixture": sum(stems.values())}, LENGTH, RATE)["mixture"]
    np.testing.assert_allclose(apart, together, atol=2e-6)


@pytest.mark.parametrize("way", ["filter", "reverb"])
def test_filter_and_reverb_are_linear(way: str) -> None:
    first, second = noise(LENGTH, 1), noise(LENGTH, 2)
    apart = varied(only(way), first, 7, RATE) + varied(only(way), second, 7, RATE)
    np.testing.assert_allclose(apart, varied(only(way), first + second, 7, RATE), atol=2e-6)


@given(seed=st.integers(0, 2**63 - 1))
def test_chance_0_changes_no_bit(seed: int) -> None:
    variation = Variation(only(*WAYS, chance=0.0), seed)
    assert variation.source_length(LENGTH, RATE) == LENGTH
    stems = song(variation)
    for stem, clip in variation.apply(stems, LENGTH, RATE).items():
        assert np.array_equal(clip, stems[stem])
        assert not np.shares_memory(clip, stems[stem])
    assert variation.degrade(stems["bass"], RATE) is stems["bass"]


@pytest.mark.parametrize("way", WAYS)
def test_chance_1_always_happens(way: str) -> None:
    assert all(happened(variation, way) for variation in variations(only(way), 30))


@pytest.mark.parametrize("way", WAYS)
def test_chances_are_kept_within_4_standard_deviations(way: str) -> None:
    count, chance = 400, 0.3
    found = sum(happened(each, way) for each in variations(only(way, chance=chance), count))
    assert abs(found - count * chance) < 4 * np.sqrt(count * chance * (1 - chance))


@pytest.mark.parametrize("way", OF_EACH_STEM)
def test_each_stem_has_a_draw_of_its_own(way: str) -> None:
    """At an even chance, 30 clips in which four stems always go together have odds of 8^-30."""
    clip = noise(500)
    outcomes = set()
    for variation in variations(only(way, chance=0.5), 30):
        stems = variation.apply(dict.fromkeys(STEMS, clip), 500, RATE)
        outcomes.add(tuple(not np.array_equal(stem, clip) for stem in stems.values()))
    assert len(outcomes) > 8


@pytest.mark.parametrize("way", ["time_stretch", "pitch_shift", *LINEAR_FOR_ALL])
def test_all_stems_share_what_concerns_the_clip(way: str) -> None:
    for variation in variations(only(way, chance=0.5), 10):
        clip = noise(variation.source_length(2000, RATE))
        stems = variation.apply(dict.fromkeys(STEMS, clip), 2000, RATE)
        assert all(np.array_equal(stem, stems["vocals"]) for stem in stems.values())


def test_equal_generators_give_equal_clips_and_move_on_alike() -> None:
    """The next clip does not depend on which recipe the one before it followed."""
    generators = [np.random.default_rng(4) for _ in range(3)]
    everything = only(*WAYS, chance=0.7)
    once, again = (Variation.draw(everything, rng) for rng in generators[:2])
    Variation.draw(AugmentationRecipe(), generators[2])
    assert len({rng.random() for rng in generators}) == 1
    for variation in (once, again):
        assert variation.source_length(LENGTH, RATE) == once.source_length(LENGTH, RATE)
    stems = [variation.apply(song(variation), LENGTH, RATE) for variation in (once, again, once)]
    backwards = again.apply(dict(reversed(song(again).items())), LENGTH, RATE)
    for stem in STEMS:
        for other in (stems[1], stems[2], backwards):
            assert np.array_equal(stems[0][stem], other[stem])
    assert np.array_equal(*(each.degrade(stems[0]["bass"], RATE) for each in (once, again)))


def test_another_way_in_the_recipe_leaves_the_others_as_they_were() -> None:
    for seed in range(10):
        signs = varied(only("polarity", chance=0.5), noise(100), seed, RATE)
        both = varied(only("polarity", "swap", chance=0.5), noise(100), seed, RATE)
        assert np.array_equal(both, signs) or np.array_equal(both, signs[::-1])


def test_gain_is_one_factor_within_its_range() -> None:
    ones = np.ones((2, 50), np.float32)
    clips = [varied(only("gain", factor=(0.5, 2.0)), ones, seed, RATE) for seed in range(300)]
    assert all(len(np.unique(clip)) == 1 for clip in clips)
    factors = [clip[0, 0] for clip in clips]
    assert 0.5 <= min(factors) < 0.52
    assert 1.95 < max(factors) <= 2
    doubled = varied(only("gain", factor=(2.0, 2.0)), noise(50), 3, RATE)
    assert np.array_equal(doubled, 2 * noise(50))


def test_signs_and_sides_by_exact_arithmetic() -> None:
    clip = np.array([[1, 2, -3], [3, 0, 5]], np.float32)
    assert varied(only("polarity"), clip, 0, RATE).tolist() == [[-1, -2, 3], [-3, 0, -5]]
    assert varied(only("swap"), clip, 0, RATE).tolist() == [[3, 0, 5], [1, 2, -3]]
    assert varied(only("mono"), clip, 0, RATE).tolist() == [[2, 1, 1], [2, 1, 1]]


@given(seed=st.integers(0, 1000))
def test_a_filter_keeps_to_its_range_and_to_the_phase(seed: int) -> None:
    """A response without phase is the same before and after its middle."""
    out = varied(only("filter", db=(-6.0, 3.0)), impulse(RATE, RATE // 2), seed, RATE)[0]
    level = 20 * np.log10(np.abs(np.fft.rfft(out)))
    assert -6.1 < level.min() < level.max() < 3.1
    assert level.max() - level.min() > 0.3
    np.testing.assert_allclose(out[RATE // 2 + 1 :], out[1 : RATE // 2][::-1], atol=1e-6)


@given(seed=st.integers(0, 1000))
@settings(max_examples=10)
def test_a_room_has_the_level_and_the_time_of_its_range(seed: int) -> None:
    """Noise that falls by 60 dB in half a second falls by 12 dB in a tenth."""
    recipe = only("reverb", seconds=(0.5, 0.5), db=(-10.0, -10.0))
    wet = varied(recipe, impulse(RATE, 100), seed, RATE).astype(np.float64)
    assert not wet[:, :100].round(6).any()
    wet[:, 100] -= 1
    assert 20 * np.log10(np.sqrt(RATE) * rms(wet)) == pytest.approx(-10, abs=0.05)
    start = np.flatnonzero(np.abs(wet).max(0) > 1e-5)[0]
    tenths = [rms(wet[:, start + RATE // 10 * part :][:, : RATE // 10]) for part in range(4)]
    np.testing.assert_allclose(np.diff(20 * np.log10(tenths)), -12, atol=1.5)


@given(seed=st.integers(0, 10_000))
def test_a_masked_band_is_as_wide_as_its_range_and_lies_in_hearing(seed: int) -> None:
    """Seen by the spectrum of an impulse: gone by 40 dB inside, within 0.1 dB outside.

    The edges are a twelfth of an octave on each side.
    """
    recipe = only("frequency_mask", octaves=(0.5, 1.5))
    out = varied(recipe, impulse(4 * RATE, 2 * RATE), seed, RATE)[0]
    hz, level = np.fft.rfftfreq(4 * RATE, 1 / RATE), 20 * np.log10(np.abs(np.fft.rfft(out)) + 1e-9)
    gone, whole = hz[level < -40], np.abs(level) < 0.1
    low, high = gone[0], gone[-1]
    assert (level[(hz >= low) & (hz <= high)] < -40).all()
    assert whole[(hz < low * 2 ** (-1 / 10)) | (hz > high * 2 ** (1 / 10))].all()
    assert 0.45 < np.log2(high / low) < 1.55
    assert low > 58
    assert high <= RATE / 2
    np.testing.assert_allclose(out[2 * RATE + 1 :], out[1 : 2 * RATE][::-1], atol=1e-5)


def test_bands_are_masked_as_often_in_low_octaves_as_in_high_ones() -> None:
    """A lower edge that is even over octaves has its mean in their middle: sd 0.29 / sqrt(n)."""
    recipe, places = only("frequency_mask", octaves=(1.0, 1.0)), []
    for seed in range(200):
        out = varied(recipe, impulse(RATE, RATE // 2), seed, RATE)[0]
        low = np.flatnonzero(np.abs(np.fft.rfft(out)) < 0.1)[0]
        places.append(np.log2(low / 60) / np.log2(RATE / 4 / 60))
    assert np.mean(places) == pytest.approx(0.5, abs=4 * 0.29 / np.sqrt(200))


@given(seed=st.integers(0, 10_000))
def test_a_masked_moment_is_silent_and_nothing_else_is_touched(seed: int) -> None:
    """Fades of 5 ms, 40 samples, have no step above pi / 2 / 41, so that no click is made."""
    ones = np.ones((2, RATE), np.float32)
    out = varied(only("time_mask", seconds=(0.1, 0.3)), ones, seed, RATE)
    silent = np.flatnonzero(out[0] == 0)
    assert 0.1 * RATE <= len(silent) <= 0.3 * RATE
    assert silent[-1] - silent[0] == len(silent) - 1
    assert (out[:, : max(0, silent[0] - 40)] == 1).all()
    assert (out[:, silent[-1] + 41 :] == 1).all()
    assert np.abs(np.diff(out)).max() < np.pi / 2 / 41 + 1e-6
    assert np.array_equal(out[0], out[1])


def test_half_of_a_short_clip_is_left() -> None:
    out = varied(only("time_mask", seconds=(9.0, 9.0)), np.ones((2, 1000), np.float32), 3, RATE)
    assert (out[0] == 0).sum() == 500
    assert varied(only("time_mask"), np.ones((2, 1), np.float32), 3, RATE).all()


def test_tempo_and_pitch_keep_to_their_ranges_and_reach_both_ends() -> None:
    recipe = only("time_stretch", "pitch_shift")
    drawn = [(each.tempo, 12 * np.log2(each.pitch)) for each in variations(recipe, 500)]
    for (low, high), values in zip(((0.9, 1.1), (-2, 2)), zip(*drawn, strict=True), strict=True):
        margin = (high - low) / 50
        assert low - 1e-9 <= min(values) < low + margin
        assert high - margin < max(values) <= high + 1e-9


def test_a_stem_that_is_too_short_or_too_long_comes_out_at_the_length() -> None:
    for ways in ((), ("time_stretch",)):
        variation = Variation(only(*ways), 0)
        for length in (10, 20_000):
            clip = variation.apply({"bass": noise(length)}, 5000, RATE)["bass"]
            assert clip.shape == (2, 5000)
            assert rms(clip[:, -1000:]) > 0 or length == 10


def test_codecs_are_chosen_evenly_and_within_their_range(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, float]] = []

    def spy(clip: np.ndarray, rate: int, container: str, compression: float) -> np.ndarray:
        calls.append((container, compression))
        return clip

    monkeypatch.setattr(augmentation, "round_trip", spy)
    for variation in variations(only("codec", quality=(0.3, 0.6)), 400):
        variation.degrade(noise(10), RATE)
    assert abs(sum(name == "MP3" for name, _ in calls) - 200) < 4 * np.sqrt(100)
    assert {name for name, _ in calls} == {"MP3", "OGG"}
    levels = [level for _, level in calls]
    assert 0.3 <= min(levels) < 0.31
    assert 0.59 < max(levels) <= 0.6
