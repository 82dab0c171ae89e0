"""Metrics of separation, as functions of (estimate, reference)."""
