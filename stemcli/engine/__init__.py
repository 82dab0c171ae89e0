"""The streaming separation engine; read it in this order.

========================  =========================================================================
``options events``        what a user chooses, and what the engine tells
``chunks tape``           where a song is cut, and the buffer that everything slides over
``channels network``      a chunk through a network of any width, on any device
``overlap_add``           one network over an endless stream
``stems roles ensemble``  full sets, residuals, complements; several networks as one
``separation``            a song's blocks through all of them, in time with the mixture
``naming delivery``       where stems go, and how all of them appear or none (``spool``)
``song session``          one file to files; models loaded once for many
========================  =========================================================================
"""
