"""Separates one song, from its file to the files of its stems."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import log10
from pathlib import Path

import numpy as np

from model_zoo.errors import ConfigError, DecodeError
from model_zoo.option_names import setting, subject
from stemcli.audio.ffmpeg_binary import fallback_notice
from stemcli.audio.info import AudioInfo
from stemcli.audio.reader import AudioReader, open_audio
from stemcli.audio.tracks import NoTrackError
from stemcli.engine.background import Prefetcher
from stemcli.engine.chain import Networks, open_stream
from stemcli.engine.events import EventHandler, Notice, Progress, Stage, TrackFinished, TrackStarted
from stemcli.engine.level import LevelMeter, SongLevel
from stemcli.engine.options import Options
from stemcli.engine.outputs import Ready, StemWriter
from stemcli.engine.overlap_add import Block
from stemcli.engine.picture import SongPicture

LOUDEST = 2.0**31
"""Largest sample that is accepted as audio; full scale is 1.

Programs that write 32-bit integers as floats without scaling reach it; squares of samples far above
overflow the float32 of a network.
"""


@dataclass(frozen=True)
class Result:
    """The result of one song.

    Attributes:
        outputs: stem name to path.
        frames: samples per channel of each stem; 0 if the song was skipped.
        sample_rate: in Hz; 0 if the song was skipped.
        gain: factor on all stems, below 1 if they would have clipped.
        skipped: whether the song was skipped because its outputs existed.
        wall_seconds: from the moment when a network was free for the song until its files were
            complete.
        picture: path of the picture; None if none was asked for.
    """

    outputs: dict[str, Path] = field(hash=False)
    frames: int = 0
    sample_rate: int = 0
    gain: float = 1.0
    skipped: bool = False
    wall_seconds: float = 0.0
    picture: Path | None = None

    @property
    def seconds(self) -> float:
        """Length of the song."""
        return self.frames / self.sample_rate if self.sample_rate else 0.0


@dataclass(frozen=True)
class SongJob:
    """Decodes, separates and encodes one song.

    Attributes:
        song: the input.
        paths: output name to path, in the order of the ensemble's outputs.
        on_device: runs a function on the next free device; the function receives its ensemble.
        options: part of the song, format and clipping.
        track: name of the song in events.
        on_event: called with every event.
        ready: called when the stems are complete under temporary names.
        interrupted: when set, waiting for a decoder stops.
        sent_notices: notices that are sent once per session and have been sent.
        needs_level: whether the models need the level of the whole song in advance.
        picture: path of the picture; None to draw none.
    """

    song: Path
    paths: Mapping[str, Path]
    on_device: Callable[[Callable[[Networks], tuple[float, int]]], tuple[float, int]]
    options: Options
    track: str
    on_event: EventHandler
    ready: Ready
    interrupted: threading.Event = field(default_factory=threading.Event)
    sent_notices: set[str] = field(default_factory=set)
    needs_level: bool = False
    picture: Path | None = None

    def run(self) -> Result:
        """Separate the song; either all stems are written or none.

        Raises:
            StemError: the song cannot be separated.
        """
        with self._open() as reader:
            info = reader.info
            picture = self._new_picture(info)
            checked = finite(reader, self.song, info.sample_rate)
            mixture = picture.measured(checked) if picture else checked
            with self._open_writer(info, picture) as writer, Prefetcher(mixture) as blocks:
                level = self._measure() if self.needs_level else SongLevel()
                began, frames = self.on_device(
                    lambda ensemble: self._separate(blocks, info, level, ensemble, writer)
                )
                if self.options.end is None:
                    self._notice(reader.doubt)
                self._notice(self._loudness(writer))
                counter = Counter(self, "encoding", info.sample_rate, frames)
                for message in writer.commit(self.song, counter.add, self.ready):
                    self._notice(message)
        seconds = time.monotonic() - began
        result = Result(
            dict(self.paths),
            frames,
            info.sample_rate,
            writer.gain,
            wall_seconds=seconds,
            picture=self.picture,
        )
        outputs = {stem: str(path) for stem, path in self.paths.items()}
        drawn = str(self.picture) if self.picture else None
        self.on_event(TrackFinished(self.track, outputs, result.seconds, seconds, drawn))
        return result

    def _new_picture(self, info: AudioInfo) -> SongPicture | None:
        if self.picture is None:
            return None
        title, stems = self.song.stem, list(self.paths)
        return SongPicture(self.picture, title, stems, info.sample_rate, info.channels)

    def _open(self) -> AudioReader:
        number = self.options.track
        try:
            return self._open_track(number)
        except NoTrackError as error:
            if not (self.options.fall_back_to_only_track and error.has_only_one):
                raise
        reader = self._open_track(1)
        note = f"it has no audio track {number}, so its only track was used"
        reader.info = replace(reader.info, notices=(note, *reader.info.notices))
        return reader

    def _open_track(self, number: int | None) -> AudioReader:
        stream = None if number is None else number - 1
        start, end = self.options.start, self.options.end
        return open_audio(self.song, start=start, end=end, stream=stream, ended=self.interrupted)

    def _open_writer(self, info: AudioInfo, picture: SongPicture | None) -> StemWriter:
        format = self.options.output_format().resolve(info)
        mode = self.options.clip_mode
        if mode == "none" and format.clips:
            problem = (
                f"{subject('clip_mode', 'none')} would let {format.name} at {format.depth} bit clip"
            )
            raise ConfigError("", [f"{problem}; use {setting(depth='32f')}"])
        rescale = mode == "rescale" and format.clips
        properties = (info.sample_rate, info.channels, format)
        return StemWriter(self.paths, *properties, rescale=rescale, picture=picture)

    def _measure(self) -> SongLevel:
        """The level of the selected part of the song, which is decoded once more for this."""
        meter = LevelMeter()
        with self._open() as reader:
            rate = reader.info.sample_rate
            counter = Counter(self, "measuring", rate, expected_frames(reader.info, self.options))
            for block in finite(reader, self.song, rate):
                meter.add(block)
                counter.add(len(block))
        return meter.level

    def _separate(
        self,
        blocks: Iterator[Block],
        info: AudioInfo,
        level: SongLevel,
        ensemble: Networks,
        writer: StemWriter,
    ) -> tuple[float, int]:
        """Separate all blocks; return when the network was free, and the number of frames."""
        began = time.monotonic()
        expected = expected_frames(info, self.options)
        total = expected / info.sample_rate if expected is not None else None
        self.on_event(TrackStarted(self.track, total, info.sample_rate, info.channels))
        for message in info.notices:
            self._notice(message)
        counter = Counter(self, "separating", info.sample_rate, expected)
        separation = open_stream(ensemble, info.sample_rate, info.channels, level)
        try:
            for block in separation.pass_through(blocks):
                self._write(block, writer, counter)
        finally:
            for member in ensemble.all:
                self._notice(member.runner.take_notice())
        return began, counter.frames

    def _write(self, block: Block, writer: StemWriter, counter: Counter) -> None:
        if len(block):
            writer.write(block)
            counter.add(len(block))

    def _loudness(self, writer: StemWriter) -> str:
        above = 20 * log10(max(1.0, writer.peak))
        if above < 0.05 or not writer.clips:
            return ""
        done = f"all were lowered by {above:.1f} dB" if writer.gain < 1 else "the peaks were cut"
        excess = f"the stems reach {above:.1f} dB above full scale"
        keeps = setting(format="wav", depth="32f")
        return f"{excess}: {done} ({keeps} keeps them unchanged)"

    def _notice(self, message: str) -> None:
        if not message or message in self.sent_notices:
            return
        if message == fallback_notice():
            self.sent_notices.add(message)
        self.on_event(Notice(self.track, message))


class Counter:
    """Sends ``Progress`` events of one stage."""

    def __init__(self, job: SongJob, stage: Stage, sample_rate: int, total: int | None) -> None:
        self.frames = 0
        self._job, self._stage, self._rate = job, stage, sample_rate
        self._total = total / sample_rate if total is not None else None

    def add(self, frames: int) -> None:
        """Count ``frames`` more and send the progress."""
        self.frames += frames
        done = self.frames / self._rate
        self._job.on_event(Progress(self._job.track, self._stage, done, self._total))


def expected_frames(info: AudioInfo, options: Options) -> int | None:
    """Frames between ``start`` and ``end`` by the header; None if the length is unknown."""
    ends = [] if info.frames is None else [info.frames]
    if options.end is not None:
        ends.append(round(options.end * info.sample_rate))
    start = round((options.start or 0.0) * info.sample_rate)
    return max(0, min(ends) - start) if ends else None


def finite(blocks: Iterator[Block], name: object, sample_rate: int) -> Iterator[Block]:
    """Pass blocks through and check that their samples are usable.

    Raises:
        DecodeError: a sample is NaN, infinite or far too large; the message gives its time.
    """
    position = 0
    for block in blocks:
        valid = (np.abs(block) <= LOUDEST).all(axis=1)  # False for NaN too
        if not valid.all():
            index = int(valid.argmin())
            raise _invalid(name, block[index], (position + index) / sample_rate)
        position += len(block)
        yield block


def _invalid(name: object, frame: Block, seconds: float) -> DecodeError:
    if not np.isfinite(frame).all():
        return DecodeError(f"{name} holds NaN or infinity at {seconds:.2f} s. Export it again")
    return DecodeError(
        f"{name} holds a sample of {np.abs(frame).max():.1e} at {seconds:.2f} s, where full scale "
        "is 1. It is damaged; export it again"
    )
