from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.errors import ConfigError, UnknownNameError
from stemcli.engine.combine import COMBINATIONS
from stemcli.engine.ensemble import Ensemble
from stemcli.engine.models import LoadedModel
from stemcli.engine.overlap_add import Block
from stemcli.engine.stream import SeparationStream
from tests.stemcli.engine.stubs import MidSide, Positional, Scaling, Stub, ensemble, noise, stream

RATE = 8000
TWO = ("vocals", "band")
FOUR = ("vocals", "drums", "bass", "other")


def separated(
    ensemble_: Ensemble, song: Block, rate: int = RATE, size: int = 50
) -> dict[str, Block]:
    out = stream(SeparationStream(ensemble_, rate, song.shape[1]), song, size)
    return {name: out[:, index] for index, name in enumerate(ensemble_.selection.names)}


def tone(frames: int, rate: int) -> Block:
    """Two channels of sines well below every Nyquist frequency used here, faded at the ends."""
    time = np.arange(frames) / rate
    fade = np.sin(np.pi * np.arange(frames) / frames) ** 2
    waves = [np.sin(2 * np.pi * pitch * time) for pitch in (330.0, 550.0)]
    return (0.5 * fade[:, None] * np.stack(waves, axis=1)).astype(np.float32)


models = st.sampled_from(
    [
        LoadedModel("net", Positional(stems=FOUR)),
        LoadedModel("net", Scaling(stems=("vocals",)), residual="band"),
        LoadedModel("net", MidSide(stems=TWO, channels=2)),
    ]
)


@given(models, st.builds(noise, st.integers(1, 200), st.integers(1, 6)), st.integers(1, 99))
def test_stems_add_up_to_the_mixture(model: LoadedModel, song: Block, size: int) -> None:
    """Property: up to float32 rounding, for full sets and residuals, any channels and length."""
    stems = separated(ensemble(model), song, size=size)
    assert {stem.shape for stem in stems.values()} == {song.shape}
    np.testing.assert_allclose(sum(stems.values()), song, atol=1e-6)


@given(st.sampled_from([4000, 5512, 8000, 11025, 44100]), st.integers(1, 9000), st.integers(1, 2))
@settings(max_examples=25)
def test_stems_keep_the_length_at_every_rate(rate: int, frames: int, channels: int) -> None:
    """Property: the stems keep the song's length and add up to it, even where resampling loses."""
    song = noise(frames, channels)
    model = LoadedModel("net", Scaling(stems=("vocals",), segment=800), residual="band")
    stems = separated(ensemble(model), song, rate, size=4096)
    assert {stem.shape for stem in stems.values()} == {song.shape}
    np.testing.assert_allclose(sum(stems.values()), song, atol=1e-6)


@pytest.mark.parametrize("rate", [6000, 8000, 11025, 44100, 48000])
def test_stems_are_in_time_with_the_mixture(rate: int) -> None:
    """Property: an identity network returns a tone within -80 dB."""
    song = tone(2 * rate, rate)
    (stem,) = separated(ensemble(LoadedModel("net", Stub(segment=800))), song, rate, 4096).values()
    assert np.abs(stem - song).max() < 0.5e-4


def test_silence_is_exact_through_resampling() -> None:
    song = np.zeros((5000, 2), np.float32)
    for stem in separated(ensemble(LoadedModel("net", Scaling(stems=TWO))), song, 11025).values():
        assert stem.shape == song.shape
        assert not stem.any()


def test_an_ensemble_averages_the_shared_stems() -> None:
    """By hand: vocals are 0.1 and 0.3 of the mixture; the other stems are not shared."""
    one = LoadedModel("one", Scaling(stems=("vocals",)))
    two = LoadedModel("two", Scaling(stems=("bass", "drums", "vocals")), residual="rest")
    song = noise(300)
    stems = separated(ensemble(one, two), song)
    assert list(stems) == ["vocals"]
    np.testing.assert_allclose(stems["vocals"], 0.2 * song, atol=1e-6)


def test_an_ensemble_of_full_sets_adds_up_to_the_mixture() -> None:
    """Property: also when the members run at different sample rates."""
    one = LoadedModel("one", Positional(stems=TWO, segment=500))
    two = LoadedModel(
        "two", Scaling(stems=("vocals",), sample_rate=6000, segment=700), residual="band"
    )
    song = noise(5000)
    stems = separated(ensemble(one, two), song)
    np.testing.assert_allclose(sum(stems.values()), song, atol=1e-6)


def test_members_at_their_own_rates_stay_in_time() -> None:
    song = tone(9000, RATE)
    members = [
        LoadedModel(str(rate), Stub(sample_rate=rate, segment=900)) for rate in (5512, 8000, 16000)
    ]
    (stem,) = separated(ensemble(*members), song).values()
    assert np.abs(stem - song).max() < 0.5e-4


