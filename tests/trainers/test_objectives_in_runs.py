"""Runs by every objective. Truth: undisturbed runs, one worker, levels by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from model_zoo.catalogue import resolve
from model_zoo.catalogue.install import read_summary
from model_zoo.catalogue.resolve import BEST, LAST
from model_zoo.errors import DataError
from model_zoo.weights import read_safetensors
from stemcli.engine.events import Event
from tests.stemcli.engine.stubs import Stub
from tests.trainers.commands import RATE
from tests.trainers.data.songs import with_data, write_songs
from tests.trainers.frames import LOSSES, with_objective, with_steps
from tests.trainers.runs import CPU, FULL, make_track, run_steps, validation_song, voices
from tests.trainers.test_auxiliary_losses import with_vae
from tests.trainers.test_live_display import screen
from tests.trainers.test_sharded_workers import assert_near, half_a_batch, of_kind
from tests.trainers.two_workers import two_workers
from trainers.cli.dashboard import RunStatistics
from trainers.cli.display import scores
from trainers.config import Recipe
from trainers.data.multitrack import ValidationTrack
from trainers.data.tracks import Source, Track
from trainers.data.training_data import open_data
from trainers.loop.events import ExcerptRendered, Validated
from trainers.loop.loggers.backends import HISTORY
from trainers.loop.trainer import train
from trainers.loop.validation import render_excerpt, validate
from trainers.objectives.base import sdr_of_stems
from trainers.objectives.separation import SeparationObjective


@pytest.mark.parametrize("objective", LOSSES)
def test_a_resumed_run_equals_one_that_nothing_disturbed(
    recordings: Path, recipe: Recipe, objective: str
) -> None:
    """Noise, dropout and revived codes are drawn from generators that checkpoints keep."""
    taught = with_objective(recipe, objective)
    whole = run_steps(taught, 4, recordings, recordings / "whole")
    first = run_steps(taught, 2, recordings, recordings / "parts")
    second = run_steps(taught, 4, recordings, recordings / "parts", resume=True)
    assert [event.losses for event in first + second] == [event.losses for event in whole]
    found, expected = (read_safetensors(recordings / name / LAST)[0] for name in ("parts", "whole"))
    assert all(found[name].equal(value) for name, value in expected.items())
    assert (
        resolve.load(str(recordings / "whole" / BEST)).stems
        == resolve.load(str(recordings / "parts" / BEST)).stems
    )


@pytest.mark.parametrize(
    ("objective", "score", "waves"),
    [
        ("denoising", "noise", []),
        ("phase", "sound", ["mixture", "sound/estimate", "sound/true"]),
        ("codes", "sound", ["mixture", "sound/estimate", "sound/true"]),
    ],
)
def test_songs_are_judged_and_heard_as_the_objective_says(
    recordings: Path, recipe: Recipe, objective: str, score: str, waves: list[str]
) -> None:
    taught, events = with_objective(recipe, objective), list[Event]()
    track = make_track(voices(taught, recordings), recordings / "track")
    train(with_steps(taught, 2), recordings, (track,), recordings / "run", CPU, events.append)
    (judged,) = [event for event in events if isinstance(event, Validated)]
    assert judged.sdr.keys() == {score}
    assert [*judged.findings] == (["codes", "perplexity"] if objective == "codes" else [])
    heard = [event for event in events if isinstance(event, ExcerptRendered)]
    assert [sorted(event.waves) for event in heard] == ([waves] if waves else [])
    for event in heard:
        assert np.array_equal(event.waves["sound/true"], event.waves["mixture"])


@pytest.mark.parametrize(
    ("objective", "judged", "word", "definition"),
    [
        ("separation", "vocals", "SDR", "energy of reference over energy of error"),
        ("denoising", "noise", "SNR", "energy of the noise over energy of the error of its"),
        ("phase", "sound", "SNR", "the song with the predicted phase"),
        ("codes", "sound", "SNR", "the song that is decoded from its codes"),
    ],
)
def test_every_objective_has_its_own_word_for_its_score(
    recordings: Path, recipe: Recipe, objective: str, judged: str, word: str, definition: str
) -> None:
    """In lines for people, in the table that moves, in logs and on the card."""
    taught, events, folder = with_objective(recipe, objective), list[Event](), recordings / "run"
    track = make_track(voices(taught, recordings), recordings / "track")
    train(with_steps(taught, 1), recordings, (track,), folder, CPU, events.append)
    lines, figures = [], RunStatistics(taught)
    for event in events:
        figures.note(event)
        lines += [scores(event, figures)] if isinstance(event, Validated) else []
    (score,) = read_summary(folder).scores
    found = f"{figures.history[-1]:.2f} dB"
    assert lines[0].startswith(f"step 1: {word} {judged} {found}")
    assert f" {word} dB " in screen(figures, 80, 40)
    keys = {key for line in (folder / HISTORY).read_text().splitlines() for key in json.loads(line)}
    known = {f"{word.lower()}/{name}" for name in (judged, "mean", "best")}
    assert {key for key in keys if key.startswith(("sdr/", "snr/"))} == known
    assert (score.metric, score.stem) == (word, judged)
    assert definition in score.definition


def test_songs_need_no_stems_where_mixtures_are_enough(recordings: Path, recipe: Recipe) -> None:
    """Songs with other stems each, one of them a single file, and the sum of all is heard."""
    (recordings / "songs").mkdir()
    _, two = write_songs(recordings / "songs", [2.0, 1.0], ("flute", "horn"))
    (recordings / "songs" / "song0" / "flute.wav").unlink()
    taught = with_data(with_objective(recipe, "denoising"), validation_fraction=0)
    data = open_data(taught, recordings / "songs", (recordings / "songs" / "song1",), ("x",), RATE)
    mixture, stems = data.clips[0]
    assert stems.shape == (0, *mixture.shape)
    assert mixture.any()
    (song,) = data.validation
    assert song.read().stems.shape == (0, 2, RATE)
    parts = [soundfile.read(source.path)[0].T for source in two.sources]
    np.testing.assert_allclose(song.read().mixture, sum(parts), atol=1e-6)


def test_silence_alone_is_refused(recordings: Path, recipe: Recipe) -> None:
    """Also where no stem is needed, and with a name that no network knows."""
    for name, level in (("one", 0.0), ("two", 0.1)):
        (recordings / "songs" / name).mkdir(parents=True)
        wave = np.full((RATE, 2), level)
        soundfile.write(recordings / "songs" / name / "flute.wav", wave, RATE, "FLOAT")
    taught = with_data(with_objective(recipe, "denoising"), validation_fraction=0)
    assert open_data(taught, recordings / "songs", (), (), RATE).songs == 2
    (recordings / "songs" / "two" / "flute.wav").unlink()
    with pytest.raises(DataError, match=r"every song is silent\. Choose other songs with --data"):
        open_data(taught, recordings / "songs", (), (), RATE)


def moved(folder: Path) -> dict[str, Tensor]:
    """A checkpoint without biases of keys: they change no attention, so rounding alone moves them,
    and AdamW makes whole steps of that.
    """
    found = read_safetensors(folder / LAST)[0]
    idle = {name.split(".", 1)[1] for name in found if name.endswith("k_norm.bias")}
    return {
        name: value
        for name, value in found.items()
        if name.startswith("model.") and name.split(".", 1)[1] not in idle
    }


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["codes", "denoising", "phase"])
def test_two_workers_share_an_objective(recordings: Path, recipe: Recipe, objective: str) -> None:
    """Truth: one worker with both batches, where nothing is drawn; for noise, and for networks in
    two parts, whole networks by the same recipe. No two workers draw the same noise.
    """
    taught = with_steps(with_objective(recipe, objective, dropout=0.0), 2)
    whole, other = two_workers(half_a_batch(taught), recordings)
    assert of_kind(whole, "returned", "drawn") != of_kind(other, "returned", "drawn")
    (recordings / "rank0").rename(recordings / "whole")
    parts, _ = two_workers(half_a_batch(taught), recordings, kind="sharded")
    assert_near(moved(recordings / "rank0"), moved(recordings / "whole"), 1e-5)
    norms = of_kind(whole, "step_done", "gradient_norms")
    assert of_kind(parts, "step_done", "gradient_norms") == [pytest.approx(x, 1e-4) for x in norms]
    if objective != "denoising":
        alone = run_steps(taught, 2, recordings, recordings / "alone")
        assert norms == [pytest.approx(step.gradient_norms, 1e-3) for step in alone]


@pytest.mark.slow
def test_two_workers_share_a_code_book(recordings: Path, recipe: Recipe) -> None:
    """Truth: one worker with both batches; they count codes together, as buffers say."""
    taught = with_steps(with_objective(recipe, "codes", dropout=0.0), 3)
    whole, _ = two_workers(half_a_batch(taught), recordings)
    alone = run_steps(taught, 3, recordings, recordings / "alone")
    norms = of_kind(whole, "step_done", "gradient_norms")
    assert norms == [pytest.approx(step.gradient_norms, 1e-3) for step in alone]
    assert_near(moved(recordings / "rank0"), moved(recordings / "alone"), 1e-4)


@pytest.mark.slow
def test_two_workers_put_codes_to_the_same_place(recordings: Path, recipe: Recipe) -> None:
    """Truth: whole networks by the same recipe, for networks in two parts, which would be put
    together from two different books if workers did not agree.
    """
    taught = with_steps(with_objective(recipe, "codes", dropout=0.0, patience=1), 3)
    two_workers(half_a_batch(taught), recordings)
    (recordings / "rank0").rename(recordings / "whole")
    two_workers(half_a_batch(taught), recordings, kind="sharded")
    assert_near(moved(recordings / "rank0"), moved(recordings / "whole"), 1e-4)


@pytest.mark.slow
def test_two_workers_draw_latent_variables_of_their_own(recordings: Path, recipe: Recipe) -> None:
    """Truth: a run alone, which hears and draws in its first step what the first of two does."""
    taught = half_a_batch(with_steps(with_vae(recipe, 0.5), 1))
    first, second = two_workers(taught, recordings)
    assert of_kind(first, "returned", "drawn") != of_kind(second, "returned", "drawn")
    (step,) = run_steps(taught, 1, recordings, recordings / "alone")
    (losses,) = of_kind(first, "step_done", "losses")
    assert losses == pytest.approx(step.losses, rel=1e-4)


class Levelled(Stub):
    """Gives back what it hears, and notes the loudest sample of all."""

    needs_peak_level = True
    loudest = 0.0

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        self.loudest = max(self.loudest, mixture.abs().max().item())
        return mixture


def quiet_song(folder: Path) -> ValidationTrack:
    """Two seconds at 0.1, of which only the middle is used, and one sample of 0.4 at the end."""
    wave = np.full((2 * RATE, 2), 0.1)
    wave[-1] = 0.4
    for name in ("mixture", "vocals"):
        soundfile.write(folder / f"{name}.wav", wave, RATE, "FLOAT")
    return replace(validation_song(folder, ("vocals",)), seconds=1.0)


def levelled() -> Levelled:
    model = Levelled(channels=2, sample_rate=RATE, segment=RATE)
    model.register_parameter("somewhere", torch.nn.Parameter(torch.zeros(1)))
    return model


def test_a_levelled_network_hears_songs_with_a_peak_of_1(recordings: Path) -> None:
    """0.1 of a whole song's 0.4 is a quarter; the stems come back at the level of the song."""
    song, model = quiet_song(recordings), levelled()
    assert song.peak == pytest.approx(0.4)
    objective = SeparationObjective(Recipe(losses={"waveform_l1": 1.0}), model)
    scores = validate(objective, model, [song], CPU, FULL)
    assert model.loudest == pytest.approx(0.25)
    assert scores["vocals"] > 100
    model.loudest = 0.0
    heard = render_excerpt(model, song.read(), 1, 0.5, level=song.peak)
    assert model.loudest == pytest.approx(0.25)
    np.testing.assert_allclose(heard.waves["vocals/estimate"], 0.1, rtol=1e-5)


