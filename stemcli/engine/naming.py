"""Where each stem of a song is written."""

from __future__ import annotations

import os
import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from model_zoo.errors import ConfigError, OutputError, nearest
from stemcli.printable import name_part

FIELDS = ("track", "stem", "ext", "model")


def plan_outputs(
    song: Path, stems: Sequence[str], *, template: str, folder: Path, extension: str, model: str
) -> dict[str, Path]:
    """The path of every stem of one song.

    Args:
        song: the input; its name without the suffix is ``{track}``.
        stems: names of the outputs.
        template: a relative path with fields ``{track} {stem} {ext} {model}``.
        folder: where the relative paths begin.
        extension: without the dot.
        model: name of the model, or names joined by ``+``.

    Raises:
        ConfigError: for a template that is unknown, leaves the folder, joins two stems or does not
            end in the extension.
        OutputError: when a stem would replace the song itself.
    """
    check_template(template)
    values = {"track": song.stem, "ext": extension, "model": model}
    paths = {stem: folder / _fill(template, {**values, "stem": stem}) for stem in stems}
    _refuse_shared(paths, template)
    _require_extension(paths.values(), extension, template)
    for path in paths.values():
        if is_same_file(path, song):
            raise OutputError(f"{path} would replace the song itself: choose another --output")
    return paths


def check_template(template: str) -> None:
    """Check the fields and the path of a template.

    Raises:
        ConfigError: naming every mistake.
    """
    mistakes = [*_field_mistakes(template), *_path_mistakes(template)]
    if mistakes:
        raise ConfigError("--filename", mistakes)


def is_same_file(path: Path, song: Path) -> bool:
    """Whether both lead to one file, through links too."""
    if os.path.exists(path) and os.path.exists(song):
        return os.path.samefile(path, song)
    return _key(path) == _key(song)


def _field_mistakes(template: str) -> list[str]:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        return [f"{template!r} cannot be read ({error}); write {{{{ for a brace"]
    mistakes = []
    for _, field, spec, conversion in parts:
        if field in FIELDS and (spec or conversion):
            mistakes.append(f"{{{field}}} takes neither ':' nor '!': write {{{field}}}")
        elif field is not None and field not in FIELDS:
            near = nearest(field, FIELDS)
            hint = f"did you mean {{{near}}}?" if near else f"known: {_listed(FIELDS)}"
            mistakes.append(f"unknown field {{{field}}}, {hint}")
    return mistakes


def _path_mistakes(template: str) -> list[str]:
    path = PurePath(template)
    if not path.name:
        return ["it is empty; write for example '{track}/{stem}.{ext}'"]
    if path.is_absolute() or ".." in path.parts:
        return [f"{template!r} leaves the output folder: name the folder with --output"]
    return []


def _fill(template: str, values: Mapping[str, str]) -> Path:
    """Fill in the fields; what they hold never becomes a folder of its own, nor a way out."""
    safe = {field: value.replace("/", "_").replace("\\", "_") for field, value in values.items()}
    # The track is named as the user's own file is; stems and models by whoever trained them.
    safe |= {field: name_part(values[field]) for field in ("stem", "model")}
    filled = PurePath(template.format_map(safe))
    return Path(*("_" if part == ".." else part for part in filled.parts))


def _refuse_shared(paths: Mapping[str, Path], template: str) -> None:
    owners: dict[str, str] = {}
    for stem, path in paths.items():
        other = owners.setdefault(_key(path), stem)
        if other != stem:
            found = f"{other!r} and {stem!r} would both be written to {path}"
            raise ConfigError("--filename", [f"{found}: put {{stem}} into {template!r}"])


def _require_extension(paths: Iterable[Path], extension: str, template: str) -> None:
    """Players and the writers of tags know a file by its ending."""
    for path in paths:
        if path.suffix.casefold() != f".{extension}":
            raise ConfigError(
                "--filename",
                [
                    f"{template!r} does not end in .{extension}, the format of the stems: "
                    "end it in .{ext}, and choose the format with --format"
                ],
            )


def _key(path: Path) -> str:
    """Equal for paths that a file system may take for one: Unicode forms, upper and lower case."""
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()


def _listed(fields: Sequence[str]) -> str:
    return " ".join(f"{{{field}}}" for field in fields)
