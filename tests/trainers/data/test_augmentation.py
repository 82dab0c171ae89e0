"""Augmentation of clips: properties of each augmentation, exact arithmetic, binomial counts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainers.data.variations import AUGMENTATIONS, RATE, augmented, impulse, noise, only, rms
from trainers.config.data import AugmentationRecipe
from trainers.data import augmentation
from trainers.data.augmentation import Variation

STEMS = ("vocals", "drums", "bass", "other")
LENGTH = 3000
SHARED_LINEAR = ("mono", "frequency_mask", "time_mask")
PER_STEM = ("filter", "reverb", "gain", "polarity", "swap")


def song(variation: Variation, length: int = LENGTH) -> dict[str, np.ndarray]:
    """Four stems of noise, as long as the variation needs."""
    source = variation.source_length(length, RATE)
    return {stem: noise(source, number) for number, stem in enumerate(STEMS)}


def variations(recipe: AugmentationRecipe, count: int) -> Iterator[Variation]:
    rng = np.random.default_rng(1)
    return (Variation.draw(recipe, rng) for _ in range(count))


def is_changed(variation: Variation, name: str) -> bool:
    """Whether a clip changes; it has 50 ms because a room may be silent for the first 30 ms."""
    clip = noise(400)
    if name in {"time_stretch", "pitch_shift"}:
        return variation.source_length(400, RATE) != 400
    if name == "codec":
        return variation.degrade(clip, RATE) is not clip
    return not np.array_equal(variation.apply({"voice": clip}, 400, RATE)["voice"], clip)


@settings(max_examples=25)
@given(
    always=st.sets(st.sampled_from(AUGMENTATIONS)),
    sometimes=st.sets(st.sampled_from(AUGMENTATIONS)),
    seed=st.integers(0, 2**63 - 1),
)
def test_the_mixture_is_the_sum_of_the_stems_without_a_codec(
    always: set[str], sometimes: set[str], seed: int
) -> None:
    """A stem does not depend on other stems in the clip, and nothing else is done to the sum."""
    chances = {name: {"chance": 0.5} for name in sometimes} | {
        name: {"chance": 1.0} for name in always
    }
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
    assert np.array_equal(mixture, sum(stems.values())) or "codec" in always | sometimes


@settings(max_examples=20)
@given(names=st.sets(st.sampled_from(SHARED_LINEAR)), seed=st.integers(0, 1000))
def test_shared_augmentations_commute_with_the_sum(names: set[str], seed: int) -> None:
    variation = Variation(only(*names), seed)
    stems = song(variation)
    summed_after = sum(variation.apply(stems, LENGTH, RATE).values())
    summed_before = variation.apply({"mixture": sum(stems.values())}, LENGTH, RATE)["mixture"]
    np.testing.assert_allclose(summed_after, summed_before, atol=2e-6)


@pytest.mark.parametrize("name", ["filter", "reverb"])
def test_filter_and_reverb_are_linear(name: str) -> None:
    first, second = noise(LENGTH, 1), noise(LENGTH, 2)
    summed_after = augmented(only(name), first, 7, RATE) + augmented(only(name), second, 7, RATE)
    np.testing.assert_allclose(
        summed_after, augmented(only(name), first + second, 7, RATE), atol=2e-6
    )


@given(seed=st.integers(0, 2**63 - 1))
def test_chance_0_changes_nothing(seed: int) -> None:
    variation = Variation(only(*AUGMENTATIONS, chance=0.0), seed)
    assert variation.source_length(LENGTH, RATE) == LENGTH
    stems = song(variation)
    for stem, clip in variation.apply(stems, LENGTH, RATE).items():
        assert np.array_equal(clip, stems[stem])
        assert not np.shares_memory(clip, stems[stem])
    assert variation.degrade(stems["bass"], RATE) is stems["bass"]


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_chance_1_always_changes_the_clip(name: str) -> None:
    assert all(is_changed(variation, name) for variation in variations(only(name), 30))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_chances_are_kept_within_4_standard_deviations(name: str) -> None:
    count, chance = 400, 0.3
    found = sum(is_changed(each, name) for each in variations(only(name, chance=chance), count))
    assert abs(found - count * chance) < 4 * np.sqrt(count * chance * (1 - chance))


@pytest.mark.parametrize("name", PER_STEM)
def test_each_stem_has_its_own_draw(name: str) -> None:
    """At a chance of 1/2, four stems would agree in all of 30 clips with a probability of 8^-30."""
    clip = noise(500)
    outcomes = set()
    for variation in variations(only(name, chance=0.5), 30):
        stems = variation.apply(dict.fromkeys(STEMS, clip), 500, RATE)
        outcomes.add(tuple(not np.array_equal(stem, clip) for stem in stems.values()))
    assert len(outcomes) > 8


@pytest.mark.parametrize("name", ["time_stretch", "pitch_shift", *SHARED_LINEAR])
def test_clip_augmentations_are_equal_for_all_stems(name: str) -> None:
    for variation in variations(only(name, chance=0.5), 10):
        clip = noise(variation.source_length(2000, RATE))
        stems = variation.apply(dict.fromkeys(STEMS, clip), 2000, RATE)
        assert all(np.array_equal(stem, stems["vocals"]) for stem in stems.values())


def test_equal_generators_give_equal_clips_and_states() -> None:
    """The next clip does not depend on the recipe of the one before it."""
    generators = [np.random.default_rng(4) for _ in range(3)]
    everything = only(*AUGMENTATIONS, chance=0.7)
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


def test_an_additional_augmentation_does_not_change_the_others() -> None:
    for seed in range(10):
        polarity_only = augmented(only("polarity", chance=0.5), noise(100), seed, RATE)
        both = augmented(only("polarity", "swap", chance=0.5), noise(100), seed, RATE)
        assert np.array_equal(both, polarity_only) or np.array_equal(both, polarity_only[::-1])


def test_gain_is_one_factor_within_its_range() -> None:
    ones = np.ones((2, 50), np.float32)
    clips = [augmented(only("gain", factor=(0.5, 2.0)), ones, seed, RATE) for seed in range(300)]
    assert all(len(np.unique(clip)) == 1 for clip in clips)
    factors = [clip[0, 0] for clip in clips]
    assert 0.5 <= min(factors) < 0.52
    assert 1.95 < max(factors) <= 2
    doubled = augmented(only("gain", factor=(2.0, 2.0)), noise(50), 3, RATE)
    assert np.array_equal(doubled, 2 * noise(50))


def test_polarity_swap_and_mono_by_hand() -> None:
    clip = np.array([[1, 2, -3], [3, 0, 5]], np.float32)
    assert augmented(only("polarity"), clip, 0, RATE).tolist() == [[-1, -2, 3], [-3, 0, -5]]
    assert augmented(only("swap"), clip, 0, RATE).tolist() == [[3, 0, 5], [1, 2, -3]]
    assert augmented(only("mono"), clip, 0, RATE).tolist() == [[2, 1, 1], [2, 1, 1]]


@given(seed=st.integers(0, 1000))
def test_a_filter_keeps_its_range_and_has_zero_phase(seed: int) -> None:
    """A zero-phase response is symmetric around its middle."""
    out = augmented(only("filter", db=(-6.0, 3.0)), impulse(RATE, RATE // 2), seed, RATE)[0]
    level = 20 * np.log10(np.abs(np.fft.rfft(out)))
    assert -6.1 < level.min() < level.max() < 3.1
    assert level.max() - level.min() > 0.3
    np.testing.assert_allclose(out[RATE // 2 + 1 :], out[1 : RATE // 2][::-1], atol=1e-6)


@given(seed=st.integers(0, 1000))
@settings(max_examples=10)
def test_a_reverb_has_the_level_and_decay_of_its_range(seed: int) -> None:
    """Noise that falls by 60 dB in half a second falls by 12 dB in a tenth."""
    recipe = only("reverb", seconds=(0.5, 0.5), db=(-10.0, -10.0))
    wet = augmented(recipe, impulse(RATE, 100), seed, RATE).astype(np.float64)
    assert not wet[:, :100].round(6).any()
    wet[:, 100] -= 1
    assert 20 * np.log10(np.sqrt(RATE) * rms(wet)) == pytest.approx(-10, abs=0.05)
    start = np.flatnonzero(np.abs(wet).max(0) > 1e-5)[0]
    tenths = [rms(wet[:, start + RATE // 10 * part :][:, : RATE // 10]) for part in range(4)]
    np.testing.assert_allclose(np.diff(20 * np.log10(tenths)), -12, atol=1.5)


@given(seed=st.integers(0, 10_000))
def test_a_masked_band_has_a_width_in_its_range(seed: int) -> None:
    """The spectrum of an impulse is 40 dB down inside the band, and within 0.1 dB outside.

    The edges are a twelfth of an octave wide on each side.
    """
    recipe = only("frequency_mask", octaves=(0.5, 1.5))
    out = augmented(recipe, impulse(4 * RATE, 2 * RATE), seed, RATE)[0]
    hz, level = np.fft.rfftfreq(4 * RATE, 1 / RATE), 20 * np.log10(np.abs(np.fft.rfft(out)) + 1e-9)
    masked_hz, is_passed = hz[level < -40], np.abs(level) < 0.1
    low, high = masked_hz[0], masked_hz[-1]
    assert (level[(hz >= low) & (hz <= high)] < -40).all()
    assert is_passed[(hz < low * 2 ** (-1 / 10)) | (hz > high * 2 ** (1 / 10))].all()
    assert 0.45 < np.log2(high / low) < 1.55
    assert low > 58
    assert high <= RATE / 2
    np.testing.assert_allclose(out[2 * RATE + 1 :], out[1 : 2 * RATE][::-1], atol=1e-5)


def test_masked_bands_are_uniform_over_octaves() -> None:
    """Lower edges uniform over octaves have their mean in the middle, with sd 0.29 / sqrt(n)."""
    recipe, positions = only("frequency_mask", octaves=(1.0, 1.0)), []
    for seed in range(200):
        out = augmented(recipe, impulse(RATE, RATE // 2), seed, RATE)[0]
        low = np.flatnonzero(np.abs(np.fft.rfft(out)) < 0.1)[0]
        positions.append(np.log2(low / 60) / np.log2(RATE / 4 / 60))
    assert np.mean(positions) == pytest.approx(0.5, abs=4 * 0.29 / np.sqrt(200))


@given(seed=st.integers(0, 10_000))
def test_a_time_mask_silences_one_interval_only(seed: int) -> None:
    """Fades of 5 ms, 40 samples, have no step above pi / 2 / 41 and thus no click."""
    ones = np.ones((2, RATE), np.float32)
    out = augmented(only("time_mask", seconds=(0.1, 0.3)), ones, seed, RATE)
    silent = np.flatnonzero(out[0] == 0)
    assert 0.1 * RATE <= len(silent) <= 0.3 * RATE
    assert silent[-1] - silent[0] == len(silent) - 1
    assert (out[:, : max(0, silent[0] - 40)] == 1).all()
    assert (out[:, silent[-1] + 41 :] == 1).all()
    assert np.abs(np.diff(out)).max() < np.pi / 2 / 41 + 1e-6
    assert np.array_equal(out[0], out[1])


def test_a_time_mask_leaves_half_of_a_short_clip() -> None:
    out = augmented(only("time_mask", seconds=(9.0, 9.0)), np.ones((2, 1000), np.float32), 3, RATE)
    assert (out[0] == 0).sum() == 500
    assert augmented(only("time_mask"), np.ones((2, 1), np.float32), 3, RATE).all()


def test_tempo_and_pitch_cover_their_ranges() -> None:
    recipe = only("time_stretch", "pitch_shift")
    drawn = [(each.tempo, 12 * np.log2(each.pitch)) for each in variations(recipe, 500)]
    for (low, high), values in zip(((0.9, 1.1), (-2, 2)), zip(*drawn, strict=True), strict=True):
        margin = (high - low) / 50
        assert low - 1e-9 <= min(values) < low + margin
        assert high - margin < max(values) <= high + 1e-9


def test_stems_are_padded_or_cut_to_the_length() -> None:
    for names in ((), ("time_stretch",)):
        variation = Variation(only(*names), 0)
        for length in (10, 20_000):
            clip = variation.apply({"bass": noise(length)}, 5000, RATE)["bass"]
            assert clip.shape == (2, 5000)
            assert rms(clip[:, -1000:]) > 0 or length == 10


def test_codecs_are_drawn_uniformly_in_their_range(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, float]] = []

    def record(clip: np.ndarray, rate: int, container: str, compression: float) -> np.ndarray:
        calls.append((container, compression))
        return clip

    monkeypatch.setattr(augmentation, "round_trip", record)
    for variation in variations(only("codec", quality=(0.3, 0.6)), 400):
        variation.degrade(noise(10), RATE)
    assert abs(sum(container == "MP3" for container, _ in calls) - 200) < 4 * np.sqrt(100)
    assert {container for container, _ in calls} == {"MP3", "OGG"}
    levels = [level for _, level in calls]
    assert 0.3 <= min(levels) < 0.31
    assert 0.59 < max(levels) <= 0.6
