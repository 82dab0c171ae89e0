"""Evaluation of separated stems against the true ones."""
