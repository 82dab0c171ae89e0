"""Libraries of vocals and instrumentals: how they are detected, read and used for validation."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.errors import ConfigError, DataError
from tests.trainers.data.songs_on_disk import paths, survey, write
from tests.trainers.data.songs_on_disk import recipe as data_recipe
from trainers.data.layouts.detection import look
from trainers.data.layouts.survey import inspect
from trainers.recipes.loading import load_recipe

BOTH = ("vocals", "instrumental")


def test_libraries_are_folders_of_files_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path, "Instrumentals/{a,deep/er/b}.wav", "vocal/c.flac", "acapellas/d.wav")
    found = survey(data_recipe(layout="voxaug"), tmp_path, BOTH)
    assert paths(found.training, tmp_path) == {
        "Instrumentals/a": {"instrumental": "Instrumentals/a.wav"},
        "Instrumentals/deep/er/b": {"instrumental": "Instrumentals/deep/er/b.wav"},
        "acapellas/d": {"vocals": "acapellas/d.wav"},
        "vocal/c": {"vocals": "vocal/c.flac"},
    }
    assert found.summary[0] == "4 files to mix, none for validation, 4 s, 8000 Hz"


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (["instrumentals/a.wav", "vocals/b.wav"], "voxaug"),
        (["instrumental/x/a.wav", "vocal/b.wav"], "voxaug"),
        (["instrumental/a.wav", "vocals/b.wav", "drums/c.wav"], "stems"),
        (["music/a.wav", "vocals/b.wav"], "stems"),
        (["instrumental/a.wav", "vocals/a.wav", "mixture/a.wav"], "pairs"),
        (["instrumentals/{a,b}.wav", "vocals/{a,c}.wav", "mixture/{a,b}.wav"], "pairs"),
        (["instrumentals/{a,b}.wav", "vocals/c.wav", "mixture/a.wav"], "voxaug"),
        (["vocals/c.wav", "mixture/a.wav"], "pairs"),
        (["music/a.wav", "vocals/b.wav", "mixture/c.wav"], "pairs"),
    ],
)
def test_auto_detects_libraries(tmp_path: Path, names: list[str], layout: str) -> None:
    write(tmp_path, *names)
    assert look(tmp_path) == layout


def test_an_empty_library_is_detected(tmp_path: Path) -> None:
    """The error is about the library, not about layouts."""
    write(tmp_path, "instrumentals/a.wav")
    (tmp_path / "vocals").mkdir()
    with pytest.raises(
        DataError, match=r"vocals/ contains no audio: put vocals there, at any depth$"
    ):
        inspect(data_recipe(), tmp_path)


def test_pairs_without_mixtures_suggest_libraries(tmp_path: Path) -> None:
    """The suggested option works: --layout voxaug finds no problem."""
    write(tmp_path, "instrumental/{a,b}.wav", "vocals/{a,c}.wav", "mixture/a.wav")
    for problem in inspect(data_recipe(), tmp_path).problems:
        assert problem.endswith(
            "add it, or use --layout voxaug, which mixes any vocals with any instrumental"
        )
    assert inspect(data_recipe(layout="voxaug"), tmp_path).problems == ()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["instrumentals/a.wav"],
            "needs vocals/, found instrumentals/: add vocals/, or use --layout",
        ),
        (
            ["vocals/a.wav", "x/b.wav"],
            "needs instrumentals/, found vocals/, x/: add instrumentals/, or",
        ),
        (
            ["a.wav"],
            "needs instrumentals/ and vocals/, found no folders: add instrumentals/ and add",
        ),
        (
            ["instrumentls/a.wav", "vox/b.wav"],
            "found instrumentls/, vox/: rename instrumentls/ to instrumentals/ and add vocals/$",
        ),
    ],
)
def test_missing_libraries(tmp_path: Path, names: list[str], message: str) -> None:
    write(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        survey(data_recipe(layout="voxaug"), tmp_path, BOTH)


def test_empty_libraries(tmp_path: Path) -> None:
    write(tmp_path, "instrumentals/a.wav")
    (tmp_path / "vocals").mkdir()
    with pytest.raises(
        DataError, match=r"vocals/ contains no audio: put vocals there, at any depth$"
    ):
        survey(data_recipe(layout="voxaug"), tmp_path, BOTH)


def test_mixtures_without_an_instrumental_are_named(tmp_path: Path) -> None:
    write(tmp_path, "instrumentals/a.wav", "mixture/{a,b}.wav", "vocals/c.wav")
    found = inspect(data_recipe(layout="voxaug"), tmp_path)
    mixture = tmp_path / "mixture" / "b.wav"
    assert found.problems == (
        f"{mixture} has no instrumental of the same name in instrumentals/: add it, or move the"
        " mixture away",
    )


def test_stems_that_no_library_has(tmp_path: Path) -> None:
    """The group suggested for an accompaniment does not include vocals."""
    write(tmp_path, "instrumentals/a.wav", "vocals/b.wav")
    with pytest.raises(ConfigError, match=r"--set data.groups.accompaniment=\[instrumental\]$"):
        survey(data_recipe(layout="voxaug"), tmp_path, ("accompaniment",))


@pytest.mark.parametrize("stems", [("instrumental",), ("vocals",), BOTH])
@pytest.mark.parametrize("parts", ["instrumental", "bass,drums,other"])
def test_songs_can_validate_libraries(tmp_path: Path, stems: tuple[str, ...], parts: str) -> None:
    """Songs may have the instrumental as one file or in parts."""
    write(tmp_path, "vox/{instrumentals/a,vocals/b}.wav")
    write(tmp_path, f"songs/{{x,y}}/{{mixture,vocals,{parts}}}.wav")
    found = survey(load_recipe("voxaug").data, tmp_path / "vox", stems, (tmp_path / "songs",))
    assert [song.name for song in found.validation] == ["x", "y"]
    assert len(found.training) == 2


def test_libraries_can_validate_libraries_and_songs(tmp_path: Path) -> None:
    write(
        tmp_path, "vox/instrumentals/{a,b}.wav", "vox/vocals/c.wav", "more/{music/d,vocals/e}.wav"
    )
    write(tmp_path, "songs/{x,y}/{mixture,vocals,instrumental}.wav")
    for layout, data, held in (("voxaug", "vox", "more"), ("auto", "songs", "vox")):
        found = survey(data_recipe(layout=layout), tmp_path / data, BOTH, (tmp_path / held,))
        assert {song.is_made for song in found.validation} == {True}
    assert [song.name for song in found.validation] == [
        "instrumentals/a + vocals/c",
        "instrumentals/b + vocals/c",
    ]


def test_libraries_used_entirely_for_validation(tmp_path: Path) -> None:
    write(tmp_path, "{instrumentals/a,vocals/b}.wav")
    with pytest.raises(DataError, match="--validation uses all files, and none is left"):
        survey(data_recipe(), tmp_path, BOTH, (tmp_path,))
