"""Which stems are scored together, and how estimates are matched to true stems."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

import pytest
import torch

from model_zoo.errors import DecodeError, FfmpegMissingError, MissingExtraError
from tests.trainers.evaluation.songs import RATE, noise
from trainers.evaluation.scoring import (
    Scorer,
    StemScores,
    find_measure,
    measuring_device,
    scenarios,
)
from trainers.metrics.bsseval import FrameScores, bss_eval

SCORER = Scorer(RATE, RATE)
VOICE, DRUMS, BASS = (noise(seed) for seed in (1, 2, 3))


def by_name(scores: tuple[StemScores, ...]) -> dict[str, StemScores]:
    return {stem.name: stem for stem in scores}


def have_equal_scores(one: StemScores, other: StemScores) -> bool:
    return one.frames == other.frames and one.whole == other.whole


def test_the_order_of_estimates_does_not_matter() -> None:
    """Stems are matched by name, not by order as in museval's eval_dir."""
    references = {"vocals": VOICE, "drums": DRUMS, "bass": BASS}
    estimates = {name: wave + 0.1 * noise(9) for name, wave in references.items()}
    reversed_estimates = dict(reversed(estimates.items()))
    assert SCORER(reversed_estimates, references) == SCORER(estimates, references)
    assert [stem.name for stem in SCORER(reversed_estimates, references)] == [*references]


def test_global_scores_by_hand() -> None:
    """An error of a tenth of the stem itself is 20 dB; SI-SDR ignores a gain."""
    (voice, _) = SCORER({"vocals": 1.1 * VOICE, "drums": DRUMS}, {"vocals": VOICE, "drums": DRUMS})
    assert voice.whole["global_sdr"] == pytest.approx(20, abs=1e-3)
    assert voice.whole["si_sdr"] > 60


def test_a_full_gpu_falls_back_to_the_cpu() -> None:
    """Scoring falls back to the CPU when the network leaves too little GPU memory."""

    def measure(estimate: torch.Tensor, *others: Any) -> FrameScores:
        if estimate.device.type == "meta":
            raise torch.OutOfMemoryError("no room")
        return bss_eval(estimate, *others)

    waves = {"vocals": VOICE, "drums": DRUMS}
    estimates = {"vocals": VOICE + 0.1 * BASS, "drums": DRUMS + 0.1 * BASS}
    assert Scorer(RATE, RATE, measure, "meta")(estimates, waves) == SCORER(estimates, waves)


@pytest.mark.parametrize(
    ("names", "together"),
    [
        (["vocals", "drums"], [["vocals", "drums"]]),
        (["vocals", "accompaniment"], [["vocals", "accompaniment"]]),
        (["vocals", "no_vocals"], [["vocals", "no_vocals"]]),
        (
            ["vocals", "drums", "accompaniment"],
            [["vocals", "drums"], ["vocals", "accompaniment"]],
        ),
        (["accompaniment", "drums"], [["accompaniment", "drums"]]),
        (["bass"], [["bass"]]),
    ],
)
def test_stems_scored_together(names: list[str], together: list[list[str]]) -> None:
    """As in museval's eval_mus_track, the accompaniment is not scored beside its parts."""
    assert scenarios(names) == together


def test_vocals_have_their_scores_beside_the_accompaniment() -> None:
    references = {"vocals": VOICE, "drums": DRUMS, "bass": BASS, "accompaniment": DRUMS + BASS}
    estimates = {name: wave + 0.1 * noise(9) for name, wave in references.items()}
    scores = by_name(SCORER(estimates, references))
    pair = by_name(
        SCORER({**estimates}, {name: references[name] for name in ("vocals", "accompaniment")})
    )
    three = by_name(
        SCORER(estimates, {name: references[name] for name in ("vocals", "drums", "bass")})
    )
    assert have_equal_scores(scores["vocals"], pair["vocals"])
    assert have_equal_scores(scores["drums"], three["drums"])
    assert scores["vocals"].frames["SIR"] != three["vocals"].frames["SIR"]


def test_instrumental_is_matched_to_the_accompaniment() -> None:
    references = {"vocals": VOICE, "accompaniment": DRUMS}
    estimates = {"instrumental": DRUMS + 0.1 * VOICE, "vocals": VOICE}
    assert [stem.name for stem in SCORER(estimates, references)] == ["vocals", "accompaniment"]


def test_a_single_stem_is_scored_beside_the_rest() -> None:
    """A tenth of the equally loud rest leaks in: an SIR of 20 dB."""
    references, estimates = {"drums": DRUMS, "bass": BASS}, {"drums": DRUMS + 0.1 * BASS}
    (scores,) = SCORER(estimates, references, DRUMS + BASS)
    assert scores.name == "drums"
    assert median(scores.frames["SIR"]) == pytest.approx(20, abs=0.5)


def test_a_stem_without_a_rest_has_no_interference() -> None:
    (scores,) = SCORER({"drums": DRUMS + 0.1 * BASS}, {"drums": DRUMS}, DRUMS)
    assert median(scores.frames["SDR"]) == pytest.approx(20, abs=0.5)
    assert min(scores.frames["SIR"]) > 100


def test_a_silent_stem_has_no_score() -> None:
    silence = torch.zeros_like(VOICE)
    scores = SCORER({"vocals": VOICE, "drums": DRUMS}, {"vocals": VOICE, "drums": silence})
    drums = by_name(scores)["drums"]
    assert all(math.isnan(value) for value in (*drums.frames["SDR"], *drums.whole.values()))


def test_estimates_are_cut_to_the_song() -> None:
    references = {"vocals": VOICE, "drums": DRUMS}
    longer = {name: torch.cat([wave, wave], -1) for name, wave in references.items()}
    assert SCORER(longer, references) == SCORER(references, references)


def test_estimates_that_cannot_be_scored() -> None:
    with pytest.raises(DecodeError, match="guitar is not one of the true stems vocals, drums"):
        SCORER({"guitar": VOICE}, {"vocals": VOICE, "drums": DRUMS})
    with pytest.raises(DecodeError, match="instrumental and no_vocals are two names of one stem"):
        SCORER({"instrumental": VOICE, "no_vocals": VOICE}, {"accompaniment": VOICE})
    with pytest.raises(DecodeError, match="vocals contains NaN or infinity"):
        SCORER({"vocals": torch.full_like(VOICE, math.nan)}, {"vocals": VOICE})
    with pytest.raises(DecodeError, match="vocals is stereo but the true stem is mono"):
        SCORER({"vocals": VOICE.expand(2, -1)}, {"vocals": VOICE})


def test_missing_packages_are_found_before_scoring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a network on the CPU, scoring runs there too."""
    monkeypatch.setattr("model_zoo.errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"museval.*stemcli\[eval\]"):
        find_measure("museval")
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FfmpegMissingError, match="museval needs ffmpeg and ffprobe on PATH"):
        find_measure("museval")
    assert measuring_device("cpu") == "cpu"
