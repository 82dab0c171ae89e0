"""``--phase-model``: a second network sets the phase of every stem.

Properties: a phase network that returns its input changes nothing, one that inverts its input
inverts the stems. Other values are worked by hand.
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
from stemcli.engine.level import SongLevel
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


def test_auto_precision_is_chosen_per_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    monkeypatch.setattr(Phase, "needs_float32", True)
    members_and_phase = ensemble(
        LoadedModel("net", Stub()), phase=LoadedModel("phase", Phase()), precision="auto"
    )
    assert [member.precision.name for member in members_and_phase.all] == ["bf16", "fp32"]


def separate(
    members_and_phase: Ensemble, song: Block, rate: int = RATE, peak: float = 1.0
) -> Block:
    return stream(
        SeparationStream(members_and_phase, rate, song.shape[1], SongLevel(peak)), song, 77
    )


@given(members, phases, st.builds(noise, st.integers(1, 400), st.integers(1, 3)))
def test_an_identity_phase_changes_nothing(model: LoadedModel, phase: Stub, song: Block) -> None:
    """Property, up to the rounding of the chunk weights."""
    same = separate(ensemble(model, phase=LoadedModel("phase", phase)), song)
    np.testing.assert_allclose(same, separate(ensemble(model), song), atol=1e-6)


@given(members, st.builds(noise, st.integers(1, 400), st.integers(1, 2)))
def test_stems_still_add_up(model: LoadedModel, song: Block) -> None:
    """Property: stems are completed after the phase, for full sets and residuals."""
    stems = separate(ensemble(model, phase=LoadedModel("phase", Flipped())), song)
    np.testing.assert_allclose(stems.sum(axis=1), song, atol=1e-6)


def test_the_phase_is_applied_before_the_stems_are_completed() -> None:
    """By hand: 0.1 and 0.2 are inverted, so 1.3 is missing, and each stem gets half of it."""
    song, flipped = noise(300), LoadedModel("phase", Flipped())
    stems = separate(ensemble(LoadedModel("net", Scaling(stems=TWO)), phase=flipped), song)
    np.testing.assert_allclose(stems[:, 0], (0.65 - 0.1) * song, atol=1e-6)
    np.testing.assert_allclose(stems[:, 1], (0.65 - 0.2) * song, atol=1e-6)


def test_a_single_stem_and_its_residual() -> None:
    """By hand: the stem is -0.1; with a residual, that is 1.1."""
    song, flipped = noise(300), LoadedModel("phase", Flipped())
    alone = separate(ensemble(LoadedModel("net", Scaling()), phase=flipped), song)
    np.testing.assert_allclose(alone[:, 0], -0.1 * song, atol=1e-6)
    both = separate(ensemble(LoadedModel("net", Scaling(), residual="band"), phase=flipped), song)
    np.testing.assert_allclose(both[:, 1], 1.1 * song, atol=1e-6)


def test_the_phase_is_applied_to_every_ensemble_member() -> None:
    """By hand: -0.1 and -0.3 of the mixture average to -0.2."""
    one = LoadedModel("one", Scaling())
    two = LoadedModel("two", Scaling(stems=("bass", "drums", "vocals")), residual="rest")
    song = noise(300)
    stems = separate(ensemble(one, two, phase=LoadedModel("phase", Flipped())), song)
    np.testing.assert_allclose(stems[:, 0], -0.2 * song, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("phase_rate", [8000, 11025])
def test_a_phase_network_at_another_rate_stays_in_time(rate: int, phase_rate: int) -> None:
    """Property: a tone below every Nyquist frequency returns within -80 dB."""
    song = tone(2 * rate, rate)
    phase = LoadedModel("phase", Phase(sample_rate=phase_rate, segment=900))
    stems = separate(ensemble(LoadedModel("net", Stub(segment=800)), phase=phase), song, rate)
    assert np.abs(stems[:, 0] - song).max() < 1e-4


def test_the_phase_input_is_normalized_by_the_peak_of_the_song() -> None:
    """By hand: the stem is 0.02 and the song's peak 0.5, so the input is 0.04: 0.04 * 0.02."""
    song = np.full((640, 1), 0.2, np.float32)
    song[600:] = 0.5
    members_and_phase = ensemble(
        LoadedModel("net", Scaling()), phase=LoadedModel("phase", LevelledPhase())
    )
    assert members_and_phase.needs_level
    stems = separate(members_and_phase, song, peak=0.5)
    np.testing.assert_allclose(stems[200:400, 0], 0.04 * 0.02, atol=1e-8)


