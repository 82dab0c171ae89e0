"""``separate_async``, in a module that imports neither torch nor numpy."""

from __future__ import annotations

import asyncio
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Unpack, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stemcli.engine.events import EventHandler
    from stemcli.engine.inputs import Song
    from stemcli.engine.options import OptionFields
    from stemcli.engine.song import Result
    from stemcli.engine.waves import Wave


@overload
async def separate_async(
    song: Song,
    *,
    name: str | os.PathLike[str] = ...,
    on_event: EventHandler | None = ...,
    **options: Unpack[OptionFields],
) -> Result: ...
@overload
async def separate_async(
    song: Wave,
    *,
    sample_rate: float,
    on_event: EventHandler | None = ...,
    **options: Unpack[OptionFields],
) -> dict[str, NDArray[np.float32]]: ...
async def separate_async(
    song: Any,
    *,
    sample_rate: float | None = None,
    name: str | os.PathLike[str] = "",
    on_event: EventHandler | None = None,
    **options: Any,
) -> Any:
    """Separate one song in a thread, as :func:`separate` does, without blocking the event loop.

    torch and other large packages are imported in a thread, too. ``on_event`` is called in the
    thread of the event loop. If the task is cancelled, the song ends at its next block, leaves no
    files, and then the cancellation is raised.

    Raises:
        StemError: the song cannot be separated; ``str(error)`` is the sentence to show.
        asyncio.CancelledError: the task was cancelled.
    """
    module = await asyncio.to_thread(import_module, "stemcli.engine.separate")
    return await module.separate_in_thread(song, sample_rate, name, on_event, options)
