"""Runs with every objective, compared with uninterrupted runs and with a single worker."""

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
from trainers.cli.display import scores
from trainers.cli.run_statistics import RunStatistics
from trainers.config import LogRecipe, Recipe
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
def test_a_resumed_run_continues_bit_for_bit(
    recordings: Path, recipe: Recipe, objective: str
) -> None:
    """Noise, dropout and revived codes are drawn from generators that checkpoints keep."""
    variant = with_objective(recipe, objective)
    full = run_steps(variant, 4, recordings, recordings / "full")
    first = run_steps(variant, 2, recordings, recordings / "parts")
    second = run_steps(variant, 4, recordings, recordings / "parts", resume=True)
    assert [event.losses for event in first + second] == [event.losses for event in full]
    found, expected = (read_safetensors(recordings / name / LAST)[0] for name in ("parts", "full"))
    assert all(found[name].equal(value) for name, value in expected.items())
    assert (
        resolve.load(str(recordings / "full" / BEST)).stems
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
def test_scores_and_excerpts_of_every_objective(
    recordings: Path, recipe: Recipe, objective: str, score: str, waves: list[str]
) -> None:
    variant, events = with_objective(recipe, objective), list[Event]()
    variant = replace(variant, log=LogRecipe(songs=1))
    track = make_track(voices(variant, recordings), recordings / "track")
    train(with_steps(variant, 2), recordings, (track,), recordings / "run", CPU, events.append)
    (validated,) = [event for event in events if isinstance(event, Validated)]
    assert validated.sdr.keys() == {score}
    assert [*validated.diagnostics] == (["codes", "perplexity"] if objective == "codes" else [])
    excerpts = [event for event in events if isinstance(event, ExcerptRendered)]
    assert [sorted(event.waves) for event in excerpts] == ([waves] if waves else [])
    for event in excerpts:
        assert np.array_equal(event.waves["sound/true"], event.waves["mixture"])


@pytest.mark.parametrize(
    ("objective", "output", "metric", "definition"),
    [
        ("separation", "vocals", "SDR", "energy of reference over energy of error"),
        ("denoising", "noise", "SNR", "energy of the noise over energy of the error of its"),
        ("phase", "sound", "SNR", "the song with the predicted phase"),
        ("codes", "sound", "SNR", "the song that is decoded from its codes"),
    ],
)
def test_every_objective_names_its_metric(
    recordings: Path, recipe: Recipe, objective: str, output: str, metric: str, definition: str
) -> None:
    """Plain lines, the live table, logs and the summary all use the objective's metric."""
    variant, events, folder = with_objective(recipe, objective), list[Event](), recordings / "run"
    track = make_track(voices(variant, recordings), recordings / "track")
    train(with_steps(variant, 1), recordings, (track,), folder, CPU, events.append)
    lines, statistics = [], RunStatistics(variant)
    for event in events:
        statistics.note(event)
        lines += [scores(event, statistics)] if isinstance(event, Validated) else []
    (score,) = read_summary(folder).scores
    found = f"{statistics.history[-1]:.2f} dB"
    assert lines[0].startswith(f"step 1: {metric} {output} {found}")
    assert f" {metric} dB " in screen(statistics, 80, 40)
    keys = {key for line in (folder / HISTORY).read_text().splitlines() for key in json.loads(line)}
    known = {f"{metric.lower()}/{name}" for name in (output, "mean", "best")}
    assert {key for key in keys if key.startswith(("sdr/", "snr/"))} == known
    assert (score.metric, score.stem) == (metric, output)
    assert definition in score.definition


def test_objectives_without_stems_use_any_songs(recordings: Path, recipe: Recipe) -> None:
    """Songs may have different stems, or one file; their mixture is the sum of all."""
    (recordings / "songs").mkdir()
    _, two = write_songs(recordings / "songs", [2.0, 1.0], ("flute", "horn"))
    (recordings / "songs" / "song0" / "flute.wav").unlink()
    variant = with_data(with_objective(recipe, "denoising"), validation_fraction=0)
    data = open_data(variant, recordings / "songs", (recordings / "songs" / "song1",), ("x",), RATE)
    mixture, stems = data.clips[0]
    assert stems.shape == (0, *mixture.shape)
    assert mixture.any()
    (song,) = data.validation
    assert song.read().stems.shape == (0, 2, RATE)
    parts = [soundfile.read(source.path)[0].T for source in two.sources]
    np.testing.assert_allclose(song.read().mixture, sum(parts), atol=1e-6)


def test_silent_data_is_refused(recordings: Path, recipe: Recipe) -> None:
    """Silence is refused even if no stem is needed, and for stems that no network knows."""
    for name, level in (("one", 0.0), ("two", 0.1)):
        (recordings / "songs" / name).mkdir(parents=True)
        wave = np.full((RATE, 2), level)
        soundfile.write(recordings / "songs" / name / "flute.wav", wave, RATE, "FLOAT")
    variant = with_data(with_objective(recipe, "denoising"), validation_fraction=0)
    assert open_data(variant, recordings / "songs", (), (), RATE).songs == 2
    (recordings / "songs" / "two" / "flute.wav").unlink()
    with pytest.raises(DataError, match="every song is silent: choose other songs"):
        open_data(variant, recordings / "songs", (), (), RATE)


def model_weights(folder: Path) -> dict[str, Tensor]:
    """Model weights of a checkpoint, without the biases of keys.

    They do not change attention, so their gradients are rounding errors, which AdamW amplifies.
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
def test_two_workers_learn_an_objective_together(
    recordings: Path, recipe: Recipe, objective: str
) -> None:
    """Sharded workers train as unsharded ones do, and each worker draws its own noise.

    Where nothing is drawn, both also train as one worker with both batches.
    """
    variant = with_steps(with_objective(recipe, objective, dropout=0.0), 2)
    unsharded, other = two_workers(half_a_batch(variant), recordings)
    assert of_kind(unsharded, "returned", "drawn") != of_kind(other, "returned", "drawn")
    (recordings / "rank0").rename(recordings / "full")
    sharded, _ = two_workers(half_a_batch(variant), recordings, kind="sharded")
    assert_near(model_weights(recordings / "rank0"), model_weights(recordings / "full"), 1e-5)
    norms = of_kind(unsharded, "step_done", "gradient_norms")
    assert of_kind(sharded, "step_done", "gradient_norms") == [
        pytest.approx(x, 1e-4) for x in norms
    ]
    if objective != "denoising":
        alone = run_steps(variant, 2, recordings, recordings / "alone")
        assert norms == [pytest.approx(step.gradient_norms, 1e-3) for step in alone]


@pytest.mark.slow
def test_two_workers_learn_a_codebook_together(recordings: Path, recipe: Recipe) -> None:
    """Reference: one worker with both batches. Workers count codes together, in buffers."""
    variant = with_steps(with_objective(recipe, "codes", dropout=0.0), 3)
    first, _ = two_workers(half_a_batch(variant), recordings)
    alone = run_steps(variant, 3, recordings, recordings / "alone")
    norms = of_kind(first, "step_done", "gradient_norms")
    assert norms == [pytest.approx(step.gradient_norms, 1e-3) for step in alone]
    assert_near(model_weights(recordings / "rank0"), model_weights(recordings / "alone"), 1e-4)


@pytest.mark.slow
def test_two_workers_revive_codes_alike(recordings: Path, recipe: Recipe) -> None:
    """Reference: unsharded workers with the same recipe.

    If workers did not agree, a sharded network would consist of parts of two different books.
    """
    variant = with_steps(with_objective(recipe, "codes", dropout=0.0, patience=1), 3)
    two_workers(half_a_batch(variant), recordings)
    (recordings / "rank0").rename(recordings / "full")
    two_workers(half_a_batch(variant), recordings, kind="sharded")
    assert_near(model_weights(recordings / "rank0"), model_weights(recordings / "full"), 1e-4)


@pytest.mark.slow
def test_two_workers_draw_different_latent_variables(recordings: Path, recipe: Recipe) -> None:
    """Reference: a single worker, whose first step has the clips and draws of the first of two."""
    variant = half_a_batch(with_steps(with_vae(recipe, 0.5), 1))
    first, second = two_workers(variant, recordings)
    assert of_kind(first, "returned", "drawn") != of_kind(second, "returned", "drawn")
    (step,) = run_steps(variant, 1, recordings, recordings / "alone")
    (losses,) = of_kind(first, "step_done", "losses")
    assert losses == pytest.approx(step.losses, rel=1e-4)


class PeakLevelled(Stub):
    """Returns its input, and records its loudest sample."""

    level = "peak"
    loudest = 0.0

    def estimate(self, mixture: Tensor, stem: int) -> Tensor:
        self.loudest = max(self.loudest, mixture.abs().max().item())
        return mixture


def quiet_song(folder: Path) -> ValidationTrack:
    """Two seconds at 0.1 with a last sample of 0.4; only the second in the middle is used."""
    wave = np.full((2 * RATE, 2), 0.1)
    wave[-1] = 0.4
    for name in ("mixture", "vocals"):
        soundfile.write(folder / f"{name}.wav", wave, RATE, "FLOAT")
    return replace(validation_song(folder, ("vocals",)), seconds=1.0)


def peak_levelled_network() -> PeakLevelled:
    model = PeakLevelled(channels=2, sample_rate=RATE, segment=RATE)
    model.register_parameter("somewhere", torch.nn.Parameter(torch.zeros(1)))
    return model


def test_a_peak_levelled_network_receives_songs_with_a_peak_of_1(recordings: Path) -> None:
    """0.1 divided by the song's peak of 0.4 is a quarter; stems get the level of the song back."""
    song, model = quiet_song(recordings), peak_levelled_network()
    assert song.peak == pytest.approx(0.4)
    objective = SeparationObjective(Recipe(losses={"waveform_l1": 1.0}), model)
    scores = validate(objective, model, [song], CPU, FULL)
    assert model.loudest == pytest.approx(0.25)
    assert scores["vocals"] > 100
    model.loudest = 0.0
    excerpt = render_excerpt(model, song.read(), 1, 0.5, level=song.peak)
    assert model.loudest == pytest.approx(0.25)
    np.testing.assert_allclose(excerpt.waves["vocals/estimate"], 0.1, rtol=1e-5)


def test_other_networks_receive_songs_unchanged(recordings: Path) -> None:
    song, model = quiet_song(recordings), peak_levelled_network()
    track = song.read()
    sdr_of_stems(model, track.mixture, track.stems, FULL)
    assert model.loudest == pytest.approx(0.1)


def test_the_peak_of_a_song_without_a_mixture_is_that_of_its_sum(recordings: Path) -> None:
    """Stems of 0.3 and -0.5 have a mixture of 0.2, or 0.4 once the second file changes.

    Silence has no level to normalize, so its peak counts as 1.
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
