"""Plans all files of a song: its stems, and its picture if one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stemcli.engine.options import Options
from stemcli.engine.outputs import check_template, plan_outputs, plan_picture
from stemcli.engine.tag_fields import tag_values, used_tag_fields


@dataclass(frozen=True)
class PlannedFiles:
    """The files of one song.

    Attributes:
        stems: stem name to path.
        picture: path of the picture; None if none is asked for.
    """

    stems: dict[str, Path]
    picture: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All files to write: the stems, then the picture."""
        return [*self.stems.values(), *([self.picture] if self.picture else [])]

    def moved(self, move: Callable[[Path], Path]) -> PlannedFiles:
        """The same files elsewhere.

        Args:
            move: returns the new path of a file.
        """
        stems = {stem: move(path) for stem, path in self.stems.items()}
        return PlannedFiles(stems, self.picture and move(self.picture))

    def spelled(self) -> tuple[dict[str, str], str | None]:
        """The stems and the picture as text, for events and reports."""
        stems = {stem: str(path) for stem, path in self.stems.items()}
        return stems, str(self.picture) if self.picture else None


def plan_files(
    song: Path, stems: Sequence[str], options: Options, *, folder: Path, model: str
) -> PlannedFiles:
    """Plan the files of one song; its tags are read once, and only if the template needs them.

    Args:
        song: the input, a local file or a URL.
        stems: names of the outputs.
        options: the template, the format, and whether a picture is asked for.
        folder: base of the relative paths.
        model: name of the model, or names joined by ``+``.

    Raises:
        ConfigError: see :func:`~stemcli.engine.outputs.plan_outputs`.
        OutputError: a file would replace the song itself.
        StorageError: the tags of a song at a URL cannot be read.
    """
    template, extension = options.filename, options.output_format().extension
    check_template(template)
    tags = tag_values(song) if used_tag_fields(template) else {}
    paths = plan_outputs(
        song,
        stems,
        template=template,
        folder=folder,
        extension=extension,
        model=model,
        tags=tags,
    )
    picture = plan_picture(song, options, folder=folder, model=model, tags=tags)
    return PlannedFiles(paths, picture)
