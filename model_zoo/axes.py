"""One word per tensor axis, used in every annotated shape of the project.

========  =========================================================================
batch     independent items
stem      separated sources, in the order of a model's ``stems``
channel   audio channels (1 mono, 2 stereo)
time      samples of a waveform
freq      bins of a spectrogram, DC first
frame     hops of a spectrogram
block     pieces of a spectrogram, each with as many frames as the network takes
band      groups of bins that a network treats as one token
bin       bins inside one band
feature   numbers that describe one bin, band or token
token     positions of a sequence that attention runs over
head      attention heads
========  =========================================================================

``Wave`` and ``Stems`` are the input and output shapes of every separator; ``MonoWave`` is the form
without a channel axis that some original networks use.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

Wave = Float[Tensor, "batch channel time"]
Stems = Float[Tensor, "batch stem channel time"]
MonoWave = Float[Tensor, "batch time"]
