"""Parsers for containers, frames of codecs and tags: where the audio data of a file is."""
