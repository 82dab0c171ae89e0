"""The public API of the engine: loads models on devices and separates songs.

A song holds a device only while its network runs; while the song is decoded at the start and
encoded at the end, another song uses the device.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.errors import OutputError, StemError
from stemcli.audio.encoders import require_encoder
from stemcli.audio.info import require_file
from stemcli.engine.arguments import as_folder, as_jobs, check_handler, check_options, named_path
from stemcli.engine.calls import Call, FileRequest, file_request, run_in_thread
from stemcli.engine.chain import Networks
from stemcli.engine.checks import check_request
from stemcli.engine.device import keep_freed_memory, resolve_device, spread
from stemcli.engine.device_pool import DevicePool
from stemcli.engine.events import (
    DownloadProgress,
    Event,
    EventHandler,
    TrackFailed,
    TrackSkipped,
)
from stemcli.engine.inputs import Song, on_disk
from stemcli.engine.members import models_to_load
from stemcli.engine.models import LoadedModel, load_model
from stemcli.engine.networks import LoadedNetworks, load_networks
from stemcli.engine.on_demand import pull_missing
from stemcli.engine.options import OptionFields, Options
from stemcli.engine.outputs import Ready
from stemcli.engine.planned import PlannedFiles, plan_files
from stemcli.engine.publish import bring_back_older
from stemcli.engine.reserved import must_skip, reserved
from stemcli.engine.song import Result, SongJob
from stemcli.engine.waves import Wave, separate_wave
from stemcli.remote_path import is_url

T = TypeVar("T")

ELSEWHERE = frozenset(
    {
        "batch_size",
        "device",
        "existing",
        "fall_back_to_only_track",
        "filename",
        "karaoke",
        "output",
        "picture",
        "stems",
    }
)
"""Options without effect on the sound of a stem: files, selection, speed and failure handling."""

CHANGED = ("grid", "weights", "combine", "backend")
LATER = frozenset({"phase_model", "track", "workflow", *CHANGED})
"""Options that :attr:`Session.settings` holds only if they are set.