def test_two_stems() -> None:
    """By hand: 0.1 + 0.2 + 0.3 + 0.4 is a full set already, so bass is 0.3 and the rest 0.7."""
    song = noise(300)
    model = LoadedModel("net", Scaling(stems=FOUR))
    stems = separated(ensemble(model, two_stems="bass"), song)
    assert list(stems) == ["bass", "no_bass"]
    np.testing.assert_allclose(stems["bass"], 0.3 * song, atol=1e-6)
    np.testing.assert_allclose(stems["no_bass"], 0.7 * song, atol=1e-6)


def test_choosing_stems_does_not_change_them() -> None:
    song, model = noise(300), LoadedModel("net", Positional(stems=FOUR))
    all_stems = separated(ensemble(model), song)
    chosen = separated(ensemble(model, stems=("other", "drums")), song)
    assert list(chosen) == ["other", "drums"]
    for name, stem in chosen.items():
        np.testing.assert_array_equal(stem, all_stems[name])


def test_segment_and_overlap_of_the_user_take_precedence() -> None:
    """By hand: half a second at 8 kHz is 4000 samples; three quarters overlap leaves 1000."""
    model = LoadedModel("net", Stub(), overlap=0.5)
    assert ensemble(model).members[0].plan.hop == 32
    plan = ensemble(model, segment=0.5, overlap=0.75, shifts=3, seed=5).members[0].plan
    assert (plan.length, plan.hop, len(plan.offsets)) == (4000, 1000, 3)


@pytest.mark.parametrize(("width", "batch", "largest"), [(1, 1, 2), (2, 1, 1), (1, 3, 6)])
def test_memory_does_not_grow_with_the_channels(width: int, batch: int, largest: int) -> None:
    """By hand: a batch is no larger than for a stereo song."""
    separator = Stub(channels=width)
    full = SeparationStream(ensemble(LoadedModel("net", separator), batch_size=batch), 8000, 12)
    song = noise(400, channels=12)
    np.testing.assert_allclose(stream(full, song)[:, 0], song, atol=1e-6)
    assert max(separator.batches) == largest


def test_memory_does_not_grow_with_the_song() -> None:
    """Property: of 100,000 frames at most eight chunks per member are held, at two rates."""
    members = [
        LoadedModel("a", Stub(segment=500)),
        LoadedModel("b", Stub(sample_rate=6000, segment=900)),
    ]
    separation = SeparationStream(ensemble(*members), RATE, 1)
    for block in range(400):
        separation.push(noise(250, 1, seed=block))
        assert separation.buffered <= 8 * (500 + 900)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"stems": ("vocal",)}, UnknownNameError),
        ({"two_stems": "vocal"}, UnknownNameError),
    ],
)
def test_unknown_stems_are_refused_before_running(
    options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        ensemble(LoadedModel("net", Stub()), **options)


def test_models_that_share_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="one gives vocals; two gives bass"):
        ensemble(LoadedModel("one", Stub()), LoadedModel("two", Stub(stems=("bass",))))


def test_weights_by_hand() -> None:
    """Stems of 0.1 and 1.0 times the song with weights 3 and 1: (0.3 + 1.0) / 4 = 0.325."""
    one, two = LoadedModel("one", Scaling()), LoadedModel("two", Stub())
    song = noise(300)
    (stem,) = separated(ensemble(one, two, weights=(3, 1)), song).values()
    np.testing.assert_allclose(stem, 0.325 * song, atol=1e-6)


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_the_rest_of_a_combination_adds_up_to_the_song(combine: str) -> None:
    """Property: combined stem and complement, also where spectra delay the stem."""
    one = LoadedModel("one", Positional())
    two = LoadedModel("two", Scaling(sample_rate=6000, segment=700))
    song = noise(9000)
    stems = separated(ensemble(one, two, combine=combine, two_stems="vocals"), song)
    assert list(stems) == ["vocals", "no_vocals"]
    np.testing.assert_allclose(sum(stems.values()), song, atol=1e-6)


def test_a_member_without_a_weight_does_not_run() -> None:
    idle, busy = Stub(), Scaling()
    models = ensemble(LoadedModel("one", idle), LoadedModel("two", busy), weights=(0, 1))
    (stem,) = separated(models, noise(300)).values()
    assert idle.batches == []
    np.testing.assert_allclose(stem, 0.1 * noise(300), atol=1e-6)


class Public(Scaling):
    """A network whose stems must stay as they are."""

    adds_up = False


def test_stems_of_public_networks_are_not_changed() -> None:
    """By hand: 0.1 and 0.2 of the song, although 0.7 of it is missing."""
    song = noise(300)
    stems = separated(ensemble(LoadedModel("net", Public(stems=TWO))), song)
    np.testing.assert_allclose(stems[TWO[0]], 0.1 * song, atol=1e-6)
    np.testing.assert_allclose(stems[TWO[1]], 0.2 * song, atol=1e-6)
