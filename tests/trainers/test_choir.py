"""Effects that make one voice many. Truth: laws of pitch and spectrum."""

from __future__ import annotations

import numpy as np
import pytest

from trainers.data.augmentation import CHOIR_STEPS, harmonise, smear

RATE = 8000
TONE = np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)[None].astype(np.float32)


def peaks(wave: np.ndarray) -> list[float]:
    """Frequencies in Hz whose magnitude is at least a tenth of the strongest, to half a Hz."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    local = (spectrum[1:-1] > spectrum[:-2]) & (spectrum[1:-1] > spectrum[2:])
    strong = spectrum[1:-1] > 0.1 * spectrum.max()
    return ((np.flatnonzero(local & strong) + 1) * RATE / len(wave)).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_a_choir_sings_the_tone_and_steps_above_and_below_it(seed: int) -> None:
    choir = harmonise(TONE, RATE, np.random.default_rng(seed))
    found = {round(12 * np.log2(hz / 440)) for side in choir for hz in peaks(side)}
    assert 0 in found
    assert len(found) >= 2
    assert found <= {0, *CHOIR_STEPS}


@pytest.mark.parametrize("seed", range(5))
def test_a_held_tone_keeps_its_pitch_to_the_end(seed: int) -> None:
    held = smear(TONE, RATE, np.random.default_rng(seed))
    for part in np.split(held, 4, axis=1):
        spectrum = np.abs(np.fft.rfft(part[0] * np.hanning(part.shape[1])))
        assert spectrum.argmax() * RATE / part.shape[1] == pytest.approx(440, abs=12)
