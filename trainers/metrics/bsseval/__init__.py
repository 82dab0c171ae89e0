"""BSSEval version 4: what museval calls SDR, ISR, SIR and SAR.

Goal: to say not only how far an estimate is from the true stem, but what the difference is made
of. An estimate is taken apart (Vincent, Gribonval and Févotte 2006, "Performance measurement in
blind audio source separation", https://doi.org/10.1109/TSA.2005.858005; for images of several
channels Vincent et al. 2007, "First stereo audio source separation evaluation campaign",
https://doi.org/10.1007/978-3-540-74494-8_69):

``estimate = s + e_spat + e_interf + e_artif``

``s`` is the true stem, ``s + e_spat`` the best that filters of 512 taps between all channels make
of the true stem, ``s + e_spat + e_interf`` the best they make of all true stems, ``e_artif`` the
rest. Energies of a window, in dB, higher is better:

- ``SDR = |s|^2 / |e_spat + e_interf + e_artif|^2``, signal to distortion
- ``ISR = |s|^2 / |e_spat|^2``, image to spatial distortion
- ``SIR = |s + e_spat|^2 / |e_interf|^2``, signal to interference
- ``SAR = |s + e_spat + e_interf|^2 / |e_artif|^2``, signal to artefacts

Version 4 (Stöter, Liutkus and Ito 2018, "The 2018 Signal Separation Evaluation Campaign",
arXiv 1804.06267) finds the filters once for a whole song and gives the energies of windows of one
second. Songs are summarised by the median over their windows, sets by the median over their songs.
Argument order is (estimate, reference) everywhere.
"""

from trainers.metrics.bsseval.score import FrameScores, bss_eval, fitted

__all__ = ["FrameScores", "bss_eval", "fitted"]
