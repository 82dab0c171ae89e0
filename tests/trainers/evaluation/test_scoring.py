"""Which stems are judged together, and what is paired with what."""

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

JUDGE = Scorer(RATE, RATE)
VOICE, DRUMS, BASS = (noise(seed) for seed in (1, 2, 3))


def by_name(scores: tuple[StemScores, ...]) -> dict[str, StemScores]:
    return {stem.name: stem for stem in scores}


def same(one: StemScores, other: StemScores) -> bool:
    return one.frames == other.frames and one.whole == other.whole


def test_the_order_of_estimates_means_nothing() -> None:
    """By name, never by order, which museval's eval_dir takes from the file system."""
    true = {"vocals": VOICE, "drums": DRUMS, "bass": BASS}
    made = {name: wave + 0.1 * noise(9) for name, wave in true.items()}
    backwards = dict(reversed(made.items()))
    assert JUDGE(backwards, true) == JUDGE(made, true)
    assert [stem.name for stem in JUDGE(backwards, true)] == [*true]


def test_global_scores_by_hand() -> None:
    """A tenth of the amplitude of the stem itself as error: 20 dB; SI-SDR does not mind a gain."""
    (voice, _) = JUDGE({"vocals": 1.1 * VOICE, "drums": DRUMS}, {"vocals": VOICE, "drums": DRUMS})
    assert voice.whole["global_sdr"] == pytest.approx(20, abs=1e-3)
    assert voice.whole["si_sdr"] > 60


def test_a_full_gpu_leaves_it_to_the_processor() -> None:
    """The network has most of its memory."""

    def measure(made: torch.Tensor, *others: Any) -> FrameScores:
        if made.device.type == "meta":
            raise torch.OutOfMemoryError("no room")
        return bss_eval(made, *others)

    waves = {"vocals": VOICE, "drums": DRUMS}
    made = {"vocals": VOICE + 0.1 * BASS, "drums": DRUMS + 0.1 * BASS}
    assert Scorer(RATE, RATE, measure, "meta")(made, waves) == JUDGE(made, waves)


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
def test_what_is_judged_together(names: list[str], together: list[list[str]]) -> None:
    """As museval's eval_mus_track has it: the sum of the others is no stem beside them."""
    assert scenarios(names) == together


def test_vocals_have_the_scores_of_the_pair() -> None:
    true = {"vocals": VOICE, "drums": DRUMS, "bass": BASS, "accompaniment": DRUMS + BASS}
    made = {name: wave + 0.1 * noise(9) for name, wave in true.items()}
    whole = by_name(JUDGE(made, true))
    pair = by_name(JUDGE({**made}, {name: true[name] for name in ("vocals", "accompaniment")}))
    three = by_name(JUDGE(made, {name: true[name] for name in ("vocals", "drums", "bass")}))
    assert same(whole["vocals"], pair["vocals"])
    assert same(whole["drums"], three["drums"])
    assert whole["vocals"].frames["SIR"] != three["vocals"].frames["SIR"]


def test_instrumental_is_the_accompaniment() -> None:
    true = {"vocals": VOICE, "accompaniment": DRUMS}
    made = {"instrumental": DRUMS + 0.1 * VOICE, "vocals": VOICE}
    assert [stem.name for stem in JUDGE(made, true)] == ["vocals", "accompaniment"]


def test_a_stem_alone_is_judged_beside_the_rest() -> None:
    """A tenth of the rest leaks in: 20 dB from the stem to that, when both are as loud."""
    true, made = {"drums": DRUMS, "bass": BASS}, {"drums": DRUMS + 0.1 * BASS}
    (scores,) = JUDGE(made, true, DRUMS + BASS)
    assert scores.name == "drums"
    assert median(scores.frames["SIR"]) == pytest.approx(20, abs=0.5)


def test_a_stem_alone_in_the_world_has_no_interference() -> None:
    (scores,) = JUDGE({"drums": DRUMS + 0.1 * BASS}, {"drums": DRUMS}, DRUMS)
    assert median(scores.frames["SDR"]) == pytest.approx(20, abs=0.5)
    assert min(scores.frames["SIR"]) > 100


def test_a_silent_stem_has_no_score() -> None:
    silence = torch.zeros_like(VOICE)
    scores = JUDGE({"vocals": VOICE, "drums": DRUMS}, {"vocals": VOICE, "drums": silence})
    drums = by_name(scores)["drums"]
    assert all(math.isnan(value) for value in (*drums.frames["SDR"], *drums.whole.values()))


def test_estimates_are_fitted_to_the_song() -> None:
    true = {"vocals": VOICE, "drums": DRUMS}
    longer = {name: torch.cat([wave, wave], -1) for name, wave in true.items()}
    assert JUDGE(longer, true) == JUDGE(true, true)


def test_what_cannot_be_judged() -> None:
    with pytest.raises(DecodeError, match="guitar is not one of the true stems vocals, drums"):
        JUDGE({"guitar": VOICE}, {"vocals": VOICE, "drums": DRUMS})
    with pytest.raises(DecodeError, match="instrumental and no_vocals are two names of one stem"):
        JUDGE({"instrumental": VOICE, "no_vocals": VOICE}, {"accompaniment": VOICE})
    with pytest.raises(DecodeError, match="vocals contains NaN or infinity"):
        JUDGE({"vocals": torch.full_like(VOICE, math.nan)}, {"vocals": VOICE})
    with pytest.raises(DecodeError, match="vocals is stereo but the true stem is mono"):
        JUDGE({"vocals": VOICE.expand(2, -1)}, {"vocals": VOICE})


def test_what_is_installed_is_asked_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And measuring beside a network on the processor is done there."""
    monkeypatch.setattr("model_zoo.errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"museval.*stemcli\[eval\]"):
        find_measure("museval")
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FfmpegMissingError, match="museval needs ffmpeg and ffprobe on PATH"):
        find_measure("museval")
    assert measuring_device("cpu") == "cpu"
