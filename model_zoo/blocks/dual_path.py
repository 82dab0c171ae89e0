"""Networks that walk a spectrogram along frequency and time in turn."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.blocks.spectral import Band


class DualPath(nn.Module):
    """Bands in, then a frequency block and a time block per layer, bands out.

    A frequency block sees the bands of one frame as a sequence, a time block the frames of one
    band. The parts belong to the architecture that passes them; this class only walks.

    Args:
        band: from bins to bands and back.
        freq_blocks: one per layer, over sequences ``batch token feature`` of bands.
        time_blocks: one per layer, over sequences of frames.
    """

    def __init__(self, band: Band, freq_blocks: nn.ModuleList, time_blocks: nn.ModuleList) -> None:
        super().__init__()
        self.band, self.freq_blocks, self.time_blocks = band, freq_blocks, time_blocks

    def forward(
        self, features: Float[Tensor, "batch freq frame channel"]
    ) -> Float[Tensor, "batch freq frame merged"]:
        """Map what is known of every bin to a mask or a spectrum for every bin."""
        batch = features.shape[0]
        x = rearrange(self.band.split(features), "b d t k -> (b t) k d")
        for freq_block, time_block in zip(self.freq_blocks, self.time_blocks, strict=True):
            x = freq_block(x)
            x = time_block(rearrange(x, "(b t) k d -> (b k) t d", b=batch))
            x = rearrange(x, "(b k) t d -> (b t) k d", b=batch)
        return self.band.unsplit(rearrange(x, "(b t) k d -> b d t k", b=batch))