def test_other_networks_hear_songs_as_they_are(recordings: Path) -> None:
    song, model = quiet_song(recordings), levelled()
    track = song.read()
    sdr_of_stems(model, track.mixture, track.stems, FULL)
    assert model.loudest == pytest.approx(0.1)


def test_the_peak_of_a_song_without_a_mixture_is_that_of_the_sum(recordings: Path) -> None:
    """Stems of 0.3 and -0.5 make a mixture of 0.2, and one of 0.4 when the second file
    changes; silence is left as it is.
    """
    for name, level in (("a", 0.3), ("b", -0.5), ("silence", 0.0)):
        soundfile.write(recordings / f"{name}.wav", np.full((RATE, 2), level), RATE, "FLOAT")
    sources = {name: Source(recordings / f"{name}.wav") for name in ("a", "b", "silence")}
    both = Track("song", {name: sources[name] for name in ("a", "b")})
    assert ValidationTrack("song", both, (), RATE).peak == pytest.approx(0.2)
    silent = Track("song", {"silence": sources["silence"]})
    assert ValidationTrack("song", silent, (), RATE).peak == 1.0
    soundfile.write(sources["b"].path, np.full((RATE, 2), -0.7), RATE, "FLOAT")
    assert ValidationTrack("song", both, (), RATE).peak == pytest.approx(0.4)
