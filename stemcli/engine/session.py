"""The public API of the engine: loads models on devices and separates songs.

A song holds a device only while its network runs; while the song is decoded at the start and
encoded at the end, another song uses the device.
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
from stemcli.engine.overlap_add import Block
from stemcli.engine.song import Result, SongJob, finite
from stemcli.engine.stream import SeparationStream

T = TypeVar("T")


@dataclass(frozen=True)
class _Device:
    ensemble: Ensemble
    thread: ThreadPoolExecutor


class DevicePool:
    """A pool of devices with loaded networks; a song waits until one is free.

    Args:
        ensembles: one per slot; slots on one device may share theirs.
    """

    def __init__(self, ensembles: Iterable[Ensemble]) -> None:
        slots = list(ensembles)
        cores = max(1, torch.get_num_threads() // len(slots))
        self._free: SimpleQueue[_Device] = SimpleQueue()
        for ensemble in slots:
            thread = ThreadPoolExecutor(1, "network", torch.set_num_threads, (cores,))
            self._free.put(_Device(ensemble, thread))

    def run(self, work: Callable[[Ensemble], T]) -> T:
        """Run ``work`` on the next free device and return its result.

        Raises:
            BaseException: raised by ``work``.
        """
        device = self._free.get()
        try:
            return device.thread.submit(work, device.ensemble).result()
        finally:
            self._free.put(device)


BLOCK = 65536
"""Frames per block of a waveform in memory."""

MOST_CHANNELS = 64
"""Channels of a waveform; no loudspeaker layout has more."""


ELSEWHERE = frozenset(
    {"batch_size", "device", "existing", "filename", "fall_back_to_only_track", "output", "stems"}
)
"""Options without effect on the sound of a stem: files, selection, speed and failure handling."""

PHASE = "phase_model"
LATER = frozenset({PHASE, "track"})
"""Options that :attr:`Session.settings` holds only if they are set.

