"""Join the Ray cluster that is named, or start one on this machine."""

from stemcli.cluster.connect import ADDRESS, joined

__all__ = ["ADDRESS", "joined"]
