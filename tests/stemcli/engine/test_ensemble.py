from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.errors import ConfigError, UnknownNameError
from model_zoo.option_names import command_line
from stemcli.engine.selection import Selection, complete, select, shared_stems
from tests.stemcli.engine.stubs import noise

FOUR = ("vocals", "drums", "bass", "other")


@given(st.integers(0, 30), st.integers(1, 4), st.integers(1, 5), st.booleans())
def test_a_full_set_adds_up_to_the_mixture(
    frames: int, channels: int, count: int, residual: bool
) -> None:
    """Property: to float32 rounding, for any estimates; a single stem is left as it is."""
    mixture = noise(frames, channels)
    stems = noise(frames * count, channels, seed=1).reshape(frames, count, channels)
    full = complete(stems, mixture, residual=residual)
    if count == 1 and not residual:
        np.testing.assert_array_equal(full, stems)
    else:
        assert full.shape == (frames, count + residual, channels)
        np.testing.assert_allclose(full.sum(axis=1), mixture, atol=5e-7)


def test_the_residual_leaves_the_stems_alone() -> None:
    """By hand: mixture 1.0, stem 0.25, rest 0.75."""
    full = complete(np.full((1, 1, 1), 0.25, "f4"), np.ones((1, 1), "f4"), residual=True)
    assert full.ravel().tolist() == [0.25, 0.75]


def test_the_missing_part_is_spread_evenly() -> None:
    """By hand: mixture 1.0, stems 0.25 and 0.25, so each gets half of the missing 0.5."""
    full = complete(np.full((1, 2, 1), 0.25, "f4"), np.ones((1, 1), "f4"), residual=False)
    assert full.ravel().tolist() == [0.5, 0.5]
    assert full.dtype == np.float32


def test_shared_stems_keep_the_order_of_the_first_model() -> None:
    assert shared_stems([("a", FOUR), ("b", ("bass", "other", "vocals"))]) == (
        "vocals",
        "bass",
        "other",
    )


def test_models_without_a_common_stem_are_named_with_their_stems() -> None:
    with pytest.raises(ConfigError, match="a gives vocals, drums; b gives bass"):
        shared_stems([("a", ("vocals", "drums")), ("b", ("bass",))])


def test_two_models_of_the_same_name_are_both_used() -> None:
    """For example two runs with weights called ``best`` in different folders."""
    assert shared_stems([("best", FOUR), ("best", ("bass", "vocals"))]) == ("vocals", "bass")


@pytest.mark.parametrize(
    ("available", "stems", "two_stems", "expected"),
    [
        (FOUR, (), "", Selection(FOUR, (0, 1, 2, 3))),
        (FOUR, ("bass", "vocals"), "", Selection(("bass", "vocals"), (2, 0))),
        (FOUR, (), "bass", Selection(("bass", "no_bass"), (2,), True)),
        (("vocals", "band"), (), "band", Selection(("band", "vocals"), (1,), True)),
        (("vocals",), (), "vocals", Selection(("vocals", "no_vocals"), (0,), True)),
    ],
)
def test_select_by_hand(
    available: tuple[str, ...], stems: tuple[str, ...], two_stems: str, expected: Selection
) -> None:
    assert select(available, stems, two_stems) == expected


@pytest.mark.parametrize("choice", [{"stems": ("vocal",)}, {"two_stems": "vocal"}])
def test_an_unknown_stem_gets_a_suggestion(choice: dict[str, object]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'vocals'"):
        select(FOUR, **choice)


VOICE = Selection(("karaoke",), (0,), complement=True, rest_only=True)


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        (("vocals", "instrumental"), Selection(("karaoke",), (1,))),
        (("Vocals", "Accompaniment"), Selection(("karaoke",), (1,))),
        (("vocals", "drums", "bass", "other"), VOICE),
        (("vocals",), VOICE),
        (("lead_vocals", "karaoke"), Selection(("karaoke",), (1,))),
        (("lead_vocals", "back_vocals", "vocals", "instrumental"), VOICE),
    ],
)
def test_karaoke_by_hand(available: tuple[str, ...], expected: Selection) -> None:
    """The backing vocals stay if the lead voice is known; names that networks have come first."""
    assert select(available, karaoke=True) == expected


def test_karaoke_is_the_mixture_minus_the_voice() -> None:
    """By hand: 1.0 minus the first stem is 0.8; the other stems do not count."""
    stems = np.array([0.2, 0.3, 0.4], "f4").reshape(1, 3, 1)
    chosen = select(("vocals", "drums", "bass"), karaoke=True)
    np.testing.assert_allclose(chosen.apply(stems, np.ones((1, 1), "f4")).ravel(), [0.8])


def test_karaoke_needs_a_voice() -> None:
    with pytest.raises(ConfigError, match="needs a model that gives vocals, found drums, bass"):
        select(("drums", "bass"), karaoke=True)


def test_the_complement_is_the_mixture_minus_the_stem() -> None:
    """By hand: 1.0 minus the second stem is 0.7."""
    stems = np.array([0.2, 0.3, 0.5], "f4").reshape(1, 3, 1)
    out = select(("a", "b", "c"), two_stems="b").apply(stems, np.ones((1, 1), "f4"))
    np.testing.assert_allclose(out.ravel(), [0.3, 0.7])


@pytest.mark.parametrize(
    ("available", "stems", "two_stems", "names"),
    [
        (("vocals", "instrumental"), ("accompaniment",), "", ("instrumental",)),
        (("vocals", "instrumental"), (), "accompaniment", ("instrumental", "vocals")),
        (("vocals", "accompaniment"), ("instrumental", "vocals"), "", ("accompaniment", "vocals")),
        (("instrumental", "accompaniment"), ("accompaniment",), "", ("accompaniment",)),
    ],
)
def test_accompaniment_and_instrumental_are_one_stem(
    available: tuple[str, ...], stems: tuple[str, ...], two_stems: str, names: tuple[str, ...]
) -> None:
    """By hand; a model with both names (there is none yet) keeps them apart."""
    assert select(available, stems, two_stems).names == names


def test_one_stem_under_two_names_is_refused() -> None:
    with pytest.raises(ConfigError, match="instrumental, accompaniment name one stem twice"):
        select(("vocals", "instrumental"), ("instrumental", "accompaniment"))


def test_advice_for_a_stem_that_no_model_gives_fits_the_reader() -> None:
    """A Python program looks models up by a call, a reader at a shell by a command."""
    with pytest.raises(UnknownNameError) as caught:
        select(FOUR, ["piano"])
    assert str(caught.value).endswith("piano: model_zoo.catalogue.public.public_models()")
    with command_line(), pytest.raises(UnknownNameError) as caught:
        select(FOUR, ["piano"])
    assert str(caught.value).endswith("piano: stem models list --stem piano")
    with pytest.raises(UnknownNameError, match=r"Add others with model_zoo\.importers\.convert, "):
        select(FOUR, ["kazoo"])


@pytest.mark.parametrize(
    ("choice", "field"),
    [({"stems": ["vocls"]}, "stems"), ({"two_stems": "vocls"}, "two_stems")],
)
def test_an_error_knows_the_option_of_the_stem(choice: dict[str, Any], field: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        select(FOUR, **choice)
    assert caught.value.option == field


def test_an_unknown_stem_is_refused_under_the_name_the_user_typed() -> None:
    with pytest.raises(UnknownNameError, match="Unknown stem 'accompaniment'"):
        select(FOUR, ("accompaniment",))
