"""Vocals mixed with instrumentals. Recordings are constant, so that clips show what was done.

Shares are binomial: of N clips, N p plus or minus 4 sqrt(N p (1 - p)), which chance exceeds once in
16,000 tries.
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
from tests.trainers.data.songs_on_disk import survey, write
from tests.trainers.frames import with_objective, with_steps
from tests.trainers.runs import CPU
from trainers.config import Recipe, VoxaugRecipe
from trainers.data import recording
from trainers.data.layouts.survey import inspect
from trainers.data.mixing import SongClips, VoxaugMixes
from trainers.data.training_data import open_data
from trainers.loop.checks import check_schedule
from trainers.loop.trainer import train
from trainers.recipes.loading import load_recipe

BOTH = ("vocals", "instrumental")
CLIPS = 600


def write_constant(path: Path, *sides: float, seconds: float = 1.0, peak: float = 0.0) -> None:
    """Write a wave with a constant on each side, and a last sample of ``peak`` if given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.tile(np.array(sides), (round(seconds * RATE), 1))
    if peak:
        wave[-1] = peak
    soundfile.write(path, wave, RATE, "FLOAT")


@pytest.fixture
def libraries(recordings: Path) -> Path:
    """An instrumental of 0.1 and 0.2 and vocals of 0.02 and 0.06, whose sums are all different."""
    folder = recordings / "libraries"
    write_constant(folder / "instrumentals" / "a.wav", 0.1, 0.2)
    write_constant(folder / "vocals" / "deep" / "b.wav", 0.02, 0.06)
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
    variant = with_data(recipe, **values)
    return clips_of(
        songs, variant, tuple(stems), VoxaugMixes, seed, needs_peak_level=needs_peak_level
    )


def assert_share(count: int, total: int, share: float) -> None:
    assert abs(count - total * share) <= 4 * math.sqrt(total * share * (1 - share))


def sides(clip: torch.Tensor, unit: float) -> tuple[float, float]:
    left, right = (round(float(side[0]) / unit, 3) for side in clip)
    return left, right


