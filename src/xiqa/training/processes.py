"""The processes of one training: which of them this is, and what they tell one another.

Lightning starts one process a device, each of which runs the whole program. They share every batch between
them; all else, from the recipe to the bundle, is done by the first of them.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

import torch
import torch.distributed

from xiqa.errors import ConfigError

__all__ = [
    "ONE",
    "Machines",
    "alone",
    "gathered",
    "in_first",
    "leave_to_first",
    "mean_over",
    "rank",
    "share",
    "total",
]

_NODE = ("NODE_RANK", "GROUP_RANK", "SLURM_NODEID")


class Machines(NamedTuple):
    """What a training runs on.

    Attributes:
        devices: Devices (or processes, without an accelerator) of each machine.
        nodes: Machines; each runs the same command.
    """

    devices: int = 1
    nodes: int = 1

    @property
    def processes(self) -> int:
        """All of them."""
        return self.devices * self.nodes

    def check(self) -> None:
        """Refuse what could only wait for one another.

        Raises:
            ConfigError: There are several nodes, and nothing says which of them this is.
        """
        if self.nodes > 1 and not any(name in os.environ for name in _NODE):
            raise ConfigError(
                "nothing says which of the nodes this is",
                expected="NODE_RANK (0, 1, ...), MASTER_ADDR and MASTER_PORT in the environment, or Slurm",
                todo="set them and start the same command on each node",
            )


ONE = Machines()


def rank() -> int:
    """Number of this process among those of the training, from 0."""
    return torch.distributed.get_rank() if _grouped() else 0


def in_first() -> bool:
    """Whether this is the first process, or will be: before the group exists the environment tells."""
    if _grouped():
        return rank() == 0
    return all(int(os.environ.get(name, "0")) == 0 for name in ("LOCAL_RANK", "SLURM_PROCID", *_NODE))


def total(value: torch.Tensor) -> torch.Tensor:
    """The sum over all processes, without a gradient."""
    value = value.detach().clone()
    if _grouped():
        torch.distributed.all_reduce(value)
    return value


def mean_over(value: torch.Tensor) -> torch.Tensor:
    """The mean over all processes, without a gradient."""
    return total(value) / _count()


def alone(part: torch.Tensor, count: torch.Tensor, least: float = 0.0) -> torch.Tensor:
    """A mean within one process: a sum over what it sums over, at least ``least``."""
    return part / count.detach().clamp_min(least)


def share(part: torch.Tensor, count: torch.Tensor, least: float = 0.0) -> torch.Tensor:
    r"""This process's share of a mean over the batch that all processes hold together.

    .. math:: L_r = R\,\frac{s_r}{\sum_q n_q}, \qquad \frac1R \sum_r L_r = \frac{\sum_r s_r}{\sum_r n_r}

    The mean over the processes, which is what Lightning takes of their gradients, is that of the whole batch
    however unequal the parts are.

    Args:
        part: :math:`s_r`, the sum here.
        count: :math:`n_r`, what it is divided by, here.
        least: Smallest whole count.
    """
    return _count() * part / total(count).clamp_min(least)


def gathered(value: Any) -> list[Any]:
    """What every process has, in the order of their ranks; of any size."""
    if not _grouped():
        return [value]
    values: list[Any] = [None] * _count()
    torch.distributed.all_gather_object(values, value)
    return values


def leave_to_first() -> None:
    """End the group; the first process goes on alone, every other one ends here with exit status 0."""
    if not _grouped():
        return
    first = in_first()
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    if not first:
        sys.exit(0)
    os.environ.pop("LOCAL_RANK", None)  # or a later training in this process would start no others


def _grouped() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _count() -> int:
    return torch.distributed.get_world_size() if _grouped() else 1
