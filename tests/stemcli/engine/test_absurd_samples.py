"""NaN, infinity and absurdly large samples raise an error that names the song and the time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_zoo.errors import DecodeError
from stemcli.engine.models import LoadedModel
from stemcli.engine.options import Options
from stemcli.engine.session import Session
from tests.model_zoo.small import small_network
from tests.stemcli.engine.stubs import noise

RATE = 16000
AT = 12_000  # frames: 0.75 s


@pytest.fixture(scope="module")
def session() -> Session:
    """A real network, untrained: its transforms square their input."""
    network = small_network()
    options = Options(model=("tiny",), stems=("vocals",), device="cpu", precision="fp32")
    return Session(options, load=lambda name: LoadedModel(name, network))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (1e30, r"a sample of 1\.0e\+30 at 0\.75 s, where full scale is 1"),
        (-3.4e38, r"a sample of 3\.4e\+38 at 0\.75 s"),
        (2.0**31 * 1.01, r"a sample of 2\.2e\+09 at 0\.75 s"),
        (1e300, r"NaN or infinity at 0\.75 s"),
        (-np.inf, r"NaN or infinity at 0\.75 s"),
        (np.nan, r"NaN or infinity at 0\.75 s"),
    ],
)
def test_error_names_the_song_and_the_time(
    value: float, sentence: str, session: Session, tmp_path: Path
) -> None:
    wave = noise(2 * AT).astype(np.float64)
    wave[AT:, 1] = value
    soundfile.write(tmp_path / "song.wav", wave, RATE, "DOUBLE")
    options = Options(**{**session.options.to_dict(), "output": str(tmp_path / "out")})
    with pytest.raises(DecodeError, match=r"song\.wav holds " + sentence):
        Session(options, load=session._load).separate_file(tmp_path / "song.wav")
    assert [each.name for each in tmp_path.iterdir()] == ["song.wav"]


def test_error_names_the_time_in_a_waveform(session: Session) -> None:
    wave = noise(2 * AT)
    wave[AT] = 1e30
    with pytest.raises(DecodeError, match=r"^The waveform holds a sample of 1\.0e\+30 at 0\.75 s"):
        session.separate_array(wave, RATE)


@pytest.mark.parametrize("level", [1e-42, 1e-30, 2.0**15, 2.0**31])
def test_extreme_but_valid_levels_are_separated(level: float, session: Session) -> None:
    """Denormal numbers, near silence, and unscaled 16-bit and 32-bit integers."""
    wave = (noise(2 * AT) * level).astype(np.float32)
    (stem,) = session.separate_array(wave, RATE).values()
    assert stem.shape == wave.shape
    assert np.isfinite(stem).all()