def test_a_session_measures_the_song_for_the_phase() -> None:
    """Property: a song ten times quieter gives stems ten times quieter."""
    models = {"net": Scaling(stems=TWO), "phase": LevelledPhase()}
    options = Options(model=("net",), phase_model="phase", device="cpu")
    session = Session(options, load=lambda name: LoadedModel(name, models[name]))
    loud = session.separate_array(noise(500), RATE)
    quiet = session.separate_array(noise(500) * np.float32(0.1), RATE)
    for name, stem in loud.items():
        np.testing.assert_allclose(10 * quiet[name], stem, atol=1e-6)


def test_memory_does_not_grow_with_the_song() -> None:
    """Property: at most eight chunks per network are held, the phase network for two stems."""
    members_and_phase = ensemble(
        LoadedModel("net", Scaling(stems=TWO, segment=500)),
        phase=LoadedModel("phase", Phase(segment=700, sample_rate=6000)),
    )
    separation = SeparationStream(members_and_phase, RATE, 1)
    for block in range(300):
        separation.push(noise(250, 1, seed=block))
        assert separation.buffered <= 8 * (500 + 2 * 900)


@pytest.mark.parametrize(
    ("model", "phase", "expected"),
    [
        (
            Phase(),
            None,
            "model='net': this network predicts a phase and does not separate songs. "
            "Use phase_model='net'",
        ),
        (
            Stub(),
            Stub(),
            "phase_model='phase': this network separates songs and does not predict a phase. "
            "Use model='phase'",
        ),
        (
            Codes(),
            None,
            "model='net': this network encodes audio into codes and does not separate songs. "
            "Choose another (see: stem models list)",
        ),
        (
            Stub(),
            Codes(),
            "phase_model='phase': this network encodes audio into codes and does not separate "
            "songs. Choose another (see: stem models list)",
        ),
    ],
)
def test_a_network_of_the_wrong_role_is_refused(
    model: Stub, phase: Stub | None, expected: str
) -> None:
    with pytest.raises(UsageError) as found:
        ensemble(LoadedModel("net", model), phase=LoadedModel("phase", phase) if phase else None)
    assert str(found.value) == expected


def test_a_changed_phase_model_redoes_the_song(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: redone when a phase model is added, changed or removed, else skipped."""
    networks = {"net": Scaling(stems=TWO), "phase": Flipped()}
    sums = {"net": "1", "phase": "1"}
    monkeypatch.setattr(
        "stemcli.engine.models.load_model",
        lambda name: LoadedModel(name, networks[name], sha256=sums[name]),
    )
    song = LibrarySong(write(tmp_path / "in/song.wav", noise(500)))

    def run(phase: str) -> tuple[str, list[str]]:
        events: list[Event] = []
        options = Options(("net",), phase, output=str(tmp_path / "out"), device="cpu")
        with Journal(tmp_path / "out") as journal:
            report = separate_songs([song], options, journal=journal, on_event=events.append)
        reasons = [
            reason for each in events if isinstance(each, BatchStarted) for reason in each.again
        ]
        return report.tracks[0].outcome, reasons

    changed = ("done", ["changed: phase_model"])
    assert [run(""), run(""), run("phase"), run("phase")] == [
        ("done", []),
        ("skipped", []),
        changed,
        ("skipped", []),
    ]
    sums["phase"] = "2"
    assert [run("phase"), run("phase"), run("")] == [changed, ("skipped", []), changed]


def test_settings_without_a_phase_match_old_journals() -> None:
    """Otherwise an update would redo every stem of a library."""
    session = Session(Options(("net",), device="cpu"), load=lambda name: LoadedModel(name, Stub()))
    assert "phase_model" not in session.settings
