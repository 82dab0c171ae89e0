"""Which songs a data folder holds."""

from __future__ import annotations

from pathlib import Path

from trainers.config.data import DataRecipe
from trainers.data.files import find_stem
from trainers.data.songs import Song, Source, Survey


def survey(
    recipe: DataRecipe, folder: Path, stems: tuple[str, ...], validation: tuple[Path, ...]
) -> Survey:
    """Look at a data folder: a folder for each song with a file for each stem, or voices.

    Raises:
        DecodeError: a file is missing.
    """
    held_out = tuple(_song(path, stems) for path in validation)
    if recipe.voices.vocals:
        return Survey("voices", (), held_out)
    songs = tuple(_song(path, ()) for path in sorted(folder.iterdir()) if path.is_dir())
    return Survey("tracks", songs, held_out, (f"{len(songs)} songs",))


def _song(folder: Path, needed: tuple[str, ...]) -> Song:
    """The stems and the mixture in a folder; ``needed`` must be there, and a mixture with them."""
    files = {path.stem: Source(path) for path in sorted(folder.iterdir()) if path.is_file()}
    if needed:
        files["mixture"] = Source(find_stem(folder, "mixture"))
        files |= {stem: Source(find_stem(folder, stem)) for stem in needed}
        files = {name: files[name] for name in ("mixture", *needed)}
    return Song(folder.name, files, files.pop("mixture", None))
