"""Vocals over instrumentals. Truth: constant sounds, so that a clip tells what was done to it.

Shares are binomial: of N clips, N p give or take 4 sqrt(N p (1 - p)), beyond which chance lies once
in 16,000 tries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from model_zoo.errors import ConfigError, DataError
from tests.trainers.commands import RATE
from tests.trainers.data.songs import clips_of, with_augmentation, with_data
from tests.trainers.data.songs_on_disk import recipe as data_recipe
from tests.trainers.data.songs_on_disk import write
from tests.trainers.frames import with_objective, with_steps
from tests.trainers.runs import CPU
from trainers.config import Recipe, VoxaugRecipe
from trainers.data import recording
from trainers.data.layouts.survey import inspect, survey
from trainers.data.mixing import SongClips, VoxaugMixes
from trainers.data.training_data import open_data
from trainers.loop.checks import check_schedule
from trainers.loop.trainer import train
from trainers.recipes.loading import load_recipe

BOTH = ("vocals", "instrumental")
CLIPS = 600


def sound(path: Path, *sides: float, seconds: float = 1.0, peak: float = 0.0) -> None:
    """A constant on each side, and maybe one louder sample at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.tile(np.array(sides), (round(seconds * RATE), 1))
    if peak:
        wave[-1] = peak
    soundfile.write(path, wave, RATE, "FLOAT")


@pytest.fixture
def libraries(recordings: Path) -> Path:
    """An instrumental of 0.1 and 0.2, vocals of 0.02 and 0.06: every sum of sides is another."""
    folder = recordings / "libraries"
    sound(folder / "instrumentals" / "a.wav", 0.1, 0.2)
    sound(folder / "vocals" / "deep" / "b.wav", 0.02, 0.06)
    return folder


def mixes(
    folder: Path,
    recipe: Recipe,
    stems: Sequence[str] = BOTH,
    seed: int = 5,
    *,
    needs_peak_level: bool = False,
    **chances: float,
) -> SongClips:
    """Clips of a tenth of a second."""
    values = {"voxaug": chances, "clip_seconds": 0.1, "layout": "voxaug"}
    songs = survey(data_recipe(**values), folder, tuple(stems)).training
    taught = with_data(recipe, **values)
    return clips_of(
        songs, taught, tuple(stems), VoxaugMixes, seed, needs_peak_level=needs_peak_level
    )


def assert_share(count: int, total: int, share: float) -> None:
    assert abs(count - total * share) <= 4 * math.sqrt(total * share * (1 - share))


def sides(clip: torch.Tensor, unit: float) -> tuple[float, float]:
    left, right = (round(float(side[0]) / unit, 3) for side in clip)
    return left, right


