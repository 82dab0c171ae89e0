"""Connection to the named Ray cluster, or to one on this machine; its nodes and their slots."""

from stemcli.cluster.connect import ADDRESS, ray_session

__all__ = ["ADDRESS", "ray_session"]