Journals from before these options existed therefore still match.
"""


class Session:
    """Loads models once and separates any number of songs, from any number of threads.

    Songs from several threads are decoded and encoded in parallel; their networks take turns.
    Error messages name options as on the command line; see
    :class:`~stemcli.engine.options.Options` for the fields. Notes that the MP3 decoder inside
    libsndfile prints on standard error are not suppressed, because that would redirect the
    descriptor of the whole process.

    Args:
        options: choices of the user.
        on_event: called with every event, one at a time.
        jobs: number of songs to separate at the same time. They share the cores; if there are
            several GPUs, each song takes one.
        load: loads a model by name.
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
        self._on_event = on_event
        self._load = load
        self._jobs = jobs
        self._models: list[LoadedModel] = []
        self._phase: LoadedModel | None = None
        self._ensembles: list[Ensemble] = []
        self._devices: DevicePool | None = None
        self._loading = threading.Lock()
        self._emitting = threading.Lock()
        self._interrupted = threading.Event()
        self._sent_notices: set[str] = set()

    @property
    def ensemble(self) -> Ensemble:
        """The networks, loaded on first use.

        Raises:
            UsageError: a model, stem or device does not exist.
            WeightsError: the weights cannot be used.
        """
        with self._loading:
            if not self._ensembles:
                self._ensembles = self._assemble()
            return self._ensembles[0]

    @property
    def network_seconds(self) -> float:
        """Total time in forward passes so far, over all songs."""
        members = {id(member): member for each in self._ensembles for member in each.all}
        return sum(member.runner.busy_seconds for member in members.values())

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.ensemble.selection.names

    def plan(self, song: str | os.PathLike[str], *, folder: Path | None = None) -> dict[str, Path]:
        """Return the paths of the stems of ``song``.

        Args:
            song: the input; its tags are read if ``--filename`` needs them.
            folder: sub-folder of the output folder, to mirror a tree.

        Raises:
            ConfigError: the file name template cannot be used.
            OutputError: a stem would replace the song.
            FfmpegMissingError: the format needs ffmpeg, which is missing.
        """
        options = self.options
        if "://" in options.output:
            raise OutputError(
                f"{options.output} is a URL, to which only the commands can write. Choose a folder"
            )
        require_encoder(options.output_format())
        return plan_outputs(
            song if isinstance(song, Path) else Path(song),
            self.stems,
            template=options.filename,
            folder=Path(options.output) / (folder or Path()),
            extension=options.output_format().extension,
            model=self.ensemble.name,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that determines the sound of the stems, as plain values.

        All options without those in :data:`ELSEWHERE`; models by name and SHA-256.
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
        outputs: dict[str, Path] | None = None,
        track: str = "",
    ) -> Result:
        """Separate a file into files; they get their final names only when all are complete.

        Args:
            song: any audio file that can be decoded.
            folder: sub-folder of the output folder, to mirror a tree.
            replace: whether to replace existing stems, regardless of the options.
            ready: called with the temporary and final path of every stem when all are complete.
            outputs: stem name to path; those of :meth:`plan` if None.
            track: name of the song in events; its file name, below ``folder``, if empty.

        Raises:
            StemError: the song cannot be separated; reported as ``TrackFailed`` before.
        """
        song = Path(song)
        track = track or str((folder or Path()) / song.name)
        try:
            paths = outputs or self.plan(song, folder=folder)
            if not replace and self._refuse_or_skip(track, paths):
                return Result(paths, skipped=True)
            return SongJob(
                song,
                paths,
                self._on_device,
                self.options,
                track,
                self._emit,
                ready,
                self._interrupted,
                self._sent_notices,
                self.ensemble.needs_peak_level,
            ).run()
        except StemError as error:
            self._emit(TrackFailed(track, str(error)))
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
            DecodeError: the waveform has another shape, no samples, NaN or infinity, or the sample
                rate is invalid.
            NumericalError: the network produced NaN or infinity.
        """
        options, rate = self.options, as_rate(sample_rate)
        first = round((options.start or 0.0) * rate)
        last = None if options.end is None else round(options.end * rate)
        song = as_song(wave)[first:last]
        if not len(song):
            raise DecodeError(
                "The waveform has no samples between start and end. Give at least one frame"
            )
        parts = (song[at : at + BLOCK] for at in range(0, len(song), BLOCK))
        checked = list(finite(parts, "The waveform", rate))
        separation = SeparationStream(
            self.ensemble, rate, song.shape[1], float(max(song.max(), -song.min()))
        )
        stems = np.empty((len(self.stems), *song.shape), dtype=np.float32)
        done = 0
        for block in separation.pass_through(checked):  # views, each of which holds whole chunks
            stems[:, done : done + len(block)] = block.swapaxes(0, 1)
            done += len(block)
        return dict(zip(self.stems, stems, strict=True))

    def interrupt(self) -> None:
        """Stop all songs: each raises KeyboardInterrupt with its next event.

        Songs that wait for a decoder stop at once. No files are left behind; the session cannot be
        used afterwards.
        """
        self._interrupted.set()

    def _refuse_or_skip(self, track: str, paths: dict[str, Path]) -> bool:
        """Whether to skip a song because all outputs exist; if only some exist, it is redone."""
        taken = [path for path in paths.values() if os.path.lexists(path)]
        if taken and self.options.existing == "refuse":
            raise OutputError(
                f"{taken[0]} already exists. Add --overwrite or --skip-existing (in Python: "
                "existing='overwrite' or 'skip')"
            )
        skip = self.options.existing == "skip" and all(map(os.path.exists, paths.values()))
        if skip:
            self._emit(TrackSkipped(track, "all stems exist"))
        return skip

    def _on_device(self, work: Callable[[Ensemble], T]) -> T:
        with self._loading:
            if self._devices is None:
                self._devices = DevicePool(self._ensembles)
        return self._devices.run(work)

    def _assemble(self) -> list[Ensemble]:
        """One ensemble per job; jobs on one device share it."""
        device = resolve_device(self.options.device)
        if self._load is load_model:
            check_request(self.options)
        ensembles: dict[torch.device, Ensemble] = {}
        devices = spread(device, self._jobs)
        for device in dict.fromkeys(devices):
            networks = [self._load(name) for name in self.options.networks]
            self._models = networks[: len(self.options.model)]
            self._phase = next(iter(networks[len(self._models) :]), None)
            ensembles[device] = assemble(self._models, self.options, device, self._phase)
            for model, member in zip(networks, ensembles[device].all, strict=True):
                precision = member.precision
                chosen = (str(device), precision.name, precision.reason)
                self._emit(ModelLoaded(model.name, *chosen, model.better))
        return [ensembles[device] for device in devices]

    def _emit(self, event: Event) -> None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        if self._on_event is not None:
            with self._emitting:
                self._on_event(event)


def separate(
    song: str | os.PathLike[str],
    *,
    model: str | Sequence[str] = DEFAULT_MODEL,
    on_event: EventHandler | None = None,
    **options: Any,
) -> Result:
    """Separate one song into files.

    Args:
        song: any audio file that can be decoded.
        model: name of a model, or several names to average.
        on_event: called with every event.
        **options: fields of :class:`~stemcli.engine.options.Options`.

    Raises:
        StemError: the song cannot be separated; ``str(error)`` is the sentence to show.
    """
    names = [model] if isinstance(model, str) else list(model)
    plain = {key: _plain(value) for key, value in options.items()}
    chosen = Options.from_dict({**plain, "model": names})
    return Session(chosen, on_event).separate_file(song)


def as_song(wave: NDArray[np.floating[Any]]) -> Block:
    """Check a waveform and convert it to float32 frames.

    Raises:
        DecodeError: the waveform is not ``(frames, channels)`` of floats, or has so many channels
            that its axes must be swapped.
    """
    array = np.asarray(wave)
    if array.ndim != 2 or 0 in array.shape[1:] or not np.issubdtype(array.dtype, np.floating):
        kind = f"{array.dtype} of shape {array.shape}"
        raise DecodeError(f"The waveform is {kind}. Give floats of shape (frames, channels)")
    if array.shape[1] > MOST_CHANNELS:
        frames, channels = array.shape
        raise DecodeError(
            f"The waveform has {frames} frames of {channels} channels. Give (frames, channels), "
            "e.g. wave.T"
        )
    return array.astype(np.float32)


def as_rate(sample_rate: float) -> int:
    """Check a sample rate and convert it to an integer in Hz.

    Raises:
        DecodeError: the sample rate is not a whole number above 0.
    """
    if not sample_rate > 0 or not float(sample_rate).is_integer():
        raise DecodeError(f"The sample rate is {sample_rate!r}. Give Hz, e.g. 44100")
    return int(sample_rate)


def _plain(value: Any) -> Any:
    """Convert a path to text; other values stay unchanged."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value