def drawn(clips: SongClips) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Vocals in units of a hundredth, and the instrumental in tenths, at the level of the files."""
    found = []
    for index in range(CLIPS):
        mixture, (vocals, instrumental) = clips[index]
        torch.testing.assert_close(vocals + instrumental, mixture)
        level = float(instrumental[:, 0].sum()) / 0.3  # the instrumental's sides add up to 0.3
        found.append((sides(vocals, 0.01 * level), sides(instrumental, 0.1 * level)))
    return found


def test_clips_are_mixed_with_the_chances_of_the_description(
    libraries: Path, recipe: Recipe
) -> None:
    """Without vocals are 1 - 0.98 (1 - 0.025) of all clips; each way has its own share."""
    found = drawn(mixes(libraries, recipe))
    sung = [(vocals, band) for vocals, band in found if vocals != (0, 0)]
    assert_share(CLIPS - len(sung), CLIPS, 1 - 0.98 * 0.975)
    assert {band for _, band in found} == {(1.0, 2.0), (2.0, 1.0)}
    assert_share(sum(band == (2.0, 1.0) for _, band in found), CLIPS, 0.5)
    whole = [(vocals, band) for vocals, band in sung if 0 not in vocals]
    assert {vocals for vocals, _ in whole} == {(2.0, 6.0), (6.0, 2.0)}
    assert_share(len(sung) - len(whole), len(sung), 0.025)
    apart = [(vocals[0] > vocals[1]) != (band[0] > band[1]) for vocals, band in whole]
    assert_share(sum(apart), len(whole), 0.5)
    muted = [vocals for vocals, _ in sung if 0 in vocals]
    assert {vocals.index(0) for vocals in muted} == {0, 1}


def test_second_vocals_join_the_first(libraries: Path, recipe: Recipe) -> None:
    """Two of the same sound are 2 + 2 or 2 + 6 on a side, in 0.3 of the clips with vocals."""
    found = drawn(mixes(libraries, recipe, second_vocals=0.3, mute=0.0, no_vocals=0.0, vocals=1.0))
    assert {vocals for vocals, _ in found} == {(2, 6), (6, 2), (4, 12), (12, 4), (8, 8)}
    assert_share(sum(sum(vocals) == 16 for vocals, _ in found), CLIPS, 0.3)


@pytest.mark.parametrize(
    ("chances", "vocals"),
    [
        ({"vocals": 0.0}, {(0, 0)}),
        ({"no_vocals": 1.0}, {(0, 0)}),
        ({"vocals": 1.0, "no_vocals": 0.0, "mute": 0.0, "swap": 0.0}, {(2, 6)}),
        ({"vocals": 1.0, "no_vocals": 0.0, "mute": 1.0, "swap": 0.0}, {(0, 6), (2, 0)}),
    ],
)
def test_chances_of_none_and_of_all(
    libraries: Path, recipe: Recipe, chances: dict[str, float], vocals: set[tuple[float, float]]
) -> None:
    clips = mixes(libraries, recipe, **chances)
    level = [float(clips[i][1][1][:, 0].sum()) / 0.3 for i in range(30)]
    assert {sides(clips[i][1][0], 0.01 * level[i]) for i in range(30)} == vocals


def test_a_clip_depends_on_seed_and_number_alone(libraries: Path, recipe: Recipe) -> None:
    clips, twin = mixes(libraries, recipe), mixes(libraries, recipe)
    other = mixes(libraries, recipe, seed=6)
    later = {index: clips[index] for index in (40, 3, 17, 0, 9, 25)}
    for index, (mixture, stems) in later.items():
        assert mixture.equal(twin[index][0])
        assert stems.equal(twin[index][1])
    assert any(not later[index][0].equal(other[index][0]) for index in later)


def test_the_network_is_given_the_stems_it_asks_for(libraries: Path, recipe: Recipe) -> None:
    both = mixes(libraries, recipe)
    for place, stem in enumerate(BOTH):
        alone = mixes(libraries, recipe, (stem,))
        for index in range(5):
            mixture, (only,) = alone[index]
            assert mixture.equal(both[index][0])
            assert only.equal(both[index][1][place])


@pytest.mark.parametrize(("peak", "divisor"), [(0.8, 0.8), (0.0, 0.26)])
def test_clips_are_brought_to_the_level_of_the_whole_song(
    recordings: Path, recipe: Recipe, peak: float, divisor: float
) -> None:
    """A recording that somewhere reaches 0.8 is divided by that; one that never exceeds its clip's
    0.2 + 0.06 by the clip's. Networks that hear songs as they are hear clips so, too.
    """
    sound(recordings / "x" / "instrumental" / "a.wav", 0.1, 0.2, seconds=3.0, peak=peak)
    sound(recordings / "x" / "vocals" / "b.wav", 0.02, 0.06)
    chances = {"vocals": 1.0, "no_vocals": 0.0, "swap": 0.0, "mute": 0.0}
    clips = mixes(recordings / "x", recipe, needs_peak_level=True, **chances)
    mixture, (vocals, _) = clips[1]
    assert sides(mixture, 1.0) == (round(0.12 / divisor, 3), round(0.26 / divisor, 3))
    assert sides(vocals, 1.0) == (round(0.02 / divisor, 3), round(0.06 / divisor, 3))
    as_it_is, _ = mixes(recordings / "x", recipe, **chances)[1]
    assert sides(as_it_is, 1.0) == (0.12, 0.26)


def test_the_peak_of_a_recording_is_read_once(
    libraries: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process, which remembers nothing itself, finds what was written down."""
    first = mixes(libraries, recipe, needs_peak_level=True)[0][0]
    recording.recording_peak.cache_clear()

    def refuse(*_: object) -> None:
        raise AssertionError("it was read again")

    monkeypatch.setattr(recording, "open_audio", refuse)
    assert mixes(libraries, recipe, needs_peak_level=True)[0][0].equal(first)


def test_silent_places_of_vocals_are_passed_over(recordings: Path, recipe: Recipe) -> None:
    """Vocals that rest four fifths of the time: 8 tries for each clip find none in 0.8^8 = 17 %."""
    wave = np.zeros((10 * RATE, 2))
    wave[: 2 * RATE] = 0.1
    sound(recordings / "x" / "instrumental" / "a.wav", 0.1, 0.2)
    sound(recordings / "x" / "vocals" / "b.wav", 0.1, 0.1)
    soundfile.write(recordings / "x" / "vocals" / "b.wav", wave, RATE)
    clips = mixes(recordings / "x", recipe, vocals=1.0, no_vocals=0.0, mute=0.0)
    silent = sum(not clips[index][1][0].any() for index in range(400))
    assert_share(silent, 400, 0.8**8)


