"""Backends that compute networks.

All of them run the same separator: transforms, chunks and overlap-add are ours everywhere. Another
backend than torch computes the core alone, from a file that :mod:`model_zoo.export` wrote once.
"""
