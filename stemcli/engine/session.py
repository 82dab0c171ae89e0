"""The public interface of the engine: loaded models on devices, and songs separated by them.

A song takes a place for the time that its network needs; while it is decoded at the start and
encoded at the end, the place belongs to another song, so that it never waits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.catalogue.cards import DEFAULT_MODEL
from model_zoo.errors import DecodeError, OutputError, StemError
from stemcli.audio.encoders import require_encoder
from stemcli.engine.buffer import Block
from stemcli.engine.checks import check_request
from stemcli.engine.device import resolve_device, spread
from stemcli.engine.ensemble import Ensemble, assemble
from stemcli.engine.events import (
    Event,
    EventHandler,
    ModelLoaded,
    TrackFailed,
    TrackSkipped,
)
from stemcli.engine.models import LoadedModel, load_model
from stemcli.engine.options import Options
from stemcli.engine.outputs import Ready, plan_outputs
from stemcli.engine.song import Result, SongJob, finite
from stemcli.engine.stream import SeparationStream

T = TypeVar("T")


@dataclass(frozen=True)
class _Device:
    ensemble: Ensemble
    thread: ThreadPoolExecutor


class DevicePool:
    """Hands out places; whoever finds none free waits.

    Args:
        ensembles: one per place; places on one device may share theirs.
    """

    def __init__(self, ensembles: Iterable[Ensemble]) -> None:
        chosen = list(ensembles)
        cores = max(1, torch.get_num_threads() // len(chosen))
        self._free: SimpleQueue[_Device] = SimpleQueue()
        for ensemble in chosen:
            thread = ThreadPoolExecutor(1, "network", torch.set_num_threads, (cores,))
            self._free.put(_Device(ensemble, thread))

    def run(self, work: Callable[[Ensemble], T]) -> T:
        """What ``work`` gives, done at the next free place.

        Raises:
            BaseException: what ``work`` raised.
        """
        place = self._free.get()
        try:
            return place.thread.submit(work, place.ensemble).result()
        finally:
            self._free.put(place)


BLOCK = 65536
"""Frames heard at a time."""

MOST_CHANNELS = 64
"""Of a waveform; no layout of loudspeakers has more."""


ELSEWHERE = frozenset(
    {"batch_size", "device", "existing", "filename", "fall_back_to_only_track", "output", "stems"}
)
"""Options that say where stems go, which are kept, how fast they are made or when to give up."""

PHASE = "phase_model"
LATER = frozenset({PHASE, "track"})
"""Options that :attr:`Session.settings` has only where one was chosen.

