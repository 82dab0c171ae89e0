"""Songs of any number of channels through networks of one or two.

Nothing is ever downmixed: channels are dealt to items of the network's width, and every channel
gets its own estimate back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import ConfigError

Groups = NDArray[np.int64]
"""``(item, channel)``: which channel of the song each input of each item takes."""


def deal(channels: int, width: int) -> Groups:
    """Deal the channels of a song to items of ``width`` channels.

    A network of one channel takes them one by one. One of two channels takes neighbours as pairs,
    and a channel without a neighbour twice.

    Raises:
        ConfigError: for a wider network that the song does not fit exactly.
    """
    if width <= 2:
        last = channels - 1
        return np.array(
            [[min(i + j, last) for j in range(width)] for i in range(0, channels, width)]
        )
    if width != channels:
        found = f"the network takes {width} channels and the song has {channels}"
        raise ConfigError("Channels", [f"{found}: choose another with --model"])
    return np.arange(channels)[None]


def fold(chunk: NDArray[np.float32], groups: Groups) -> NDArray[np.float32]:
    """``(time, channel)`` of a song to ``(item, channel, time)`` of a network."""
    return np.ascontiguousarray(chunk.T[groups])


def unfold(items: NDArray[np.float32], groups: Groups) -> NDArray[np.float32]:
    """``(item, stem, channel, time)`` of a network to ``(time, stem, channel)`` of a song.

    A channel that was dealt more than once is the mean of its estimates.
    """
    channels = [
        np.mean([items[item, :, place] for item, place in np.argwhere(groups == channel)], axis=0)
        for channel in range(int(groups.max()) + 1)
    ]
    return np.stack(channels).transpose(2, 1, 0)
