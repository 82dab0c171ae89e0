"""Sound and pictures as plain files, for whoever has a player and no browser open."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from model_zoo.files import staged
from stemcli.audio.formats import OutputFormat
from stemcli.audio.writer import open_writer
from trainers.loop.logbook.protocol import Clip, Picture

EXCERPTS = "excerpts"
LATEST = 2
"""Steps that are kept beside the first."""


class ExcerptLogbook:
    """Files like ``excerpts/step-000200/SONG/vocals.estimate.flac``; numbers and texts have none.

    Sound is FLAC of 24 bits, pictures are PNG. Only the first and the last two steps are kept: to
    hear how far the run has come, and whether it still moves.

    Args:
        folder: of the run.
        first_step: steps done before; files of later steps go.

    Raises:
        OutputError: a file cannot be written.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self.folder = folder / EXCERPTS
        for step, place in self._steps():
            if step > first_step:
                shutil.rmtree(place)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """No place for them."""

    def audio(self, step: int, song: str, name: str, wave: Clip, sample_rate: int) -> None:
        """Write a FLAC file."""
        path = self._path(step, song, name, ".flac")
        with open_writer(path, sample_rate, len(wave), OutputFormat("flac", "24")) as writer:
            writer.write(wave.T)

    def picture(self, step: int, song: str, name: str, picture: Picture) -> None:
        """Write a PNG file."""
        from PIL import Image

        with staged(self._path(step, song, name, ".png")) as temporary:
            Image.fromarray(picture).save(temporary, "PNG")

    def text(self, step: int, name: str, markdown: str) -> None:
        """No place for it."""

    def close(self) -> None:
        """Nothing is waiting."""

    def _path(self, step: int, song: str, name: str, suffix: str) -> Path:
        place = self.folder / f"step-{step:06}"
        if not place.exists():
            for _, old in self._steps()[1 : 1 - LATEST]:
                shutil.rmtree(old)
        return place / _file_name(song) / f"{_file_name(name.replace('/', '.'))}{suffix}"

    def _steps(self) -> list[tuple[int, Path]]:
        """The steps that there are, in order."""
        found = self.folder.glob("step-*")
        numbers = [(place.name.removeprefix("step-"), place) for place in found]
        return sorted((int(number), place) for number, place in numbers if number.isdecimal())


def _file_name(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).strip(". ") or "_"