So journals from before there was such an option still match.
"""


class Session:
    """Models loaded once, for any number of songs and from any number of threads.

    Songs given by several threads are decoded and encoded side by side; their networks take turns.
    Errors name options as on the command line; :class:`~stemcli.engine.options.Options` says which
    of its fields is meant. Notes that the MP3 decoder inside libsndfile prints on standard error
    are not suppressed, because that would take the descriptor from the whole process.

    Args:
        options: what the user chose.
        on_event: told everything that happens, one event at a time.
        jobs: how many songs are separated at the same time. They share the cores; where there are
            several GPUs, they take one each.
        load: gives the model that a name stands for.
    """

    def __init__(
        self,
        options: Options | None = None,
        on_event: EventHandler | None = None,
        *,
        jobs: int = 1,
        load: Callable[[str], LoadedModel] = load_model,
    ) -> None:
        self.options = options or Options()
        self._listener = on_event
        self._load = load
        self._jobs = jobs
        self._models: list[LoadedModel] = []
        self._phase: LoadedModel | None = None
        self._ensembles: list[Ensemble] = []
        self._places: DevicePool | None = None
        self._loading = threading.Lock()
        self._telling = threading.Lock()
        self._interrupted = threading.Event()
        self._said: set[str] = set()

    @property
    def ensemble(self) -> Ensemble:
        """The networks, loaded when first asked for.

        Raises:
            UsageError: for models, stems or a device that there are not.
            WeightsError: for weights that cannot be used.
        """
        with self._loading:
            if not self._ensembles:
                self._ensembles = self._assemble()
            return self._ensembles[0]

    @property
    def network_seconds(self) -> float:
        """Time for which networks have run so far, over all songs."""
        members = {id(member): member for each in self._ensembles for member in each.all}
        return sum(member.runner.busy_seconds for member in members.values())

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.ensemble.selection.names

    def plan(self, song: str | os.PathLike[str], *, folder: Path | None = None) -> dict[str, Path]:
        """Where the stems of ``song`` will be written.

        Args:
            song: the input.
            folder: below the output folder, to mirror a tree.

        Raises:
            ConfigError: for a file name template that cannot be used.
            OutputError: when a stem would replace the song.
            FfmpegMissingError: when the format needs ffmpeg and there is none.
        """
        options = self.options
        if "://" in options.output:
            raise OutputError(
                f"{options.output} is an address, where only stem batch can write: choose a folder"
            )
        require_encoder(options.output_format())
        return plan_outputs(
            Path(song),
            self.stems,
            template=options.filename,
            folder=Path(options.output) / (folder or Path()),
            extension=options.output_format().extension,
            model=self.ensemble.name,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides what the stems sound like, as plain values.

        Options, but for those that only say where and how fast; models by name and SHA-256.
        """
        chosen, _ = self.options.to_dict(), self.ensemble
        models = [[model.name, model.sha256] for model in self._models]
        kept = {key: chosen[key] for key in chosen if key not in ELSEWHERE | LATER}
        phase = {PHASE: [self._phase.name, self._phase.sha256]} if self._phase else {}
        track = {"track": self.options.track} if self.options.track else {}
        return {**kept, "model": models, **phase, **track}

    def separate_file(
        self,
        song: str | os.PathLike[str],
        *,
        folder: Path | None = None,
        replace: bool = False,
        ready: Ready = lambda files: None,
    ) -> Result:
        """Separate a file into files; all appear when all are complete, or none does.

        Args:
            song: anything that can be decoded.
            folder: below the output folder, to mirror a tree.
            replace: the stems that exist, whatever the options say of them.
            ready: told the temporary and the final path of every stem when all are complete.

        Raises:
            StemError: whatever was wrong, in one sentence; told as ``TrackFailed`` before.
        """
        song = Path(song)
        track = str((folder or Path()) / song.name)
        try:
            paths = self.plan(song, folder=folder)
            if not replace and self._refuse_or_skip(track, paths):
                return Result(paths, skipped=True)
            return SongJob(
                song,
                paths,
                self._at_place,
                self.options,
                track,
                self._tell,
                ready,
                self._interrupted,
                self._said,
                self.ensemble.needs_peak_level,
            ).run()
        except StemError as error:
            self._tell(TrackFailed(track, str(error)))
            raise

    def separate_array(
        self, wave: NDArray[np.floating[Any]], sample_rate: int
    ) -> dict[str, NDArray[np.float32]]:
        """Separate a waveform in memory.

        Args:
            wave: ``(frames, channels)``, nominally in [-1, 1]. ``--start`` and ``--end`` apply.
            sample_rate: in Hz.

        Returns:
            Stem name to ``(frames, channels)`` at the same rate.

        Raises:
            DecodeError: for another shape, no samples, NaN or infinity, or no sample rate.
            NumericalError: when the network fails.
        """
        options, rate = self.options, as_rate(sample_rate)
        first = round((options.start or 0.0) * rate)
        last = None if options.end is None else round(options.end * rate)
        song = as_song(wave)[first:last]
        if not len(song):
            raise DecodeError(
                "The waveform holds no sound between start and end: give at least one frame"
            )
        parts = (song[at : at + BLOCK] for at in range(0, len(song), BLOCK))
        heard = list(finite(parts, "The waveform", rate))
        separation = SeparationStream(
            self.ensemble, rate, song.shape[1], float(max(song.max(), -song.min()))
        )
        stems = np.empty((len(self.stems), *song.shape), dtype=np.float32)
        done = 0
        for block in separation.pass_through(heard):  # views, each of which holds whole chunks
            stems[:, done : done + len(block)] = block.swapaxes(0, 1)
            done += len(block)
        return dict(zip(self.stems, stems, strict=True))

    def interrupt(self) -> None:
        """Songs that are being worked on raise KeyboardInterrupt with their next event.

        Those that wait for a decoder do so at once. Nothing is left behind of them; the session is
        of no use any more.
        """
        self._interrupted.set()

    def _refuse_or_skip(self, track: str, paths: dict[str, Path]) -> bool:
        """Whether all outputs are there and may stay; some of them are made again."""
        taken = [path for path in paths.values() if os.path.lexists(path)]
        if taken and self.options.existing == "refuse":
            raise OutputError(
                f"{taken[0]} exists already: choose --overwrite or --skip-existing (in Python: "
                "existing='overwrite' or 'skip')"
            )
        skip = self.options.existing == "skip" and all(map(os.path.exists, paths.values()))
        if skip:
            self._tell(TrackSkipped(track, "all stems exist"))
        return skip

    def _at_place(self, work: Callable[[Ensemble], T]) -> T:
        with self._loading:
            if self._places is None:
                self._places = DevicePool(self._ensembles)
        return self._places.run(work)

    def _assemble(self) -> list[Ensemble]:
        """One ensemble per job; those on one device are the same."""
        device = resolve_device(self.options.device)
        if self._load is load_model:
            check_request(self.options)
        made: dict[torch.device, Ensemble] = {}
        devices = spread(device, self._jobs)
        for device in dict.fromkeys(devices):
            networks = [self._load(name) for name in self.options.networks]
            self._models = networks[: len(self.options.model)]
            self._phase = next(iter(networks[len(self._models) :]), None)
            made[device] = assemble(self._models, self.options, device, self._phase)
            for model, member in zip(networks, made[device].all, strict=True):
                precision = member.precision
                chosen = (str(device), precision.name, precision.reason)
                self._tell(ModelLoaded(model.name, *chosen, model.better))
        return [made[device] for device in devices]

    def _tell(self, event: Event) -> None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        if self._listener is not None:
            with self._telling:
                self._listener(event)


