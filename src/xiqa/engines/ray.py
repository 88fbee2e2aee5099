"""The same rows as a local run, by actors of Ray on one machine or many.

The driver lists and hands out blocks, no more of them than two an actor, so that listing waits for
assessing. An actor reads, prepares and infers in one process, writes its rows itself and sends back numbers
alone: no pixel crosses from process to process. Where an actor is lost with its process or its machine,
another takes its blocks and at most one block an actor is done again, to the same file. When the driver is
lost, its actors end and what was written stays.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from xiqa.engines.sources import Item
from xiqa.engines.store import Store
from xiqa.engines.work import Asked, Done, Worker, failed_row
from xiqa.errors import ConfigError, MissingDependencyError, OutputError, XiqaError

__all__ = ["assess_on_ray"]

BLOCK = 64  # files an actor is given at once: minutes at most are done again
_AHEAD = 2  # blocks an actor has: one it works at, one that waits
_RETRIES = 2  # how often a block goes to another actor before its files are tried one by one

_Block = tuple[Item, ...]


def assess_on_ray(
    items: Iterable[Item],
    asked: Asked,
    *,
    address: str | None = None,
    workers: int | None = None,
    block: int = BLOCK,
    on_done: Callable[[Done], None] = lambda done: None,
) -> None:
    """Assess the items; see `xiqa.engines.store` for the rows, and for which items have one.

    Args:
        items: What to assess, gone through once as the actors want more.
        asked: Of each of them.
        address: Of a cluster; without one, Ray is started here and ended with the run.
        workers: How many actors; by default as many as the cluster has processors for.
        block: Files that an actor takes at once.
        on_done: Called for each block whose rows are on the disk.

    Raises:
        MissingDependencyError: Ray is not installed.
        ConfigError: There is no cluster at the address, or no room for a worker in it.
        XiqaError: A worker could not load the model.
    """
    ray = _ray()
    store, rest = Store(Path(asked.out), asked.settings), iter(items)
    blocks = iter(lambda: tuple(islice(rest, block)), ())
    begun = _start(ray, address, asked)
    try:
        count = workers or _room(ray, asked)
        crew = _Crew(ray, asked, store, on_done)
        for _ in range(count):
            crew.hire()
        crew.run(blocks)
    finally:
        if begun:
            ray.shutdown()


def _ray() -> Any:
    # set before Ray is imported: the driver's own log belongs to the command
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingDependencyError("the engine ray needs Ray", todo='pip install "xiqa[ray]"') from error
    return ray


def _start(ray: Any, address: str | None, asked: Asked) -> bool:
    """Connect to a cluster or start one here; whether it is to be ended."""
    if ray.is_initialized():
        return False
    threads = {"OMP_NUM_THREADS": str(asked.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    try:
        if address is not None and ":" in address:
            _reach(address)  # Ray itself would wait for minutes
        ray.init(
            address=address or "local",
            log_to_driver=False,
            include_dashboard=None if address else False,
            runtime_env={"env_vars": threads},
            logging_level="ERROR",
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            "no Ray cluster to work on",
            expected="the address of one, such as 10.0.0.1:6379 or auto, or none to start Ray here",
            got=f"{address}: {error}",
        ) from error
    return True


def _reach(address: str) -> None:
    """See whether anything listens there."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    socket.create_connection((host, int(port)), timeout=10).close()


def _room(ray: Any, asked: Asked) -> int:
    """How many workers the cluster has room for."""
    kind, each = ("GPU", 1) if asked.device.startswith("cuda") else ("CPU", asked.threads)
    count = int(ray.cluster_resources().get(kind, 0) // each)
    if count < 1:
        raise ConfigError("the cluster has no room for a worker", expected=f"{each} {kind}", got=str(count))
    return count


def _actor(ray: Any, asked: Asked) -> Any:
    """A worker's process, wherever there is room."""
    gpus = 1 if asked.device.startswith("cuda") else 0
    return ray.remote(Worker).options(num_cpus=asked.threads, num_gpus=gpus).remote(asked)


class _Crew:
    """The actors of a run, and the blocks that they have.

    An actor that is lost is replaced where there is room, now or later, and its blocks go to whoever is free.
    The block it was working at is tried again as a whole, then file by file; a file that no actor outlives is
    a row.
    """

    def __init__(self, ray: Any, asked: Asked, store: Store, on_done: Callable[[Done], None]) -> None:
        self._ray, self._asked, self._store, self._on_done = ray, asked, store, on_done
        self._starting: dict[Any, Any] = {}
        self._pending: dict[Any, tuple[Any, _Block]] = {}  # in the order in which they were given
        self._free: list[Any] = []
        self._again: list[_Block] = []
        self._tries: Counter[_Block] = Counter()
        self._worked = False

    def hire(self) -> None:
        """Ask for one more actor."""
        actor = _actor(self._ray, self._asked)
        self._starting[actor.__ray_ready__.remote()] = actor

    def run(self, blocks: Iterator[_Block]) -> None:
        """Hand out blocks as they are done, until there are no more."""
        while True:
            while self._free and (block := self._again.pop() if self._again else next(blocks, None)):
                actor = self._free.pop()
                self._pending[actor.do.remote(block)] = actor, block
            if self._free and not self._pending:
                return
            (first, *_), _ = self._ray.wait([*self._pending, *self._starting])
            if first in self._starting:
                self._begin(first)
            else:
                self._collect(first)

    def _begin(self, ready: Any) -> None:
        """An actor has loaded the model, or cannot: then no other can, unless one has."""
        actor = self._starting.pop(ready)
        try:
            self._ray.get(ready)
        except self._ray.exceptions.RayError as error:
            if not self._worked:
                raise XiqaError("no worker could load the model", got=_cause(error)) from error
            self.hire()
            return
        self._worked = True
        self._free += [actor] * _AHEAD

    def _collect(self, reference: Any) -> None:
        """A block is done, or its actor is lost."""
        actor, block = self._pending[reference]
        try:
            done = self._ray.get(reference)
        except self._ray.exceptions.RayActorError as error:
            self._lose(actor, error)
            return
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, OutputError):
                raise error.cause from error
            self._retry(block, error)
        else:
            self._on_done(done)
        del self._pending[reference]
        self._free.append(actor)

    def _lose(self, actor: Any, error: Exception) -> None:
        """Take back what a lost actor had; what it had done already is done."""
        self._free = [other for other in self._free if other is not actor]
        at_work = True
        for reference in [ref for ref, (other, _) in self._pending.items() if other is actor]:
            _, block = self._pending.pop(reference)
            try:
                self._on_done(self._ray.get(reference))
            except self._ray.exceptions.RayError:
                if at_work:
                    self._retry(block, error)
                else:
                    self._again.append(block)
                at_work = False
        self.hire()

    def _retry(self, block: _Block, error: Exception) -> None:
        """Try a block again, as a whole or by its files, or give a file up."""
        self._tries[block] += 1
        if self._tries[block] <= _RETRIES:
            self._again.append(block)
        elif len(block) > 1:
            self._again += [(item,) for item in block]
        else:
            row = failed_row(block[0], XiqaError("no worker could assess it", got=_cause(error)))
            self._store.write(block, [(block[0], row)])
            self._on_done(Done(1, 1, 0.0))


def _cause(error: Exception) -> str:
    """The last line of what Ray tells, which is the error itself."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