def sides_of_clips(clips: SongClips) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Sides of vocals in units of 0.01 and of instrumentals in 0.1, at the level of the files."""
    found = []
    for index in range(CLIPS):
        mixture, (vocals, instrumental) = clips[index]
        torch.testing.assert_close(vocals + instrumental, mixture)
        level = float(instrumental[:, 0].sum()) / 0.3  # the instrumental's sides add up to 0.3
        found.append((sides(vocals, 0.01 * level), sides(instrumental, 0.1 * level)))
    return found


def test_clips_are_mixed_with_the_documented_chances(libraries: Path, recipe: Recipe) -> None:
    """1 - 0.98 (1 - 0.025) of all clips lack vocals; the other shares are as documented."""
    found = sides_of_clips(mixes(libraries, recipe))
    with_vocals = [(vocals, instrumental) for vocals, instrumental in found if vocals != (0, 0)]
    assert_share(CLIPS - len(with_vocals), CLIPS, 1 - 0.98 * 0.975)
    assert {instrumental for _, instrumental in found} == {(1.0, 2.0), (2.0, 1.0)}
    assert_share(sum(instrumental == (2.0, 1.0) for _, instrumental in found), CLIPS, 0.5)
    stereo_vocals = [
        (vocals, instrumental) for vocals, instrumental in with_vocals if 0 not in vocals
    ]
    assert {vocals for vocals, _ in stereo_vocals} == {(2.0, 6.0), (6.0, 2.0)}
    assert_share(len(with_vocals) - len(stereo_vocals), len(with_vocals), 0.025)
    opposite = [
        (vocals[0] > vocals[1]) != (instrumental[0] > instrumental[1])
        for vocals, instrumental in stereo_vocals
    ]
    assert_share(sum(opposite), len(stereo_vocals), 0.5)
    muted = [vocals for vocals, _ in with_vocals if 0 in vocals]
    assert {vocals.index(0) for vocals in muted} == {0, 1}


def test_second_vocals_are_added(libraries: Path, recipe: Recipe) -> None:
    """Two of the same vocals are 2 + 2 or 2 + 6 on a side, in 0.3 of the clips."""
    found = sides_of_clips(
        mixes(libraries, recipe, second_vocals=0.3, mute=0.0, no_vocals=0.0, vocals=1.0)
    )
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
def test_chances_of_0_and_1(
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


def test_clips_have_the_stems_of_the_network(libraries: Path, recipe: Recipe) -> None:
    both = mixes(libraries, recipe)
    for number, stem in enumerate(BOTH):
        alone = mixes(libraries, recipe, (stem,))
        for index in range(5):
            mixture, (only,) = alone[index]
            assert mixture.equal(both[index][0])
            assert only.equal(both[index][1][number])


@pytest.mark.parametrize(("peak", "divisor"), [(0.8, 0.8), (0.0, 0.26)])
def test_clips_are_divided_by_the_peak_of_their_recording(
    recordings: Path, recipe: Recipe, peak: float, divisor: float
) -> None:
    """A clip is divided by its recording's peak of 0.8, or else by its own peak of 0.2 + 0.06.

    Other networks receive clips unchanged.
    """
    write_constant(recordings / "x" / "instrumental" / "a.wav", 0.1, 0.2, seconds=3.0, peak=peak)
    write_constant(recordings / "x" / "vocals" / "b.wav", 0.02, 0.06)
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
    """Another process, without the peak in memory, reads it from the cache."""
    first = mixes(libraries, recipe, needs_peak_level=True)[0][0]
    recording.recording_peak.cache_clear()

    def refuse(*_: object) -> None:
        raise AssertionError("it was read again")

    monkeypatch.setattr(recording, "open_audio", refuse)
    assert mixes(libraries, recipe, needs_peak_level=True)[0][0].equal(first)


def test_silent_parts_of_vocals_are_avoided(recordings: Path, recipe: Recipe) -> None:
    """Vocals are silent for four fifths: all 8 tries for a clip are silent in 0.8^8 = 17 %."""
    wave = np.zeros((10 * RATE, 2))
    wave[: 2 * RATE] = 0.1
    write_constant(recordings / "x" / "instrumental" / "a.wav", 0.1, 0.2)
    write_constant(recordings / "x" / "vocals" / "b.wav", 0.1, 0.1)
    soundfile.write(recordings / "x" / "vocals" / "b.wav", wave, RATE)
    clips = mixes(recordings / "x", recipe, vocals=1.0, no_vocals=0.0, mute=0.0)
    silent = sum(not clips[index][1][0].any() for index in range(400))
    assert_share(silent, 400, 0.8**8)


def test_a_mixture_file_is_used_where_no_vocals_are_added(recordings: Path, recipe: Recipe) -> None:
    """Its vocals are the mixture minus the instrumental: 0.05."""
    write_constant(recordings / "x" / "instrumental" / "a.wav", 0.1, 0.2)
    write_constant(recordings / "x" / "mixture" / "a.wav", 0.15, 0.25)
    write_constant(recordings / "x" / "vocals" / "b.wav", 0.02, 0.06)
    clips = mixes(recordings / "x", recipe, vocals=0.0, no_vocals=0.0, swap=0.0)
    mixture, (vocals, instrumental) = clips[0]
    assert sides(mixture, 1.0) == (0.15, 0.25)
    assert sides(vocals, 1.0) == (0.05, 0.05)
    assert sides(instrumental, 1.0) == (0.1, 0.2)


def test_an_epoch_has_every_part_of_every_instrumental(recordings: Path, recipe: Recipe) -> None:
    """Instrumentals of 0.5 and 0.3 s have 5 and 3 clips of 0.1 s; vocals do not count."""
    write_constant(recordings / "x" / "instrumental" / "a.wav", 0.1, 0.1, seconds=0.5)
    write_constant(recordings / "x" / "instrumental" / "b.wav", 0.2, 0.2, seconds=0.3)
    write_constant(recordings / "x" / "vocals" / "c.wav", 0.02, 0.06, seconds=7.0)
    clips = mixes(recordings / "x", recipe, vocals=0.0)
    assert clips.epoch == 8
    assert sorted(clips.positions.at(index).song for index in range(8)) == [0] * 5 + [1] * 3


@pytest.mark.parametrize("name", ["vocals", "instrumentals"])
def test_a_silent_library_is_refused(recordings: Path, recipe: Recipe, name: str) -> None:
    """This also holds for the library that is not the network's target."""
    for library in ("vocals", "instrumentals"):
        level = 0.0 if library == name else 0.1
        write_constant(recordings / "x" / library / "a.wav", level, level)
    other = "instrumental" if name == "vocals" else "vocals"
    with pytest.raises(DataError, match=f"every file in {name}/ is silent: add files with sound"):
        open_data(with_data(recipe), recordings / "x", (), (other,), RATE)


