"""``--phase-model``: a network gives every stem a phase of its own.

Truth: laws (one that gives a sound as it is changes nothing, one that turns it upside down turns
the stems) and sums worked by hand.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.errors import UsageError
from stemcli.batch.journal import Journal
from stemcli.batch.library import LibrarySong
from stemcli.batch.report import BatchStarted
from stemcli.batch.run import separate_songs
from stemcli.engine.ensemble import Ensemble
from stemcli.engine.events import Event
from stemcli.engine.models import LoadedModel
from stemcli.engine.options import Options
from stemcli.engine.overlap_add import Block
from stemcli.engine.session import Session
from stemcli.engine.stream import SeparationStream
from tests.stemcli.engine.stubs import (
    Codes,
    Flipped,
    Levelled,
    LevelledPhase,
    MidSide,
    Phase,
    Positional,
    Scaling,
    Stub,
    ensemble,
    noise,
    stream,
)
from tests.stemcli.engine.test_level import write
from tests.stemcli.engine.test_stream import tone

RATE = 8000
TWO = ("vocals", "band")

members = st.sampled_from(
    [
        LoadedModel("net", Positional(stems=TWO)),
        LoadedModel("net", Scaling(stems=("vocals",)), residual="band"),
        LoadedModel("net", MidSide(stems=TWO, channels=2)),
        LoadedModel("net", Levelled(stems=TWO)),
    ]
)
phases = st.sampled_from([Phase(segment=50), Phase(channels=2, segment=170)])


def test_auto_runs_every_network_in_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    monkeypatch.setattr(Phase, "needs_float32", True)
    made = ensemble(
        LoadedModel("net", Stub()), phase=LoadedModel("phase", Phase()), precision="auto"
    )
    assert [member.precision.name for member in made.all] == ["bf16", "fp32"]


def heard(made: Ensemble, song: Block, rate: int = RATE, peak: float = 1.0) -> Block:
    return stream(SeparationStream(made, rate, song.shape[1], peak), song, 77)


@given(members, phases, st.builds(noise, st.integers(1, 400), st.integers(1, 3)))
def test_a_phase_that_is_the_same_changes_nothing(
    model: LoadedModel, phase: Stub, song: Block
) -> None:
    """Law, to the rounding of the weights of chunks."""
    same = heard(ensemble(model, phase=LoadedModel("phase", phase)), song)
    np.testing.assert_allclose(same, heard(ensemble(model), song), atol=1e-6)


@given(members, st.builds(noise, st.integers(1, 400), st.integers(1, 2)))
def test_stems_still_add_up(model: LoadedModel, song: Block) -> None:
    """Law: what a phase takes away goes back into the set, for full sets and residuals."""
    stems = heard(ensemble(model, phase=LoadedModel("phase", Flipped())), song)
    np.testing.assert_allclose(stems.sum(axis=1), song, atol=1e-6)


def test_before_a_set_is_completed() -> None:
    """By hand: 0.1 and 0.2 are turned, so 1.3 is missing, and half of it goes to each."""
    song, flipped = noise(300), LoadedModel("phase", Flipped())
    stems = heard(ensemble(LoadedModel("net", Scaling(stems=TWO)), phase=flipped), song)
    np.testing.assert_allclose(stems[:, 0], (0.65 - 0.1) * song, atol=1e-6)
    np.testing.assert_allclose(stems[:, 1], (0.65 - 0.2) * song, atol=1e-6)


def test_a_single_stem_and_the_rest() -> None:
    """By hand: -0.1, alone and with a residual of 1.1."""
    song, flipped = noise(300), LoadedModel("phase", Flipped())
    alone = heard(ensemble(LoadedModel("net", Scaling()), phase=flipped), song)
    np.testing.assert_allclose(alone[:, 0], -0.1 * song, atol=1e-6)
    both = heard(ensemble(LoadedModel("net", Scaling(), residual="band"), phase=flipped), song)
    np.testing.assert_allclose(both[:, 1], 1.1 * song, atol=1e-6)


def test_the_stems_of_every_member_of_an_ensemble() -> None:
    """By hand: -0.1 and -0.3 of the mixture, on the mean -0.2."""
    one = LoadedModel("one", Scaling())
    two = LoadedModel("two", Scaling(stems=("bass", "drums", "vocals")), residual="rest")
    song = noise(300)
    stems = heard(ensemble(one, two, phase=LoadedModel("phase", Flipped())), song)
    np.testing.assert_allclose(stems[:, 0], -0.2 * song, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("phase_rate", [8000, 11025])
def test_a_phase_at_a_rate_of_its_own_stays_in_time(rate: int, phase_rate: int) -> None:
    """Law: a tone that all rates hold comes back within -80 dB."""
    song = tone(2 * rate, rate)
    phase = LoadedModel("phase", Phase(sample_rate=phase_rate, segment=900))
    stems = heard(ensemble(LoadedModel("net", Stub(segment=800)), phase=phase), song, rate)
    assert np.abs(stems[:, 0] - song).max() < 1e-4


def test_a_phase_is_levelled_by_the_song() -> None:
    """By hand: the stem is 0.02 in a song that reaches 0.5, so it is heard as 0.04: 0.04 * 0.02."""
    song = np.full((640, 1), 0.2, np.float32)
    song[600:] = 0.5
    made = ensemble(LoadedModel("net", Scaling()), phase=LoadedModel("phase", LevelledPhase()))
    assert made.needs_peak_level
    stems = heard(made, song, peak=0.5)
    np.testing.assert_allclose(stems[200:400, 0], 0.04 * 0.02, atol=1e-8)


def test_a_phase_for_songs_of_any_level() -> None:
    """Law: through the session too, which measures the song for it."""
    models = {"net": Scaling(stems=TWO), "phase": LevelledPhase()}
    options = Options(model=("net",), phase_model="phase", device="cpu")
    made = Session(options, load=lambda name: LoadedModel(name, models[name]))
    loud = made.separate_array(noise(500), RATE)
    quiet = made.separate_array(noise(500) * np.float32(0.1), RATE)
    for name, stem in loud.items():
        np.testing.assert_allclose(10 * quiet[name], stem, atol=1e-6)


def test_memory_does_not_grow_with_the_song() -> None:
    """Law: at most eight chunks of the network and of the phase for each of two stems."""
    made = ensemble(
        LoadedModel("net", Scaling(stems=TWO, segment=500)),
        phase=LoadedModel("phase", Phase(segment=700, sample_rate=6000)),
    )
    separation = SeparationStream(made, RATE, 1)
    for block in range(300):
        separation.push(noise(250, 1, seed=block))
        assert separation.buffered <= 8 * (500 + 2 * 900)


@pytest.mark.parametrize(
    ("model", "phase", "said"),
    [
        (
            Phase(),
            None,
            "--model net: this network predicts a phase and does not separate songs. "
            "Use --phase-model net",
        ),
        (
            Stub(),
            Stub(),
            "--phase-model phase: this network separates songs and does not predict a phase. "
            "Use --model phase",
        ),
        (
            Codes(),
            None,
            "--model net: this network encodes audio into codes and does not separate songs. "
            "Choose another (see: stem models list)",
        ),
        (
            Stub(),
            Codes(),
            "--phase-model phase: this network encodes audio into codes and does not separate "
            "songs. Choose another (see: stem models list)",
        ),
    ],
)
def test_networks_in_the_place_of_others(model: Stub, phase: Stub | None, said: str) -> None:
    with pytest.raises(UsageError) as found:
        ensemble(LoadedModel("net", model), phase=LoadedModel("phase", phase) if phase else None)
    assert str(found.value) == said


def test_a_journal_knows_the_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: made without, again with one, again when its weights change, and then left alone."""
    networks = {"net": Scaling(stems=TWO), "phase": Flipped()}
    sums = {"net": "1", "phase": "1"}
    monkeypatch.setattr(
        "stemcli.engine.models.load_model",
        lambda name: LoadedModel(name, networks[name], sha256=sums[name]),
    )
    song = LibrarySong(write(tmp_path / "in/song.wav", noise(500)))

    def run(phase: str) -> tuple[str, list[str]]:
        told: list[Event] = []
        options = Options(("net",), phase, output=str(tmp_path / "out"), device="cpu")
        with Journal(tmp_path / "out") as journal:
            report = separate_songs([song], options, journal=journal, on_event=told.append)
        reasons = [
            reason for each in told if isinstance(each, BatchStarted) for reason in each.again
        ]
        return report.tracks[0].outcome, reasons

    changed = ("done", ["changed: --phase-model"])
    assert [run(""), run(""), run("phase"), run("phase")] == [
        ("done", []),
        ("skipped", []),
        changed,
        ("skipped", []),
    ]
    sums["phase"] = "2"
    assert [run("phase"), run("phase"), run("")] == [changed, ("skipped", []), changed]


def test_settings_without_a_phase_are_those_of_old_journals() -> None:
    """Else an update would make every stem of a library again."""
    made = Session(Options(("net",), device="cpu"), load=lambda name: LoadedModel(name, Stub()))
    assert "phase_model" not in made.settings
