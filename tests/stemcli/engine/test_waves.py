"""Waveforms in memory: arrays and tensors, sample rates, and progress."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stemcli
from stemcli.audio.info import RATES
from stemcli.engine.events import Event, Progress
from stemcli.engine.waves import as_rate
from tests.stemcli.engine.sessions import RATE, make_session
from tests.stemcli.engine.stubs import noise


@pytest.mark.parametrize(
    "rate",
    [1, 999, 4_000_000, 10**400, True, np.True_, "44100", None, Decimal(8000), 1 + 2j, [8000]],
)
def test_a_rate_that_no_file_may_have(tmp_path: Path, rate: Any) -> None:
    """The resampler would crash at 1 Hz."""
    with pytest.raises(stemcli.DecodeError, match="from 1000 to 3999999, e"):
        make_session(tmp_path).separate_array(noise(9), rate)


@pytest.mark.parametrize("rate", [8000, 8000.0, np.int16(8000), np.float32(8000)])
def test_numbers_of_any_type_are_rates(rate: Any) -> None:
    assert as_rate(rate) == 8000
    assert type(as_rate(rate)) is int


def test_the_limits_are_rates() -> None:
    assert (as_rate(RATES[0]), as_rate(RATES[-1])) == (1000, 3_999_999)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_tensor_is_a_waveform(tmp_path: Path, kind: torch.dtype) -> None:
    """Reference: the same values as an array."""
    wave = noise(RATE)
    session = make_session(tmp_path)
    tensor = torch.tensor(wave, dtype=kind, requires_grad=True)
    expected = session.separate_array(wave, RATE)
    for stem, made in session.separate_array(tensor, RATE).items():
        assert isinstance(made, np.ndarray)
        np.testing.assert_array_equal(made, expected[stem])
    halved = session.separate_array(tensor.bfloat16(), RATE)
    for stem, made in halved.items():
        np.testing.assert_allclose(made, expected[stem], atol=2**-9)


@pytest.mark.parametrize(
    ("wave", "sentence"),
    [
        (np.zeros((9, 2), np.int16), r"int16 of .*divide integers by full scale: wave / 32768$"),
        (np.zeros((9, 2), np.int64), r"int64 of .*full scale, e\.g\. wave / 32768 for 16 bit$"),
        (np.zeros((9, 2), np.uint8), r"uint8 of .*; center and divide: .* - 128\) / 128$"),
        (torch.zeros((9, 2), dtype=torch.int32), "int32 of .*wave / 2147483648$"),
        (np.zeros(9), r"add the axis of channels: wave\[:, None\]$"),
        (torch.zeros(9), r"add the axis of channels: wave\[:, None\]$"),
        ((np.zeros((9, 2)), 8000), "The waveform of type tuple is not an array of numbers"),
        (
            torch.zeros((9, 2), device="meta"),
            "The waveform of type Tensor is not an array of numbers",
        ),
        ("song.wav", "The waveform of type str is not an array of numbers"),
        (None, "The waveform of type NoneType is not an array of numbers"),
        ({}, "The waveform of type dict is not an array of numbers"),
        (np.zeros((9, 2), bool), "The waveform of type ndarray is not an array of numbers"),
        (np.zeros((9, 2), complex), "complex128 of shape"),
        (np.zeros((1, 2, 9)), r"of shape \(1, 2, 9\)\. Give floats"),
    ],
)
def test_a_wrong_waveform_says_how_to_convert_it(tmp_path: Path, wave: Any, sentence: str) -> None:
    with pytest.raises(stemcli.DecodeError, match=sentence):
        make_session(tmp_path).separate_array(wave, 8000)


def test_a_waveform_sends_progress(tmp_path: Path) -> None:
    sent: list[Event] = []
    make_session(tmp_path, on_event=sent.append).separate_array(noise(3 * RATE), RATE)
    steps = [event for event in sent if isinstance(event, Progress)]
    assert {(step.track, step.stage, step.seconds_total) for step in steps} == {
        ("waveform", "separating", 3.0)
    }
    done = [step.seconds_done for step in steps]
    assert done == sorted(done)
    assert done[-1] == 3.0
