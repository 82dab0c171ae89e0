from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.errors import ConfigError
from stemcli.engine.overlap_add import deal, fold, unfold
from tests.stemcli.engine.stubs import noise


@pytest.mark.parametrize(
    ("channels", "width", "groups"),
    [
        (3, 1, [[0], [1], [2]]),
        (2, 2, [[0, 1]]),
        (1, 2, [[0, 0]]),
        (6, 2, [[0, 1], [2, 3], [4, 5]]),
        (5, 2, [[0, 1], [2, 3], [4, 4]]),
        (4, 4, [[0, 1, 2, 3]]),
    ],
)
def test_deal_by_hand(channels: int, width: int, groups: list[list[int]]) -> None:
    assert deal(channels, width).tolist() == groups


def test_a_network_of_four_channels_refuses_a_stereo_song() -> None:
    with pytest.raises(ConfigError, match="takes 4 channels and the song has 2"):
        deal(2, 4)


@given(st.integers(1, 9), st.integers(1, 2), st.integers(1, 3))
def test_unfold_undoes_fold(channels: int, width: int, stems: int) -> None:
    """Property: every channel returns to its position, in every stem."""
    song = noise(7, channels)
    groups = deal(channels, width)
    estimates = np.repeat(fold(song, groups)[:, None], stems, axis=1)
    expected = np.repeat(song[:, None], stems, axis=1)
    np.testing.assert_array_equal(unfold(estimates, groups), expected)


def test_a_channel_dealt_twice_is_averaged() -> None:
    """By hand: the estimates 1 and 3 of a mono song average to 2."""
    estimates = np.array([[[[1.0], [3.0]]]], np.float32)
    assert unfold(estimates, deal(1, 2)).tolist() == [[[2.0]]]