def separate(
    song: str | os.PathLike[str],
    *,
    model: str | Sequence[str] = DEFAULT_MODEL,
    on_event: EventHandler | None = None,
    **options: Any,
) -> Result:
    """Separate one song into files.

    Args:
        song: anything that can be decoded.
        model: name of a model, or several names to average.
        on_event: told everything that happens.
        **options: fields of :class:`~stemcli.engine.options.Options`.

    Raises:
        StemError: whatever was wrong, in one sentence.
    """
    names = [model] if isinstance(model, str) else list(model)
    plain = {key: _plain(value) for key, value in options.items()}
    chosen = Options.from_dict({**plain, "model": names})
    return Session(chosen, on_event).separate_file(song)


def as_song(wave: NDArray[np.floating[Any]]) -> Block:
    """Float32 frames of a waveform given by a program.

    Raises:
        DecodeError: when it is not ``(frames, channels)`` of floats, or when so many channels show
            that the axes are the other way round.
    """
    array = np.asarray(wave)
    if array.ndim != 2 or 0 in array.shape[1:] or not np.issubdtype(array.dtype, np.floating):
        found = f"{array.dtype} of shape {array.shape}"
        raise DecodeError(f"The waveform is {found}: give floats of shape (frames, channels)")
    if array.shape[1] > MOST_CHANNELS:
        frames, channels = array.shape
        raise DecodeError(
            f"The waveform has {frames} frames of {channels} channels: give (frames, channels), "
            "e.g. wave.T"
        )
    return array.astype(np.float32)


def as_rate(sample_rate: float) -> int:
    """A sample rate given by a program, in Hz.

    Raises:
        DecodeError: when it is not a whole number above 0.
    """
    if not sample_rate > 0 or not float(sample_rate).is_integer():
        raise DecodeError(f"The sample rate is {sample_rate!r}: give Hz, e.g. 44100")
    return int(sample_rate)


def _plain(value: Any) -> Any:
    """A path where an option wants text."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value
