"""The options of a separation."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypedDict, Unpack

from model_zoo.catalogue.cards import DEFAULT_MODEL
from model_zoo.config import PYTHON_WORDS, WORDS, Config
from model_zoo.errors import ConfigError, nearest
from model_zoo.grids import Combination
from model_zoo.option_names import Verbatim, contradiction, names_flags, option, setting, subject
from stemcli.audio.formats import RULES, FormatRules, OutputFormat

if TYPE_CHECKING:
    import torch

SHORTEST_SEGMENT = 0.25
"""Seconds; longer than the analysis window of any network, as the STFT of a chunk requires."""

LONGEST_SEGMENT = 600.0
"""Seconds. Memory grows with the length of a chunk, and no network is trained on longer ones."""

LATEST = 1_000_000
"""Seconds; eleven days, later than any song ends."""

ARGUMENTS = ("on_event", "name", "sample_rate", "jobs")
"""Arguments of the Python interface that are not options, for suggestions."""

NAMES = ("model", "stems")
"""Fields that hold any number of names."""

CHOICES = ("stems", "two_stems", "karaoke")
"""Fields that choose the outputs, of which only one may be used."""

FORMAT_FIELDS = frozenset({"format", "depth", "bitrate", "quality", "clip_mode"})
"""Fields whose values are only checked together."""

Format = Literal["wav", "flac", "mp3", "ogg", "opus", "m4a"]
Depth = Literal["auto", "16", "24", "32f"]
PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]
BackendOption = Literal["auto", "torch", "compile", "onnxruntime", "openvino"]
GridName = Literal["model", "centered"]
ClipMode = Literal["rescale", "clamp", "none"]
Existing = Literal["refuse", "skip", "overwrite"]
Name = str | os.PathLike[str]


class OptionFields(TypedDict, total=False):
    """Keyword arguments that make :class:`Options`, which describes them."""

    model: Name | Sequence[Name]
    workflow: str | os.PathLike[str]
    weights: Sequence[float]
    combine: Combination
    phase_model: Name
    stems: str | Sequence[str]
    two_stems: str
    karaoke: bool
    overlap: float | None
    segment: float | None
    shifts: int
    grid: GridName
    seed: int
    batch_size: int
    device: str | torch.device
    precision: PrecisionName
    backend: BackendOption
    track: int | None
    fall_back_to_only_track: bool
    start: float | None
    end: float | None
    output: str | os.PathLike[str]
    filename: str | os.PathLike[str]
    format: Format
    depth: Depth
    bitrate: int | None
    quality: float | None
    clip_mode: ClipMode
    existing: Existing
    picture: bool


def plain(field: str, value: Any) -> Any:
    """Convert names to a tuple, paths and devices to text, and numbers of NumPy to plain ones."""
    if field in NAMES:
        return _names(value)
    if field == "weights":
        return _weights(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if field == "device":
        return _device(value)
    if type(value) in (int, float, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _names(value: Any) -> Any:
    if isinstance(value, (str, os.PathLike)):
        return (os.fspath(value),) if os.fspath(value) else ()
    if isinstance(value, (list, tuple)):
        return tuple(os.fspath(one) if isinstance(one, os.PathLike) else one for one in value)
    return value


def _weights(value: Any) -> Any:
    if value is None:
        return ()
    if isinstance(value, (list, tuple)):
        return tuple(plain("weight", one) for one in value)
    return (plain("weight", value),) if isinstance(value, Real) else value


def _device(value: Any) -> Any:
    """The name of a ``torch.device``, without importing torch."""
    kind = type(value)
    if (kind.__module__, kind.__name__) != ("torch", "device"):
        return value
    return str(value) if value.type == "cuda" else value.type


@dataclass(frozen=True)
class Options(Config):
    """Options of a :class:`~stemcli.engine.session.Session`; the defaults suit most songs.

    Fields are the options of the command line with underscores for dashes. Two differ: ``depth``
    is ``--bit-depth``, and values of ``existing`` are ``--overwrite`` and ``--skip-existing``.
    Messages name fields, but flags while a command of ``stem`` runs. ``model`` and ``stems`` take
    one name or a list of names and hold a tuple; paths become text.

    Attributes:
        model: names of models, folders of runs or weights files; several are combined over the
            stems that they share.
        weights: weight of each model; equal if empty.
        combine: how several models are combined: by their ``mean``, ``median``, smallest (``min``)
            or largest (``max``) sample, or with ``-spectrum`` by bins of spectra.
        workflow: a TOML file that says which networks run on which stems, or its text, instead of
            models and stems; off if empty.
        phase_model: model that predicts the phase of every stem; if empty, stems keep the phase of
            the mixture.
        stems: the stems to keep; all if empty.
        two_stems: keep this stem and the rest of the mixture; off if empty.
        karaoke: keep only the song without its lead voice or, with models that give none, without
            vocals; the stem is called ``karaoke``.
        overlap: fraction of a chunk that overlaps the next one; the model's if None.
        segment: length of a chunk in seconds; the model's if None.
        grid: how a song is cut into chunks and how these are joined: as the authors of the model do
            (``model``), or with real context around every chunk (``centered``).
        shifts: number of chunk grids whose estimates are averaged; multiplies the work.
        seed: seed of the random offsets of those grids.
        batch_size: chunks per forward pass; 0 chooses by the device.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: precision of the network; ``auto`` selects bf16 if the device supports it.
        backend: library that computes the network; ``auto`` takes the fastest that ``stem doctor
            --measure`` has found, else torch.
        track: audio track of the file, counted from 1; if None, the default track, else the first.
        fall_back_to_only_track: if the file has one audio track and ``track`` is another one, use
            that track and send a notice.
        start: where in the song to start, in seconds.
        end: where in the song to stop, in seconds.
        output: folder for the stems.
        filename: path below ``output``; fields ``{track} {stem} {ext} {model}``, and from the tags
            of the song ``{artist} {album} {title} {number} {year}``.
        format: ``wav``, ``flac``, ``mp3``, ``ogg``, ``opus`` or ``m4a``.
        depth: ``16``, ``24`` or ``32f``; ``auto`` keeps the bit depth of the input.
        bitrate: kbit/s of a lossy format.
        quality: quality on the encoder's own scale, instead of a bit rate.
        clip_mode: if stems exceed full scale in an integer or lossy file: lower all by one gain
            (``rescale``), cut the peaks (``clamp``), or refuse the format (``none``).
        existing: what to do if outputs exist: ``refuse``, ``skip`` or ``overwrite``.
        picture: whether to write a PNG with the spectrograms of the mixture and of each stem.
    """

    model: tuple[str, ...] = (DEFAULT_MODEL,)
    phase_model: str = ""
    stems: tuple[str, ...] = ()
    two_stems: str = ""
    overlap: float | None = None
    segment: float | None = None
    shifts: int = 1
    seed: int = 0
    batch_size: int = 0
    device: str = "auto"
    precision: PrecisionName = "auto"
    track: int | None = None
    fall_back_to_only_track: bool = False
    start: float | None = None
    end: float | None = None
    output: str = "separated"
    filename: str = "{track}/{stem}.{ext}"
    format: str = "wav"
    depth: str = "auto"
    bitrate: int | None = None
    quality: float | None = None
    clip_mode: ClipMode = "rescale"
    existing: Existing = "refuse"
    picture: bool = False
    grid: GridName = "model"
    weights: tuple[float, ...] = ()
    combine: Combination = "mean"
    workflow: str = ""
    karaoke: bool = False
    backend: BackendOption = "auto"

    other_names: ClassVar[Mapping[str, str]] = {
        "overwrite": "existing='overwrite'",
        "skip_existing": "existing='skip'",
        "bit_depth": "depth",
    }

    if TYPE_CHECKING:  # the constructor also takes what :func:`plain` converts

        def __init__(self, **fields: Unpack[OptionFields]) -> None: ...

    def __new__(cls, *_: Any, **fields: Any) -> Self:
        """Refuse unknown fields as :meth:`from_dict` does, with the nearest known one."""
        if not fields.keys() <= cls.__dataclass_fields__.keys():
            cls.from_dict(fields)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, plain(field.name, getattr(self, field.name)))
        super().__post_init__()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build options from a mapping; also takes what the constructor takes.

        Raises:
            ConfigError: unknown keys or invalid values, all of them together.
        """
        return super().from_dict({key: plain(key, value) for key, value in values.items()})

    def mistakes(self) -> list[str]:
        """Every mistake, a sentence each."""
        return [
            *self._model_mistakes(),
            *self._weight_mistakes(),
            *self._workflow_mistakes(),
            *self._chunk_mistakes(),
            *self._range_mistakes(),
            *self._format_mistakes(),
            *self._output_mistakes(),
        ]

    @classmethod
    def mistakes_beside(cls, values: Mapping[str, Any], wrong: Collection[str]) -> list[str]:
        """Mistakes in the other fields, a sentence each."""
        left_out = {*wrong, *(FORMAT_FIELDS if FORMAT_FIELDS.intersection(wrong) else ())}
        try:
            cls.from_dict({name: values[name] for name in values if name not in left_out})
        except ConfigError as error:
            return error.mistakes
        return []

    @classmethod
    def _unknown_key(cls, key: Any, known: Mapping[str, Any]) -> str:
        argument = nearest(str(key), ARGUMENTS)
        if argument and key not in cls.other_names and not nearest(str(key), known):
            return f"unknown key {key!r}, did you mean {argument!r}?"
        return super()._unknown_key(key, known)

    @classmethod
    def title(cls) -> str:
        """None: the mistakes name options."""
        return ""

    @classmethod
    def words(cls) -> Mapping[Any, str]:
        """How messages name types."""
        words = WORDS if names_flags() else PYTHON_WORDS
        return {**words, tuple[str, ...]: "a name or a list of names"}

    def output_format(self) -> OutputFormat:
        """The encoding of the stems.

        Raises:
            ConfigError: the format does not have these options.
        """
        return OutputFormat(self.format, self.depth, self.bitrate, self.quality)

    def _model_mistakes(self) -> Iterator[str]:
        if not self.model:
            yield f"no model is named; add {setting(model=Verbatim('NAME'))}"
        if len(set(self.model)) < len(self.model):
            yield f"a model is named twice ({subject('model', self.model)})"
        if len(set(self.stems)) < len(self.stems):
            yield f"a stem is named twice ({subject('stems', self.stems)})"
        if not names_flags() and any("," in stem for stem in self.stems):
            names = [name.strip() for stem in self.stems for name in stem.split(",")]
            yield f"stems takes a list of names; use {setting(stems=names)}"
        if joined := [name for name in self.model if "," in name and not os.path.exists(name)]:
            names = [name.strip() for name in ",".join(joined).split(",")]
            yield f"one model is named at a time; use {setting(model=names)}"
        chosen = [name for name in CHOICES if getattr(self, name)]
        yield from (contradiction(one, other) for one, other in pairwise(chosen))

    def _weight_mistakes(self) -> Iterator[str]:
        if not all(0 <= weight < math.inf for weight in self.weights):
            yield f"{option('weights')} must be 0 or larger, found {list(self.weights)}"
        elif self.weights and not any(self.weights):
            yield f"{option('weights')} must not all be 0"
        elif self.weights and len(self.weights) != len(self.model):
            found = f"found {len(self.weights)} for {len(self.model)}"
            yield f"{option('weights')} must have one number for each {option('model')}, {found}"
        elif self.weights and not self.combine.startswith("mean"):
            other = setting(combine=self.combine)
            yield f"{option('weights')} count in a mean only; leave out {other}"

    def _workflow_mistakes(self) -> Iterator[str]:
        if not self.workflow:
            return
        for name in ("model", "phase_model", *CHOICES, "weights"):
            if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                yield contradiction("workflow", name)

    def _chunk_mistakes(self) -> Iterator[str]:
        if self.overlap is not None and not 0 <= self.overlap < 1:
            yield f"{subject('overlap')} must be at least 0 and below 1, found {self.overlap}"
        if self.segment is not None and not SHORTEST_SEGMENT <= self.segment <= LONGEST_SEGMENT:
            between = f"from {SHORTEST_SEGMENT} to {LONGEST_SEGMENT} seconds"
            yield f"{subject('segment')} must be {between}, found {self.segment}"
        if self.shifts < 1:
            yield f"{subject('shifts')} must be at least 1, found {self.shifts}"
        if self.batch_size < 0:
            name = subject("batch_size")
            yield f"{name} must be at least 1, or 0 for automatic, found {self.batch_size}"

    def _range_mistakes(self) -> Iterator[str]:
        if self.track is not None and self.track < 1:
            yield f"{option('track')} counts from 1, found {self.track}"
        start = 0.0 if self.start is None else self.start
        for name, seconds in (("start", start), ("end", self.end)):
            if seconds is not None and not 0 <= seconds <= LATEST:
                yield f"{option(name)} must be from 0 to {LATEST:,} seconds, found {seconds}"
        if self.end is not None and self.end <= start:
            found = f"found {self.end} and {start}"
            yield f"{option('end')} must come after {option('start')}, {found}"

    def _output_mistakes(self) -> Iterator[str]:
        if not self.output:
            yield f"{subject('output')} is empty; use e.g. {setting(output='.')}"
        for name in ("output", "filename"):
            if "\0" in getattr(self, name):
                yield f"{subject(name)} has a null character; use a name without"

    def _format_mistakes(self) -> Iterator[str]:
        rules = RULES.get(self.format, FormatRules())
        if self.clip_mode == "none" and not rules.may_be_float(self.depth):
            chosen = f"{self.format} with {self.depth} bit" if rules.has_float else self.format
            none, float32 = subject("clip_mode", "none"), setting(format="wav", depth="32f")
            yield f"{none} needs floating point, which {chosen} does not have; use {float32}"
        try:
            self.output_format()
        except ConfigError as error:
            yield from error.mistakes
