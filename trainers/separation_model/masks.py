"""Separation by soft masks on magnitudes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from model_zoo.architectures.spectrogram_separators import SpectrogramNetSeparator
from model_zoo.axes import Wave
from model_zoo.errors import UsageError
from model_zoo.separator import Spectrum
from trainers.loop.validation import EXACT
from trainers.losses.waveform import Planes, component_loss
from trainers.objectives.base import separate_song
from trainers.separation_model.lifecycle import SeparationModel

Magnitudes = Float[Tensor, "batch channel freq frame"]


class SpectrogramMaskModel(SeparationModel):
    """Model that applies a network's masks to the magnitudes of a mixture.

    Magnitudes are compared at the original level. A network with one channel processes each channel
    separately, as items of the batch.

    Attributes:
        mixture: magnitudes of the current mixture.
        phase: phase of the mixture, in radians.
        target: magnitudes of the target, stem by stem; None if unknown.
        mask: mask of the last :meth:`forward`, stem by stem.
        estimate: masked magnitudes; None before :meth:`forward`.
    """

    separator: SpectrogramNetSeparator
    mixture: Magnitudes
    phase: Magnitudes
    target: Planes | None
    mask: Planes
    estimate: Planes | None = None
    _spectrum: Spectrum | None = None

    def set_data(self, *data: Tensor) -> None:
        """Set a mixture, and optionally its target.

        Args:
            *data: the mixture, ``(channel, time)`` or ``(batch, channel, time)``; optionally the
                target of the same shape, or ``(batch, stem, channel, time)`` for several stems.

        Raises:
            UsageError: the shapes do not fit each other or the network.
        """
        if len(data) not in (1, 2):
            raise UsageError(f"Pass a mixture, or a mixture and its target, found {len(data)}")
        mixture = _batched(data[0])
        self._require_fit(mixture)
        self._spectrum = self.separator.fourier.analyze(mixture.to(self.device).float())
        self.mixture, self.phase = self._spectrum.abs(), self._spectrum.angle()
        self.target = self._magnitudes_of(data[1], mixture) if len(data) > 1 else None
        self.estimate = None

    def forward(self) -> Magnitudes | Planes:
        """Estimate the target by applying the learned mask to the mixture.

        Returns:
            Magnitudes ``(batch, channel, freq, frame)``, or ``(batch, stem, ...)`` for several
            stems.

        Raises:
            UsageError: no mixture was set.
        """
        spectrum = self._spectrum
        if spectrum is None:
            raise UsageError("There is no mixture: call set_data() first")
        if self.separator.channels == 1:
            spectrum = rearrange(spectrum, "b c f t -> (b c) 1 f t")
        self.can_learn = self.separator.training and torch.is_grad_enabled()
        with self.precision.autocast(self.device):
            output = self.separator.core(self.separator.fourier.features(spectrum))
        masks = self.separator.fourier.masks(spectrum, output).float()
        # Channels that were processed separately are joined again.
        self.mask = rearrange(masks, "(b n) s c f t -> b s (n c) f t", b=len(self.mixture))
        self.estimate = self.mask * self.mixture.unsqueeze(1)
        return self._plain(self.estimate)

    def separate(self, audio: Tensor) -> Tensor:
        """Return the target's waveform in ``audio``, with the phase of the mixture.

        Segments of the network's length overlap, as in ``stem separate``; training or evaluation
        mode does not change.

        Args:
            audio: ``(channel, time)`` or ``(batch, channel, time)``, of any length and any number
                of channels.

        Returns:
            The same shape; for several targets with their axis before that of channels.

        Raises:
            UsageError: the shape is invalid.
            NumericalError: the output has NaN or infinity.
        """
        items = _batched(audio).detach().cpu().float()
        stems = torch.stack([separate_song(self.separator, item, EXACT) for item in items])
        stems = self._plain(stems if audio.ndim == 3 else stems[0], axis=-3)
        return stems.to(audio.device)

    def loss(self) -> Tensor:
        """Compute the configured criterion on the magnitudes of estimate and target.

        Raises:
            UsageError: there is no estimate yet, or no target was set.
        """
        if self.estimate is None:
            raise UsageError("There is no estimate: call set_data(), then forward() or test()")
        if self.target is None:
            raise UsageError("There is no target: pass mixture and target to set_data()")
        params = self.config.training_params
        if params.criterion == "component":
            residual = self.mixture.unsqueeze(1) - self.target
            weights = (params.alpha_constant, params.beta_constant)
            return component_loss(self.mask, self.target, residual, *weights)
        if params.criterion == "l1":
            return F.l1_loss(self.estimate, self.target)
        distance = F.mse_loss(self.estimate, self.target)
        if params.criterion == "kl_div" and self.separator.training:
            return torch.stack([distance, *self.separator.auxiliary_losses().values()]).sum()
        return distance

    def _plain(self, stems: Tensor, axis: int = 1) -> Tensor:
        """Remove the axis of stems if there is only one."""
        return stems.squeeze(axis) if len(self.separator.stems) == 1 else stems

    def _require_fit(self, mixture: Wave) -> None:
        channels, shortest = self.separator.channels, self.separator.config.window_size // 2
        if mixture.shape[1] != channels > 1:
            raise UsageError(f"The network has {channels} channels, found {mixture.shape[1]}")
        if mixture.shape[-1] <= shortest:
            found = f"found {mixture.shape[-1]}"
            raise UsageError(f"The mixture must be longer than {shortest} samples, {found}")

    def _magnitudes_of(self, target: Tensor, mixture: Wave) -> Planes:
        stems = target if target.ndim == 4 else _batched(target)[:, None]
        batch, count = len(mixture), len(self.separator.stems)
        shape = (batch, count, *mixture.shape[1:])
        if stems.shape != shape:
            raise UsageError(f"The target must be of shape {shape}, found {tuple(target.shape)}")
        waves = rearrange(stems.to(self.device).float(), "b s c t -> (b s) c t")
        spectra = self.separator.fourier.analyze(waves)
        return rearrange(spectra.abs(), "(b s) c f t -> b s c f t", s=count)


def _batched(audio: Any) -> Wave:
    """Return a batch of waveforms with channels."""
    if audio.ndim not in (2, 3) or 0 in audio.shape:
        found = f"found {tuple(audio.shape)}"
        raise UsageError(f"Pass audio as (channel, time) or (batch, channel, time), {found}")
    return audio if audio.ndim == 3 else audio[None]
