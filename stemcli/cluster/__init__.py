"""Join the Ray cluster that is named, or start one on this machine."""

from stemcli.cluster.door import ADDRESS
from stemcli.cluster.joining import joined

__all__ = ["ADDRESS", "joined"]
