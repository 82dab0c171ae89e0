"""The page of TensorBoard."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import soundfile

from model_zoo.errors import MissingExtraError
from trainers.loop.logbook.protocol import Clip, Picture, heading
from trainers.loop.logbook.repeats import Repeats

FLUSH_SECONDS = 10
"""How long a curve may lag behind."""


class TensorBoardLogbook:
    """An event file in ``folder``, for ``tensorboard --logdir``.

    Sound keeps its channels, in 16 bits; what is the same as before is not written again. A run
    that goes on tells TensorBoard to forget the steps that are done once more.

    Args:
        folder: of the run.
        first_step: steps done before.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("tensorboard", "train") from error
        self._writer: Any = SummaryWriter(
            folder, purge_step=first_step + 1, flush_secs=FLUSH_SECONDS
        )
        self._repeats = Repeats()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """A point of every curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def audio(self, step: int, song: str, name: str, wave: Clip, sample_rate: int) -> None:
        """A player. The writer's own method takes one channel only."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        tag = heading(song, name)
        if not self._repeats.is_new(tag, wave):
            return
        file = io.BytesIO()
        soundfile.write(file, wave.T, sample_rate, "PCM_16", format="WAV")
        audio = Summary.Audio(
            sample_rate=sample_rate,
            num_channels=wave.shape[0],
            length_frames=wave.shape[1],
            encoded_audio_string=file.getvalue(),
            content_type="audio/wav",
        )
        summary = Summary(value=[Summary.Value(tag=tag, audio=audio)])
        self._writer.file_writer.add_summary(summary, step)

    def picture(self, step: int, song: str, name: str, picture: Picture) -> None:
        """A picture."""
        self._writer.add_image(heading(song, name), picture, step, dataformats="HWC")

    def text(self, step: int, name: str, markdown: str) -> None:
        """A text."""
        self._writer.add_text(name, markdown, step)

    def close(self) -> None:
        """Write what is waiting."""
        self._writer.close()
