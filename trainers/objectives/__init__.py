"""What one step learns. Denoising pretraining, phase and frame codes will stand beside separation.

An objective makes an estimate from a batch, brings it and its target to a pair that can be
compared, and gives named losses of that pair.
"""