def test_an_own_mixture_is_heard_where_nothing_is_laid_over(
    recordings: Path, recipe: Recipe
) -> None:
    """Its vocals are what the instrumental leaves of it: 0.05."""
    sound(recordings / "x" / "instrumental" / "a.wav", 0.1, 0.2)
    sound(recordings / "x" / "mixture" / "a.wav", 0.15, 0.25)
    sound(recordings / "x" / "vocals" / "b.wav", 0.02, 0.06)
    clips = mixes(recordings / "x", recipe, vocals=0.0, no_vocals=0.0, swap=0.0)
    mixture, (vocals, instrumental) = clips[0]
    assert sides(mixture, 1.0) == (0.15, 0.25)
    assert sides(vocals, 1.0) == (0.05, 0.05)
    assert sides(instrumental, 1.0) == (0.1, 0.2)


def test_an_epoch_hears_every_part_of_every_instrumental(recordings: Path, recipe: Recipe) -> None:
    """Of 0.5 and 0.3 s, which hold 5 and 3 clips of a tenth; vocals do not count."""
    sound(recordings / "x" / "instrumental" / "a.wav", 0.1, 0.1, seconds=0.5)
    sound(recordings / "x" / "instrumental" / "b.wav", 0.2, 0.2, seconds=0.3)
    sound(recordings / "x" / "vocals" / "c.wav", 0.02, 0.06, seconds=7.0)
    clips = mixes(recordings / "x", recipe, vocals=0.0)
    assert clips.epoch == 8
    assert sorted(clips.slots.at(index).song for index in range(8)) == [0] * 5 + [1] * 3


@pytest.mark.parametrize("name", ["vocals", "instrumentals"])
def test_a_silent_library_is_refused(recordings: Path, recipe: Recipe, name: str) -> None:
    """Also the one that the network does not give: nothing could be learned from it."""
    for library in ("vocals", "instrumentals"):
        level = 0.0 if library == name else 0.1
        sound(recordings / "x" / library / "a.wav", level, level)
    other = "instrumental" if name == "vocals" else "vocals"
    with pytest.raises(DataError, match=f"every file in {name}/ is silent: add files with sound"):
        open_data(with_data(recipe), recordings / "x", (), (other,), RATE)


def test_songs_to_validate_are_made_of_files_held_out(recordings: Path) -> None:
    """Instrumental number i with vocals number i modulo their count, as long as the shorter; no
    file of them is trained on, and the user's own songs come first.
    """
    for number in range(12):
        sound(recordings / "x" / "instrumentals" / f"{number:02d}.wav", 0.1, 0.2, seconds=2.0)
    for number in range(4):
        sound(recordings / "x" / "vocals" / f"{number}.wav", 0.02, 0.06, seconds=1.5 + number)
    found = survey(data_recipe(validation_fraction=0.4), recordings / "x", BOTH)
    sung = sorted({song.stems["vocals"].path.stem for song in found.validation})
    band = [song.stems["instrumental"].path.stem for song in found.validation]
    assert len(band) > len(sung) >= 1
    assert band == sorted(band)
    pairs = [song.stems["vocals"].path.stem for song in found.validation]
    assert pairs == [sung[number % len(sung)] for number in range(len(band))]
    trained = {source.path for song in found.training for source in song.sources}
    held = {source.path for song in found.validation for source in song.sources}
    assert not trained & held
    assert len(trained | held) == 16
    data = Recipe(data=data_recipe(validation_fraction=0.4), losses={"waveform_l1": 1.0})
    track = open_data(data, recordings / "x", (), BOTH, RATE).validation[0].read()
    assert track.mixture.shape[1] in (1.5 * RATE, 2 * RATE)
    torch.testing.assert_close(track.stems.sum(0), track.mixture)
    write(recordings, "mine/{mixture,vocals,instrumental}.wav")
    named = survey(
        data_recipe(validation_fraction=0.4), recordings / "x", BOTH, (recordings / "mine",)
    )
    assert [song.name for song in named.validation] == ["mine"]
    assert len(named.training) == 16


def test_small_libraries_keep_all_of_their_files(tmp_path: Path) -> None:
    write(tmp_path, "instrumentals/{1,2,3,4,5}.wav", "vocals/{6,7}.wav")
    found = survey(data_recipe(validation_fraction=0.4), tmp_path, BOTH)
    assert (len(found.training), found.validation) == (7, ())
    assert found.summary[-1] == (
        "Nothing held out for validation: there are fewer than 3 files in vocals/. Use --validation"
        " DIR"
    )


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("sung", ["{a,b,c}", "{a,b,c,d,e,f,g}", "{e,f,g,h,i}", "{v,w,x,y}"])
def test_no_song_is_in_both_parts(tmp_path: Path, share: float, sung: str) -> None:
    """A mixture has the vocals of its song, which may be in the library of vocals; and takes of one
    name in two folders of a library are one song. Each library keeps something to train on.
    """
    write(tmp_path, "{instrumentals,music}/{a,b,c,d,e,f}.wav", "mixture/{a,b,c,d,e,f}.wav")
    write(tmp_path, f"{{vocals,acapellas}}/{sung}.wav")
    found = survey(data_recipe(layout="voxaug", validation_fraction=share), tmp_path, BOTH)
    trained, held = (
        {source.path.stem for song in songs for source in song.sources}
        for songs in (found.training, found.validation)
    )
    assert trained
    assert held
    assert not trained & held
    assert {stem for song in found.training for stem in song.stems} == {*BOTH}


