"""Limits for discriminators that a file or a recipe describes, checked before they take memory."""

from __future__ import annotations

import torch

from model_zoo.discriminators.ensemble import DiscriminatorEnsemble, EnsembleSpec
from model_zoo.errors import ConfigError
from model_zoo.fitting import MOST_ROOM, RATES, SPARE, Largest, absurd_values, table_bytes
from model_zoo.weightless import without_storage

MOST_CHANNELS = 16
"""Audio channels that are judged together."""

MOST_WEIGHTS = 4 * 2**30
"""Bytes in float32; all four discriminators of usual size have a twentieth."""

TRIED = 2.0
"""Seconds of sound that the discriminators are tried with."""


def weightless_ensemble(spec: EnsembleSpec) -> DiscriminatorEnsemble:
    """The discriminators of ``spec`` on the device "meta", after two seconds went through them.

    Raises:
        ConfigError: they cannot be built, cannot judge a sound, or would take an absurd amount of
            memory.
    """
    mistakes = absurd_values(spec.to_dict())
    if not (1 <= spec.nch <= MOST_CHANNELS and RATES[0] <= spec.sample_rate <= RATES[1]):
        mistakes = f"{spec.nch} channels at {spec.sample_rate} Hz"
    if mistakes:
        raise ConfigError("options", [f"impossible values: {mistakes}"])
    try:
        ensemble = without_storage(spec.build)
        most = _largest(ensemble, spec)
    except ConfigError:
        raise
    except Exception as error:  # arithmetic on absurd values may fail in any way
        why = " ".join(str(error).split())
        raise ConfigError("options", [f"they cannot be used ({why})"]) from error
    kept = sum(value.nbytes for value in ensemble.state_dict().values())
    if most > MOST_ROOM or kept > MOST_WEIGHTS or table_bytes(ensemble) > SPARE:
        raise ConfigError("options", ["these discriminators are too large. Use smaller values"])
    return ensemble


def _largest(ensemble: DiscriminatorEnsemble, spec: EnsembleSpec) -> int:
    """Bytes of the largest tensor on the way from a sound to the verdict."""
    wave = torch.empty(1, spec.nch, int(TRIED * spec.sample_rate), device="meta")
    measured = Largest()
    with torch.no_grad(), measured:
        ensemble(wave)
    return measured.bytes