def test_validation_songs_are_mixed_from_held_out_files(recordings: Path) -> None:
    """Instrumental i is paired with vocals i modulo their number, cut to the shorter of both.

    Held-out files are not used for training, and the user's own songs have precedence.
    """
    for number in range(12):
        write_constant(
            recordings / "x" / "instrumentals" / f"{number:02d}.wav", 0.1, 0.2, seconds=2.0
        )
    for number in range(4):
        write_constant(
            recordings / "x" / "vocals" / f"{number}.wav", 0.02, 0.06, seconds=1.5 + number
        )
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
@pytest.mark.parametrize("vocals", ["{a,b,c}", "{a,b,c,d,e,f,g}", "{e,f,g,h,i}", "{v,w,x,y}"])
def test_no_song_is_in_both_parts(tmp_path: Path, share: float, vocals: str) -> None:
    """Files of one name are one song, also in mixtures and in several folders of a library.

    Both libraries keep files for training.
    """
    write(tmp_path, "{instrumentals,music}/{a,b,c,d,e,f}.wav", "mixture/{a,b,c,d,e,f}.wav")
    write(tmp_path, f"{{vocals,acapellas}}/{vocals}.wav")
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
def test_chances_must_be_between_0_and_1(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be a share between 0 and 1"):
        VoxaugRecipe(**{name: value})


def test_a_run_on_libraries(recordings: Path, recipe: Recipe) -> None:
    """A full run, with mixed validation songs."""
    for number in range(3):
        write_constant(recordings / "x" / "instrumentals" / f"{number}.wav", 0.1, 0.2)
        write_constant(recordings / "x" / "vocals" / f"{number}.wav", 0.02, 0.06)
    variant = with_data(
        with_objective(recipe, "separation", stems=["instrumental"]),
        clip_seconds=0.5,
        validation_fraction=0.1,
    )
    best = train(
        with_steps(variant, 2), recordings / "x", (), recordings / "run", CPU, lambda _: None
    )
    assert best.exists()


def test_augmentations_that_the_layout_does_itself_are_refused(
    libraries: Path, recipe: Recipe
) -> None:
    names = ("remix", "swap", "gain", "polarity")
    varied = with_augmentation(with_data(recipe), **{name: {"chance": 0.5} for name in names})
    with pytest.raises(
        ConfigError, match=r"layout voxaug mixes songs and swaps channels"
    ) as caught:
        mixes(libraries, varied)
    flags = "--set data.augmentation.remix.chance=0 --set data.augmentation.swap.chance=0"
    assert str(caught.value).endswith(f"Try: --recipe voxaug, or with this recipe {flags}")


def test_the_default_recipe_suggests_the_recipe_for_libraries(tmp_path: Path) -> None:
    write(tmp_path, "instrumentals/{a,b,c}.wav", "vocals/{d,e,f}.wav")
    with pytest.raises(ConfigError, match="Try: --recipe voxaug, or with this recipe --set"):
        open_data(load_recipe("quick"), tmp_path, (), ("vocals",), 8000)


@pytest.mark.parametrize(
    ("names", "layout", "option"),
    [
        ("{a,b}/{vocals,instrumental}.wav", "tracks", ""),
        ("{music,vocals}/a.wav", "stems", "--layout voxaug, or "),
    ],
)
def test_chances_without_effect_are_refused(
    tmp_path: Path, names: str, layout: str, option: str
) -> None:
    """Values that differ from the defaults have no effect and are refused; the options work."""
    write(tmp_path, names)
    with pytest.raises(ConfigError) as caught:
        inspect(data_recipe(voxaug={"mute": 0.5, "swap": 0.5, "vocals": 1}), tmp_path)
    assert str(caught.value) == (
        f"data: voxaug.vocals=1, voxaug.mute=0.5 has no effect in the layout {layout}. Use {option}"
        "--set data.voxaug.vocals=0.98 --set data.voxaug.mute=0.025"
    )
    assert inspect(data_recipe(voxaug={"mute": 0.025, "vocals": 0.98}), tmp_path).problems == ()
    if option:
        chances = {"mute": 0.5, "vocals": 1}
        assert inspect(data_recipe(layout="voxaug", voxaug=chances), tmp_path).problems == ()


def test_recipes_based_on_voxaug_work_with_any_layout(tmp_path: Path) -> None:
    write(tmp_path, "{a,b}/{vocals,bass,drums,other}.wav")
    child = load_recipe("voxaug", ("data.layout=auto",))
    assert survey(child.data, tmp_path, ("instrumental",)).layout == "tracks"


def test_the_message_does_not_suggest_what_was_tried(recordings: Path, recipe: Recipe) -> None:
    """A share is already set, and libraries of two files cannot hold any out."""
    write(recordings, "x/{instrumentals,vocals}/{a,b}.wav")
    variant = with_data(recipe, layout="voxaug", validation_fraction=0.1)
    data = open_data(variant, recordings / "x", (), ("instrumental",), RATE)
    patient = replace(variant, schedule=replace(variant.schedule, early_stopping_patience=2))
    with pytest.raises(ConfigError, match=r"no validation songs\. Use --validation DIR$"):
        check_schedule(patient, has_validation=bool(data.validation))
