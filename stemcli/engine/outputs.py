"""Plans the names of stem files, and writes all of them or none."""

from __future__ import annotations

import os
import re
import string
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path, PurePath
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from model_zoo.errors import ConfigError, OutputError, nearest
from model_zoo.option_names import option, subject
from model_zoo.shell import SINGLE_QUOTES, is_in_single_quotes
from stemcli.audio.formats import OutputFormat
from stemcli.audio.tags import copy_tags
from stemcli.audio.write_errors import explain_write_errors
from stemcli.audio.writer import AudioWriter, open_writer
from stemcli.engine.background import BackgroundWriters
from stemcli.engine.options import Options
from stemcli.engine.overlap_add import Block
from stemcli.engine.picture import SongPicture
from stemcli.engine.publish import StagedFiles, publish_files
from stemcli.engine.spool import Spool, spool_folders
from stemcli.engine.tag_fields import TAG_FIELDS, portable_part, tag_values, used_tag_fields
from stemcli.printable import name_part, valid_name
from stemcli.remote_path import UrlPath

Ready = Callable[[StagedFiles], object]
"""Receives all files when they are complete; returns True if it renames them."""

T = TypeVar("T", AudioWriter, SongPicture)

_FOLDERS = threading.Lock()
"""Held until a new folder has its first file, so that no other song removes it as empty."""


class StemWriter:
    """Writes all stems of one song; opened before the network runs, so that errors show at once.

    Stems are encoded in parallel, in threads that run behind the network: LAME alone can take
    longer than a small network. Exceptions of an encoder are raised with a later block or with the
    commit.

    Use it as a context manager; files and folders that were not committed are removed at its end.

    Args:
        paths: stem name to path, in the order of the stems in a block.
        sample_rate: in Hz.
        channels: of every stem.
        format: of every file.
        rescale: whether to spool the blocks, then write all with one gain that lowers the loudest
            sample to full scale, if it is above.
        picture: measures the stems as they are written, before they are rounded or coded.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        sample_rate: int,
        channels: int,
        format: OutputFormat,
        *,
        rescale: bool,
        picture: SongPicture | None = None,
    ) -> None:
        self.clips = format.clips
        self._paths, self._picture = dict(paths), picture
        self._encoders = BackgroundWriters(len(paths))
        self._undo = ExitStack()
        self._spool: Spool | None = None
        self.peak = 0.0
        with ExitStack() as opening:
            self._writers = [
                _open(path, lambda path: open_writer(path, sample_rate, channels, format), opening)
                for path in paths.values()
            ]
            if picture:
                _open(picture.path, lambda path: picture.create(), opening)
            if rescale:
                folder = next(iter(paths.values())).parent
                self._spool = Spool(spool_folders(folder), len(paths), channels)
                opening.callback(self._spool.close)
            self._undo = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._encoders.__exit__(kind, error, trace)
        self._undo.close()

    @property
    def gain(self) -> float:
        """Factor that lowers the loudest sample so far to full scale; 1 if it is below."""
        return 1.0 / max(1.0, self.peak) if self._spool else 1.0

    def write(self, block: Block) -> None:
        """Write the next frames of all stems, ``(frames, stem, channel)``."""
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
        if self._spool:
            self._spool.write(block)
        else:
            self._encode(block)

    def commit(self, song: Path, encoded: Callable[[int], None], ready: Ready) -> list[str]:
        """Finish all files, copy the tags of ``song`` and rename the files to their final names.

        Args:
            song: the input.
            encoded: called with a number of frames whenever spooled frames were encoded.
            ready: called when all files are complete and only have to be renamed. If it returns
                True, they keep their temporary names.

        Returns:
            Notices for the user about the format and the tags.
        """
        gain = np.float32(self.gain)
        for block in self._spool.blocks() if self._spool else ():
            self._encode(block * gain)
            encoded(len(block))
        self._encoders.submit(lambda stem: self._writers[stem].close())
        self._encoders.wait()
        notices: list[str] = []
        for stem, writer in self._by_stem():
            notices += [*writer.notices, *copy_tags(song, writer.temporary, stem=stem)]
        if self._picture:
            self._picture.draw()
        files = [(file.temporary, file.path) for file in self._files()]
        if ready(files) is not True:
            publish_files(files)
        self._undo.pop_all()
        if self._spool:
            self._spool.close()
        return list(dict.fromkeys(notices))

    def _by_stem(self) -> Iterator[tuple[str, AudioWriter]]:
        return zip(self._paths, self._writers, strict=True)

    def _files(self) -> list[AudioWriter | SongPicture]:
        return [*self._writers, *([self._picture] if self._picture else [])]

    def _encode(self, block: Block) -> None:
        self._encoders.submit(lambda stem: self._encode_stem(stem, block[:, stem]))

    def _encode_stem(self, stem: int, block: Block) -> None:
        self._writers[stem].write(block)
        if self._picture:
            self._picture.push(stem, np.clip(block, -1, 1) if self.clips else block)


def _open(path: Path, create: Callable[[Path], T], opening: ExitStack) -> T:
    """Create a file and its folder; ``opening`` removes what is new."""
    with _FOLDERS:
        for folder in make_folders(path.parent):
            opening.callback(_remove_if_empty, folder)
        _refuse_place(path)
        file = create(path)
    opening.callback(file.discard)
    return file


def make_folders(folder: Path) -> Iterator[Path]:
    """Create a folder and its parents; yield the new ones, the outermost first.

    Raises:
        OutputError: a folder cannot be created.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        yield from make_folders(folder.parent)
    with explain_write_errors(folder):
        folder.mkdir(exist_ok=True)
    yield folder


