"""Estimates of a song's stems, and the scores they get."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from model_zoo.errors import DecodeError
from trainers.evaluation.scores import StemScores
from trainers.metrics.bsseval import FrameScores, bss_eval, fitted
from trainers.metrics.sdr import global_sdr, si_sdr

Wave: TypeAlias = Float[Tensor, "channel time"]
Waves: TypeAlias = Mapping[str, Wave]
Made: TypeAlias = Float[Tensor, "_ _"]
"""An estimate: (channel, time), maybe others than those of the song."""

Measure: TypeAlias = Callable[[Tensor, Tensor, int, int], FrameScores]

VOCALS, ACCOMPANIMENT = "vocals", "accompaniment"
ALIASES = {"instrumental": ACCOMPANIMENT, "no_vocals": ACCOMPANIMENT, "backing": ACCOMPANIMENT}
"""Names that programs have for all but the vocals."""


@dataclass(frozen=True)
class Judge:
    """How estimates are measured.

    Attributes:
        window: of BSSEval, in samples.
        hop: of BSSEval, in samples.
        measure: BSSEval, ours or the reference implementation.
        device: where that computes.
    """

    window: int
    hop: int
    measure: Measure = bss_eval
    device: str = "cpu"

    def __call__(
        self, estimates: Mapping[str, Made], references: Waves, mixture: Wave | None = None
    ) -> tuple[StemScores, ...]:
        """Scores of all stems that both have, paired by name, in the order of the references.

        All names of :data:`ALIASES` are one name.

        Vocals and accompaniment are judged as a pair, all others together, as museval does it. A
        stem that is alone is judged beside the rest of the song.

        Args:
            estimates: waveforms by name; cut or filled with zeros to the length of the references.
            references: the true ones.
            mixture: the song; without it a stem that is alone has no SIR.

        Raises:
            DecodeError: they share no name, one has two names, they differ in channels, or an
                estimate holds NaN or infinity.
        """
        _require_one_name(estimates)
        _require_one_name(references)
        named = {canonical(name): wave for name, wave in estimates.items()}
        shared = [name for name in references if canonical(name) in named]
        if not shared:
            found = ", ".join(estimates) or "nothing"
            raise DecodeError(f"{found} is none of the true stems {', '.join(references)}")
        made = {name: _fitted(name, named[canonical(name)], references[name]) for name in shared}
        frames: dict[str, dict[str, tuple[float, ...]]] = {}
        for names in scenarios(shared):
            frames |= self._framewise(names, made, references, mixture)
        return tuple(
            StemScores(name, frames[name], _whole(made[name], references[name])) for name in shared
        )

    def _framewise(
        self, names: Sequence[str], estimates: Waves, references: Waves, mixture: Wave | None
    ) -> dict[str, dict[str, tuple[float, ...]]]:
        """BSSEval of stems that are judged together."""
        made, true = (
            torch.stack([side[name] for name in names]) for side in (estimates, references)
        )
        if len(names) == 1 and mixture is not None and not mixture.equal(true[0]):
            made, true = (torch.cat([side, mixture[None] - side]) for side in (made, true))
        scores = self._measured(made, true)
        ratios = {"SDR": scores.sdr, "ISR": scores.isr, "SIR": scores.sir, "SAR": scores.sar}
        return {
            name: {metric: tuple(values[index].tolist()) for metric, values in ratios.items()}
            for index, name in enumerate(names)
        }

    def _measured(self, made: Tensor, true: Tensor) -> FrameScores:
        """On the processor where the device has no room beside the network."""
        try:
            return self.measure(made.to(self.device), true.to(self.device), self.window, self.hop)
        except torch.OutOfMemoryError:
            return self.measure(made, true, self.window, self.hop)


def scenarios(names: Iterable[str]) -> list[list[str]]:
    """Which stems are judged together, as museval does it.

    Accompaniment is the sum of the others, so it and the vocals are a pair of their own, and it is
    from there that the vocals have their scores.
    """
    known = {canonical(name): name for name in names}
    if not {VOCALS, ACCOMPANIMENT} <= known.keys():
        return [list(known.values())]
    pair = [known[VOCALS], known.pop(ACCOMPANIMENT)]
    return [list(known.values()), pair] if len(known) > 1 else [pair]


def canonical(name: str) -> str:
    """The name that MUSDB18 has for a stem."""
    return ALIASES.get(name, name)


def _require_one_name(waves: Iterable[str]) -> None:
    first: dict[str, str] = {}
    for name in waves:
        other = first.setdefault(canonical(name), name)
        if other != name:
            raise DecodeError(f"{other} and {name} are two names of one stem: leave one out")


def _fitted(name: str, estimate: Made, reference: Wave) -> Wave:
    """With the length of the true stem."""
    if len(estimate) != len(reference):
        raise DecodeError(
            f"{name} is {layout(len(estimate))} and the true stem {layout(len(reference))}: make"
            " both of one song, with the same channels"
        )
    if not estimate.isfinite().all():
        raise DecodeError(f"{name} holds NaN or infinity")
    return fitted(estimate, reference.shape[-1])


def layout(channels: int) -> str:
    """``mono``, ``stereo``, or so many channels."""
    return {1: "mono", 2: "stereo"}.get(channels, f"of {channels} channels")


def _whole(estimate: Wave, reference: Wave) -> dict[str, float]:
    """Scores of the whole song; none where the true stem is silent, or the estimate for SI-SDR."""
    if not reference.any():
        return {"global_sdr": math.nan, "si_sdr": math.nan}
    invariant = float(si_sdr(estimate, reference)) if estimate.any() else math.nan
    return {"global_sdr": float(global_sdr(estimate, reference)), "si_sdr": invariant}
