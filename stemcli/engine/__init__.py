"""The streaming separation engine; read its modules in this order.

=========================  ======================================================================
``options events checks``  what a user chooses, and what the engine reports
``runner device``          one network on one device, in one precision
``device_pool``            devices that songs take in turns
``buffer overlap_add``     how a song is cut into chunks; one network over an endless stream
``models ensemble``        loading models; averaging several, residuals and complements
``stream``                 blocks of a song through all networks, aligned with the mixture
``outputs tag_fields``     names of files, also from tags; encoders of all stems of a song
``spool publish``          spooled blocks; final names for all files of a song or for none
``picture``                spectrograms of the mixture and the stems
``background``             threads that decode before the network and encode after it
``song session``           one file to files; models loaded once for many songs
``reserved``               files that another song writes, and existing ones
``calls inputs waves``     interrupted and awaited songs; file objects and waveforms
``arguments``              checks of the arguments of Python programs
``separate awaited``       one song in one call
=========================  ======================================================================
"""
