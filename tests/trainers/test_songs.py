"""A run on songs, from a folder to weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.catalogue import resolve
from model_zoo.errors import DecodeError
from stemcli.engine.events import Event
from tests.trainers.commands import RATE
from tests.trainers.data.songs import with_data
from tests.trainers.runs import CPU
from trainers.config import Recipe
from trainers.data.synthetic import LEVELS, render_songs
from trainers.loop.events import StepDone, Validated
from trainers.loop.trainer import train

STEMS = tuple(LEVELS)


@pytest.fixture
def song_recipe(recipe: Recipe) -> Recipe:
    """The tiny recipe for four stems of songs, with one loader worker."""
    options = recipe.model.options | {"stems": list(STEMS)}
    model, loop = replace(recipe.model, options=options), replace(recipe.loop, num_workers=1)
    return with_data(replace(recipe, model=model, loop=loop))


@pytest.mark.parametrize("rate", [RATE, 2 * RATE])
def test_a_run_on_songs_of_any_rate(recordings: Path, song_recipe: Recipe, rate: int) -> None:
    render_songs(recordings / "songs", 2, 2.0, rate)
    held_out = render_songs(recordings / "held", 1, 2.0, rate, seed=1)
    events: list[Event] = []
    folder = recordings / "run"
    best = train(song_recipe, recordings / "songs", tuple(held_out), folder, CPU, events.append)
    assert [event.step for event in events if isinstance(event, StepDone)] == [1, 2, 3, 4]
    scores = [event.sdr for event in events if isinstance(event, Validated)]
    assert [tuple(score) for score in scores] == 2 * [STEMS]
    assert resolve.load(best).stems == STEMS


def test_a_file_damaged_during_a_run_is_one_message(recordings: Path, song_recipe: Recipe) -> None:
    """The error comes from the loader worker, without its traceback."""
    (song,) = render_songs(recordings / "songs", 1, 2.0, RATE)

    def damage(_: Event) -> None:
        (song / "bass.wav").write_bytes(b"")

    long_recipe = replace(song_recipe, schedule=replace(song_recipe.schedule, steps=40))
    with pytest.raises(
        DecodeError, match=r"bass\.wav cannot be read at [\d.]+ s: it is damaged"
    ) as caught:
        train(long_recipe, recordings / "songs", (), recordings / "run", CPU, damage)
    assert "\n" not in str(caught.value)
