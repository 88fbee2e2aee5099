"""Ways to spread a run over processes and machines."""

from xiqa.engines.shard import Shard

__all__ = ["Shard"]
