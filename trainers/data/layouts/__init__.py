"""How data folders are laid out: one reader for each layout, and the checks that all share.

====================  ==========================================================================
``tracks``            ``SONG/vocals.wav``, ``SONG/drums.wav``, also below ``train/`` and ``valid/``
``stems``             ``vocals/*.wav``, ``drums/*.wav``: anything is mixed with anything
``pairs``             ``mixture/NAME.wav`` and ``vocals/NAME.wav``
``voxaug``            ``instrumentals/*.wav`` and ``vocals/*.wav``: any vocals over any instrumental
``csv``               a table of songs with a column for each stem
``musdb18``           ``train/NAME.stem.mp4``, as MUSDB18 comes
``musdb18_hq``        ``train/NAME/vocals.wav``, as MUSDB18-HQ comes
``voices``            the files that a recipe lists
====================  ==========================================================================
"""