def _refuse_place(path: Path) -> None:
    """Check before the work that a temporary file can be renamed to ``path`` after it.

    Raises:
        OutputError: ``path`` is a folder, or its name is not valid in the file system.
    """
    with explain_write_errors(path), suppress(FileNotFoundError):
        path.lstat()
    if path.is_dir():
        another = f"Choose another {option('output')}"
        raise OutputError(f"{path} is a folder, not a file. {another}").about("output")


def _remove_if_empty(folder: Path) -> None:
    with _FOLDERS, suppress(OSError):
        folder.rmdir()


FIELDS = ("track", "stem", "ext", "model", *TAG_FIELDS)

OTHER_FIELDS = {
    "codec": "ext",
    "file_name": "track",
    "filename": "track",
    "instr": "stem",
    "instrument": "stem",
    "trackext": "ext",
}
"""Fields of demucs, spleeter and MSST, and the same fields here."""


def plan_outputs(
    song: Path,
    stems: Sequence[str],
    *,
    template: str,
    folder: Path,
    extension: str,
    model: str,
    tags: Mapping[str, str] | None = None,
) -> dict[str, Path]:
    """Return the path of every stem of one song.

    Args:
        song: the input, a local file or a URL; its name without the suffix is ``{track}``.
        stems: names of the outputs.
        template: a relative path with fields of :data:`FIELDS`.
        folder: base of the relative paths.
        extension: without the dot.
        model: name of the model, or names joined by ``+``.
        tags: values of the fields from tags; read if the template needs them and this is None.

    Raises:
        ConfigError: the template has unknown fields, leaves the folder, gives two stems the same
            path, or does not end in the extension.
        OutputError: a stem would replace the song itself.
        StorageError: the tags of a song at a URL cannot be read.
    """
    check_template(template)
    values = {"track": song.stem, "ext": extension, "model": model}
    if used_tag_fields(template):
        values |= tag_values(song) if tags is None else tags
    paths = {stem: folder / _fill(template, {**values, "stem": stem}) for stem in stems}
    _refuse_shared(paths, template)
    _require_extension(paths.values(), extension, template)
    for path in paths.values():
        if not isinstance(song, UrlPath) and is_same_file(path, song):
            raise OutputError(
                f"{path} would replace the song itself. Choose another {option('output')}"
            ).about("output")
    return paths


SPECTROGRAMS, PICTURE_SUFFIX = "spectrograms", ".png"
"""The picture's value of ``{stem}``, and its extension, which tells it from a stem."""