Journals from before these options existed therefore still match.
"""


class Session:
    """Loads models once and separates any number of songs, from any number of threads.

    Songs from several threads are decoded and encoded in parallel; their networks take turns.
    Methods whose names end in ``_async`` do the same in threads, for a program that runs an event
    loop. Notes that the MP3 decoder inside libsndfile prints on standard error are not suppressed,
    because that would redirect the descriptor of the whole process.

    Args:
        options: choices of the user.
        on_event: called with every event, one at a time.
        jobs: number of songs to separate at the same time. They share the cores; if there are
            several GPUs, each song takes one.
        load: loads a model by name.
        **fields: fields of :class:`~stemcli.engine.options.Options`, instead of ``options`` or to
            change some of them.

    Raises:
        ConfigError: options are unknown or contradict each other; names all of them.
        UsageError: another argument cannot be used.
    """

    def __init__(
        self,
        options: Options | None = None,
        on_event: EventHandler | None = None,
        *,
        jobs: int = 1,
        load: Callable[[str], LoadedModel] = load_model,
        **fields: Unpack[OptionFields],
    ) -> None:
        check_options(options)
        check_handler(on_event)
        jobs = as_jobs(jobs)
        given = options.to_dict() if options else {}
        self.options = Options.from_dict({**given, **fields}) if fields else options or Options()
        self._on_event = on_event
        self._load = load
        self._jobs = jobs
        self._loaded: list[LoadedNetworks] = []
        self._devices: DevicePool | None = None
        self._loading = threading.Lock()
        self._emitting = threading.Lock()
        self._interrupted = threading.Event()
        self._sent_notices: set[str] = set()
        self._calls: set[Call] = set()
        # One thread more than jobs, to decode a song while the others are separated.
        self._threads = ThreadPoolExecutor(jobs + 1, "song")

    @property
    def networks(self) -> Networks:
        """The networks, loaded on first use.

        Raises:
            UsageError: a model, stem or device does not exist.
            WeightsError: the weights cannot be used.
        """
        with self._calling() as call:
            return self._load_networks(call)

    @property
    def network_seconds(self) -> float:
        """Total time in forward passes so far, over all songs."""
        networks = (each.networks for each in self._loaded)
        members = {id(member): member for each in networks for member in each.all}
        return sum(member.runner.busy_seconds for member in members.values())

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.networks.stems

    def plan(
        self, song: str | os.PathLike[str], *, folder: str | os.PathLike[str] | None = None
    ) -> dict[str, Path]:
        """Return the paths of the stems of ``song``.

        Args:
            song: path or URL of the input; its tags are read if ``filename`` needs them.
            folder: sub-folder of the output folder, to mirror a tree.

        Raises:
            ConfigError: the file name template cannot be used.
            OutputError: a stem would replace the song.
            FfmpegMissingError: the format needs ffmpeg, which is missing.
            UsageError: ``song`` is no path, or ``folder`` leaves the output folder.
        """
        return self.plan_files(song, folder=folder).stems

    def plan_picture(
        self, song: str | os.PathLike[str], *, folder: str | os.PathLike[str] | None = None
    ) -> Path | None:
        """Return the path of the picture of ``song``, None if none was asked for.

        Takes and raises what :meth:`plan` takes and raises.
        """
        return self.plan_files(song, folder=folder).picture

    def plan_files(
        self, song: str | os.PathLike[str], *, folder: str | os.PathLike[str] | None = None
    ) -> PlannedFiles:
        """Return the paths of all files of ``song``.

        Takes and raises what :meth:`plan` takes and raises.
        """
        options, path, where = self.options, named_path(song), self._folder(folder)
        if is_url(options.output):
            raise OutputError(
                f"{options.output} is a URL, to which only the commands can write. Choose a folder"
            )
        require_encoder(options.output_format())
        return plan_files(path, self.stems, options, folder=where, model=self.networks.name)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that determines the sound of the stems, as plain values.

        All options without those in :data:`ELSEWHERE`; models by name and SHA-256, a workflow by
        its content.
        """
        chosen, _ = self.options.to_dict(), self.networks
        kept = {key: chosen[key] for key in chosen if key not in ELSEWHERE | LATER}
        track = {"track": self.options.track} if self.options.track else {}
        standard = Options()
        changed = {key: chosen[key] for key in CHANGED if chosen[key] != getattr(standard, key)}
        return {**kept, **track, **changed, **self._loaded[0].settings}

    def separate_file(
        self,
        song: Song,
        *,
        name: str | os.PathLike[str] = "",
        folder: str | os.PathLike[str] | None = None,
        replace: bool = False,
        ready: Ready = lambda files: None,
        planned: PlannedFiles | None = None,
        track: str = "",
    ) -> Result:
        """Separate a file into files; they get their final names only when all are complete.

        Args:
            song: path or URL of any audio file that can be decoded, or a file object opened for
                bytes, which is read to its end.
            name: file name of a file object that has none, or another name for it or for a URL;
                ``{track}`` is its part before the extension.
            folder: sub-folder of the output folder, to mirror a tree.
            replace: whether to replace existing stems, regardless of the options.
            ready: called with the temporary and final path of every file when all are complete.
            planned: the files to write; those of :meth:`plan_files` if None.
            track: name of the song in events; its file name, below ``folder``, if empty.

        Raises:
            StemError: the song cannot be separated; reported as ``TrackFailed`` before.
            KeyboardInterrupt: the session was interrupted.
        """
        request = file_request(song, name, folder, replace)
        request = dataclasses.replace(
            request, ready=ready, track=track or request.track, planned=planned
        )
        with self._calling() as call:
            return self._separate_file(call, request)

    async def separate_file_async(
        self,
        song: Song,
        *,
        name: str | os.PathLike[str] = "",
        folder: str | os.PathLike[str] | None = None,
        replace: bool = False,
    ) -> Result:
        """Separate a file into files in a thread, as :meth:`separate_file` does.

        Any number of calls may be awaited at the same time; ``jobs`` of them are separated and one
        more is decoded. ``on_event`` is called in the thread of the event loop. A cancelled call
        ends at its next block and leaves no files; other songs go on.

        Raises:
            StemError: the song cannot be separated; reported as ``TrackFailed`` before.
            asyncio.CancelledError: the task was cancelled, or the session interrupted.
        """
        request = file_request(song, name, folder, replace)
        return await self._in_thread(lambda call: self._separate_file(call, request))

    def separate_array(self, wave: Wave, sample_rate: float) -> dict[str, NDArray[np.float32]]:
        """Separate a waveform in memory.

        Args:
            wave: ``(frames, channels)``, nominally in [-1, 1]. ``start`` and ``end`` apply.
            sample_rate: in Hz.

        Returns:
            Stem name to ``(frames, channels)`` at the same rate.

        Raises:
            DecodeError: the waveform has another shape, no samples, NaN or infinity, or the sample
                rate is invalid.
            NumericalError: the network produced NaN or infinity.
            KeyboardInterrupt: the session was interrupted.
        """
        with self._calling() as call:
            return self._separate_array(call, wave, sample_rate)

    async def separate_array_async(
        self, wave: Wave, sample_rate: float
    ) -> dict[str, NDArray[np.float32]]:
        """Separate a waveform in a thread, as :meth:`separate_array` does.

        Raises:
            StemError: as for :meth:`separate_array`.
            asyncio.CancelledError: the task was cancelled, or the session interrupted.
        """
        return await self._in_thread(lambda call: self._separate_array(call, wave, sample_rate))

    def emit(self, event: Event) -> None:
        """Call ``on_event`` with an event, after those of other threads."""
        if self._on_event is not None:
            with self._emitting:
                self._on_event(event)

    def interrupt(self) -> None:
        """Stop all songs: each raises KeyboardInterrupt with its next event.

        Songs that wait for a decoder stop at once. No files are left behind; the session cannot be
        used afterwards.
        """
        self._interrupted.set()
        for call in [*self._calls]:
            call.interrupted.set()

    @contextmanager
    def _calling(self, call: Call | None = None) -> Iterator[Call]:
        """Register a call, so that :meth:`interrupt` reaches it."""
        call = call or Call(self.emit)
        self._calls.add(call)
        try:
            if self._interrupted.is_set():
                call.interrupted.set()
            yield call
        finally:
            self._calls.discard(call)

    async def _in_thread(self, work: Callable[[Call], T]) -> T:
        def registered(call: Call) -> T:
            with self._calling(call):
                return work(call)

        return await run_in_thread(self._threads, registered, self._on_event)

    def _separate_file(self, call: Call, request: FileRequest) -> Result:
        def downloading(done: int, total: int | None) -> None:
            call.emit(DownloadProgress(request.track, done, total))

        try:
            with on_disk(request.song, request.name, call.interrupted, downloading) as path:
                return self._separate_path(call, path, request)
        except StemError as error:
            call.emit(TrackFailed(request.track, str(error)))
            raise

    def _separate_path(self, call: Call, song: Path, request: FileRequest) -> Result:
        require_file(song)
        networks = self._load_networks(call)
        planned = request.planned
        if planned is None:
            planned = self.plan_files(song, folder=request.folder)
        with reserved(planned.files):
            bring_back_older(planned.files)
            if not request.replace and must_skip(planned.files, self.options.existing):
                call.emit(TrackSkipped(request.track, "all stems exist"))
                return Result(planned.stems, skipped=True, picture=planned.picture)
            return SongJob(
                song=song,
                paths=planned.stems,
                on_device=lambda work: self._on_device(work, call),
                options=self.options,
                track=request.track,
                on_event=call.emit,
                ready=request.ready,
                interrupted=call.interrupted,
                sent_notices=self._sent_notices,
                needs_level=networks.needs_level,
                picture=planned.picture,
            ).run()

    def _separate_array(
        self, call: Call, wave: Wave, sample_rate: float
    ) -> dict[str, NDArray[np.float32]]:
        return separate_wave(
            wave, sample_rate, self.options, lambda: self._load_networks(call), call.emit
        )

    def _folder(self, folder: str | os.PathLike[str] | None) -> Path:
        return Path(self.options.output) / as_folder(folder)

    def _on_device(self, work: Callable[[Networks], T], call: Call) -> T:
        with self._loading:
            if self._devices is None:
                self._devices = DevicePool(each.networks for each in self._loaded)
        return self._devices.run(work, call.check)

    def _load_networks(self, call: Call) -> Networks:
        with self._loading:
            if not self._loaded:
                self._loaded = self._assemble(call)
            return self._loaded[0].networks

    def _assemble(self, call: Call) -> list[LoadedNetworks]:
        """Networks for each job; jobs on one device share theirs."""
        device = resolve_device(self.options.device)
        if self._load is load_model:
            check_request(self.options)
            pull_missing(models_to_load(self.options), call.emit)
        loaded: dict[torch.device, LoadedNetworks] = {}
        devices = spread(device, self._jobs)
        for device in dict.fromkeys(devices):
            loaded[device] = load_networks(self.options, device, self._load)
            for member in loaded[device].networks.all:
                call.emit(member.loaded(device))
        if device.type == "cpu":
            keep_freed_memory()
        return [loaded[device] for device in devices]
