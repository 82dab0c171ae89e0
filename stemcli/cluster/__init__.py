"""Join the Ray cluster that is named, or start one on this machine."""

from stemcli.cluster.connect import ADDRESS, ray_session

__all__ = ["ADDRESS", "ray_session"]