def plan_picture(
    song: Path,
    options: Options,
    *,
    folder: Path,
    model: str,
    tags: Mapping[str, str] | None = None,
) -> Path | None:
    """Return the path of the picture of one song, None if none was asked for.

    ``{ext}`` is ``png``; an extension that the template spells out is replaced.

    Args:
        song: the input.
        options: the template, and the extension of the stems.
        folder: base of the relative path.
        model: see :func:`plan_outputs`.
        tags: see :func:`plan_outputs`.

    Raises:
        ConfigError: see :func:`plan_outputs`.
        OutputError: the picture would replace the song itself.
    """
    if not options.picture:
        return None
    template, extension = options.filename, options.output_format().extension
    if template.casefold().endswith(f".{extension}"):
        template = template[: -len(extension)] + "{ext}"
    stems, suffix = [SPECTROGRAMS], PICTURE_SUFFIX[1:]
    paths = plan_outputs(
        song, stems, template=template, folder=folder, extension=suffix, model=model, tags=tags
    )
    return paths[SPECTROGRAMS]


def check_template(template: str) -> None:
    """Check the fields and the path of a template.

    Raises:
        ConfigError: lists every mistake.
    """
    mistakes = [*_field_mistakes(template), *_path_mistakes(template)]
    if mistakes:
        raise ConfigError(subject("filename"), mistakes)


def is_same_file(path: Path, song: Path) -> bool:
    """Whether both paths lead to the same file, including through links."""
    if os.path.exists(path) and os.path.exists(song):
        return os.path.samefile(path, song)
    return path_key(path) == path_key(song)


IN_PERCENT_SIGNS = re.compile(r"%(\w+)%")
"""Fields as foobar2000 and Mp3tag write them, and variables as cmd writes them."""


def _field_mistakes(template: str) -> list[str]:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        return [f"'{template}' cannot be parsed ({error}); write {{{{ for a brace"]
    mistakes = []
    for name in IN_PERCENT_SIGNS.findall(template):
        if field := name if name in FIELDS else OTHER_FIELDS.get(name):
            mistakes.append(f"%{name}% is not a field; fields are in braces: {{{field}}}")
    for _, field, spec, conversion in parts:
        if field in FIELDS and (spec or conversion):
            mistakes.append(f"{{{field}}} takes neither ':' nor '!'; write {{{field}}}")
        elif field is not None and field not in FIELDS:
            near = OTHER_FIELDS.get(field) or nearest(field, FIELDS)
            hint = f"did you mean {{{near}}}?" if near else f"known: {_listed(FIELDS)}"
            mistakes.append(f"unknown field {{{field}}}, {hint}")
    return mistakes


def _path_mistakes(template: str) -> list[str]:
    path = PurePath(template)
    if is_in_single_quotes(template):
        return [SINGLE_QUOTES]
    if not path.name:
        return ["it is empty; write for example '{track}/{stem}.{ext}'"]
    if path.anchor or ".." in path.parts:
        return [f"'{template}' leaves the output folder; set the folder with {option('output')}"]
    return []


def _fill(template: str, values: Mapping[str, str]) -> Path:
    """Fill in the fields; their values can neither add a folder nor leave the output folder."""
    safe = {field: value.replace("/", "_").replace("\\", "_") for field, value in values.items()}
    # {track} keeps the name of the user's own file; names of stems and models are not trusted.
    safe |= {field: name_part(values[field]) for field in ("stem", "model")}
    filled = (
        portable_part(part, safe) if used_tag_fields(part) else valid_name(part.format_map(safe))
        for part in PurePath(template).parts
    )
    return Path(*("_" if part == ".." else part for part in filled))


def _refuse_shared(paths: Mapping[str, Path], template: str) -> None:
    owners: dict[str, str] = {}
    for stem, path in paths.items():
        other = owners.setdefault(path_key(path), stem)
        if other != stem:
            problem = f"{other!r} and {stem!r} would both be written to {path}"
            raise ConfigError(subject("filename"), [f"{problem}; add {{stem}} to {template!r}"])


def _require_extension(paths: Iterable[Path], extension: str, template: str) -> None:
    """Require the extension of the format, by which players and tag writers recognise a file."""
    for path in paths:
        if path.suffix.casefold() != f".{extension}":
            raise ConfigError(
                subject("filename"),
                [
                    f"{template!r} does not end in .{extension}, the format of the stems; "
                    f"end it in .{{ext}}, and choose the format with {option('format')}"
                ],
            )


def path_key(path: Path) -> str:
    """A key that is equal for paths that some file systems treat as one (Unicode form, case)."""
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()


def _listed(fields: Sequence[str]) -> str:
    return " ".join(f"{{{field}}}" for field in fields)