@pytest.mark.parametrize("name", ["vocals", "second_vocals", "swap", "mute", "no_vocals"])
@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_chances_that_are_none(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be a share between 0 and 1"):
        VoxaugRecipe(**{name: value})


def test_a_network_learns_from_libraries(recordings: Path, recipe: Recipe) -> None:
    """A whole run, with songs that were made to validate."""
    for number in range(3):
        sound(recordings / "x" / "instrumentals" / f"{number}.wav", 0.1, 0.2)
        sound(recordings / "x" / "vocals" / f"{number}.wav", 0.02, 0.06)
    taught = with_data(
        with_objective(recipe, "separation", stems=["instrumental"]),
        clip_seconds=0.5,
        validation_fraction=0.1,
    )
    best = train(
        with_steps(taught, 2), recordings / "x", (), recordings / "run", CPU, lambda _: None
    )
    assert best.exists()


def test_what_the_libraries_do_themselves_is_refused(libraries: Path, recipe: Recipe) -> None:
    ways = ("remix", "swap", "gain", "polarity")
    varied = with_augmentation(with_data(recipe), **{name: {"chance": 0.5} for name in ways})
    with pytest.raises(
        ConfigError, match=r"layout voxaug mixes songs and swaps channels"
    ) as refused:
        mixes(libraries, varied)
    flags = "--set data.augmentation.remix.chance=0 --set data.augmentation.swap.chance=0"
    assert str(refused.value).endswith(f"Try: --recipe voxaug, or with this recipe {flags}")


def test_the_default_recipe_offers_the_one_for_libraries(tmp_path: Path) -> None:
    write(tmp_path, "instrumentals/{a,b,c}.wav", "vocals/{d,e,f}.wav")
    with pytest.raises(ConfigError, match="Try: --recipe voxaug, or with this recipe --set"):
        open_data(load_recipe("quick"), tmp_path, (), ("vocals",), 8000)


@pytest.mark.parametrize(
    ("names", "layout", "way"),
    [
        ("{a,b}/{vocals,instrumental}.wav", "tracks", ""),
        ("{music,vocals}/a.wav", "stems", "--layout voxaug, or "),
    ],
)
def test_chances_that_the_layout_has_no_use_for(
    tmp_path: Path, names: str, layout: str, way: str
) -> None:
    """What differs from the usual is refused, as it would have no effect; what is typed helps."""
    write(tmp_path, names)
    with pytest.raises(ConfigError) as refused:
        inspect(data_recipe(voxaug={"mute": 0.5, "swap": 0.5, "vocals": 1}), tmp_path)
    assert str(refused.value) == (
        f"data: voxaug.vocals=1, voxaug.mute=0.5 has no effect in the layout {layout}. Use {way}"
        "--set data.voxaug.vocals=0.98 --set data.voxaug.mute=0.025"
    )
    assert inspect(data_recipe(voxaug={"mute": 0.025, "vocals": 0.98}), tmp_path).problems == ()
    if way:
        chances = {"mute": 0.5, "vocals": 1}
        assert inspect(data_recipe(layout="voxaug", voxaug=chances), tmp_path).problems == ()


def test_heirs_of_the_recipe_train_on_any_layout(tmp_path: Path) -> None:
    write(tmp_path, "{a,b}/{vocals,bass,drums,other}.wav")
    heir = load_recipe("voxaug", ("data.layout=auto",))
    assert survey(heir.data, tmp_path, ("instrumental",)).layout == "tracks"


def test_nothing_is_offered_that_was_tried(recordings: Path, recipe: Recipe) -> None:
    """A share is held out already, and libraries of two files have none to spare."""
    write(recordings, "x/{instrumentals,vocals}/{a,b}.wav")
    taught = with_data(recipe, layout="voxaug", validation_fraction=0.1)
    data = open_data(taught, recordings / "x", (), ("instrumental",), RATE)
    waiting = replace(taught, schedule=replace(taught.schedule, early_stopping_patience=2))
    with pytest.raises(ConfigError, match=r"no validation songs\. Use --validation DIR$"):
        check_schedule(waiting, data)
