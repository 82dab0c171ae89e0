"""Everything a user can choose about one separation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from model_zoo.catalogue.cards import DEFAULT_MODEL
from model_zoo.config import Config
from model_zoo.errors import ConfigError
from stemcli.audio.formats import OutputFormat

SHORTEST_SEGMENT = 0.25
"""Seconds; longer than the analysis window of any network, so that a chunk can be transformed."""


@dataclass(frozen=True)
class Options(Config):
    """Choices for :class:`~stemcli.engine.session.Session`; the defaults suit most songs.

    Errors call an option what it is called on the command line: the name of its field with two
    dashes before and dashes for underscores. Two differ: ``--bit-depth`` is ``depth``, and
    ``--overwrite`` and ``--skip-existing`` are values of ``existing``.

    Attributes:
        model: names of models; several are averaged over the stems that they share.
        phase_model: a network that gives every stem a phase of its own, in the place of the
            mixture's; none when empty.
        stems: the stems to keep, all when empty.
        two_stems: this stem and the rest of the mixture; off when empty.
        overlap: fraction of a chunk that its neighbour covers too; the model's own when None.
        segment: length of a chunk in seconds; the model's own when None.
        shifts: number of chunk grids whose estimates are averaged; costs that many times the work.
        seed: where the random offsets of those grids start from.
        batch_size: chunks in one pass of the network; 0 chooses by the device.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: arithmetic of the network; ``auto`` takes bf16 where the processor has it.
        track: which sound track of the song, counted from 1; the one that the file calls the
            default, else the first, when None.
        fall_back_to_only_track: whether a song with one sound track is separated, with a notice,
            where ``track`` asks for another one.
        start: where in the song to begin, in seconds.
        end: where in the song to stop, in seconds.
        output: folder that receives the stems.
        filename: path below ``output``; fields ``{track} {stem} {ext} {model}``.
        format: ``wav``, ``flac``, ``mp3``, ``ogg``, ``opus`` or ``m4a``.
        depth: ``16``, ``24`` or ``32f``; ``auto`` keeps what the input has.
        bitrate: kbit/s of a lossy format.
        quality: the encoder's own scale, instead of a bit rate.
        clip_mode: stems above full scale in an integer or lossy file are all lowered by one gain
            (``rescale``), cut (``clamp``), or refused a file that would cut them (``none``).
        existing: what to do about outputs that are there: ``refuse``, ``skip`` or ``overwrite``.
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
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
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
    clip_mode: Literal["rescale", "clamp", "none"] = "rescale"
    existing: Literal["refuse", "skip", "overwrite"] = "refuse"

    def mistakes(self) -> list[str]:
        """Every contradiction, with the names that options have on the command line."""
        return [
            *self._model_mistakes(),
            *self._chunk_mistakes(),
            *self._range_mistakes(),
            *self._format_mistakes(),
            *self._output_mistakes(),
        ]

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of all networks that run: the models and, where one was chosen, that for phases."""
        return (*self.model, *((self.phase_model,) if self.phase_model else ()))

    def output_format(self) -> OutputFormat:
        """How the stems are encoded.

        Raises:
            ConfigError: for choices that the format does not have.
        """
        return OutputFormat(self.format, self.depth, self.bitrate, self.quality)

    def _model_mistakes(self) -> Iterator[str]:
        if not self.model:
            yield "no model is named: type --model NAME"
        if len(set(self.model)) < len(self.model):
            yield f"a model is named twice (--model {' --model '.join(self.model)})"
        if len(set(self.stems)) < len(self.stems):
            yield f"a stem is named twice (--stems {','.join(self.stems)})"
        if self.stems and self.two_stems:
            yield "--stems and --two-stems exclude each other: type one of them"

    def _chunk_mistakes(self) -> Iterator[str]:
        if self.overlap is not None and not 0 <= self.overlap < 1:
            yield f"--overlap is a fraction from 0 to below 1, found {self.overlap}"
        if self.segment is not None and not self.segment >= SHORTEST_SEGMENT:
            yield f"--segment must be at least {SHORTEST_SEGMENT} seconds, found {self.segment}"
        if self.shifts < 1:
            yield f"--shifts must be at least 1, found {self.shifts}"
        if self.batch_size < 0:
            yield f"--batch-size must be at least 1, or 0 to choose, found {self.batch_size}"

    def _range_mistakes(self) -> Iterator[str]:
        if self.track is not None and self.track < 1:
            yield f"--track counts from 1, found {self.track}"
        start = 0.0 if self.start is None else self.start
        if not start >= 0:
            yield f"--start must not be negative, found {start}"
        if self.end is not None and not self.end > start:
            yield f"--end must come after --start, found {self.end} and {start}"

    def _output_mistakes(self) -> Iterator[str]:
        if not self.output:
            yield "--output names no folder: type e.g. --output ."

    def _format_mistakes(self) -> Iterator[str]:
        if self.clip_mode == "none" and (self.format != "wav" or self.depth in ("16", "24")):
            chosen = self.format if self.format != "wav" else f"wav of {self.depth} bit"
            found = f"--clip-mode none needs floating point, which {chosen} does not hold"
            yield f"{found}: type --format wav --bit-depth 32f"
        try:
            self.output_format()
        except ConfigError as error:
            yield from error.mistakes
