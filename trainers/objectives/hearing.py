"""How networks hear batches and whole songs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from model_zoo.axes import Stems, Wave
from model_zoo.separator import Separator
from stemcli.engine.precision import Precision
from trainers.data.validation import is_heard
from trainers.metrics.sdr import global_sdr


def folded(mixture: Wave, channels: int) -> Float[Tensor, "item channel_heard time"]:
    """What a network of ``channels`` hears; one with a single channel hears each on its own."""
    return mixture if channels > 1 else rearrange(mixture, "b c t -> (b c) 1 t")


def unfolded(stems: Float[Tensor, "item stem channel_heard time"], channels: int) -> Stems:
    """The stems of mixtures of ``channels``, of which the network heard one at a time or all."""
    if stems.shape[2] == channels:
        return stems
    return rearrange(stems, "(b c) s 1 t -> b s c t", c=channels)


def segments(
    model: Separator, mixture: Float[Tensor, "channel time"]
) -> Iterator[Float[Tensor, "1 channel segment"]]:
    """A song in segments side by side, where the network is; silence fills up the last."""
    padded = F.pad(mixture, (0, -mixture.shape[-1] % model.segment))
    device = next(model.parameters()).device
    for start in range(0, padded.shape[-1], model.segment):
        part = padded[None, :, start : start + model.segment]
        yield folded(part.to(device), model.channels)


@torch.inference_mode()
def sdr_of_stems(
    model: Separator,
    mixture: Float[Tensor, "channel time"],
    true: Float[Tensor, "stem channel time"],
    precision: Precision,
    level: float = 1.0,
) -> dict[str, float]:
    """Global SDR in dB of every stem that is not silent.

    Args:
        model: the network.
        mixture: a whole song.
        true: its stems, in the order of the network's.
        precision: of matrix products.
        level: what the song is divided by before it is heard; the stems are brought back.
    """
    made = []
    for part in segments(model, mixture / level):
        with precision.autocast(part.device):
            stems = model(part)
        made.append(unfolded(stems.float(), len(mixture)).cpu()[0] * level)
    joined = torch.cat(made, dim=-1)[..., : mixture.shape[-1]]
    scores = zip(model.stems, global_sdr(joined, true).tolist(), strict=True)
    loud = is_heard(true).tolist()
    return {stem: sdr for (stem, sdr), heard in zip(scores, loud, strict=True) if heard}
