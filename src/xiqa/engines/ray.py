"""The same rows as a local run, by actors of Ray on one machine or many.

The driver lists and hands out blocks, no more of them than two an actor, so that listing waits for
assessing. An actor reads, prepares and infers in one process, writes its rows itself and sends back numbers
alone: no pixel crosses from process to process. Ray starts an actor anew elsewhere when its process or
machine is lost, and gives it the block it had: at most one block an actor is done again, to the same file.
When the driver is lost, what was written stays.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from xiqa.engines.sources import Item
from xiqa.engines.store import Store
from xiqa.engines.work import Asked, Done, Worker, failed_row
from xiqa.errors import ConfigError, MissingDependencyError, XiqaError

__all__ = ["assess_on_ray"]

BLOCK = 64  # files an actor is given at once: minutes at most are done again
_AHEAD = 2  # blocks an actor has: one it works at, one that waits
_RETRIES = 2  # how often a block goes to another actor before its files are tried one by one


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
        crew = [_actor(ray, asked) for _ in range(count)]
        _load(ray, crew)
        _run(ray, crew, blocks, store, on_done)
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
        ray.init(
            address=address,
            log_to_driver=False,
            include_dashboard=None if address else False,
            runtime_env={"env_vars": threads},
            logging_level="ERROR",
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            "no Ray cluster to work on",
            expected="the address of one, such as 10.0.0.1:6379 or auto, or none to start Ray here",
            got=f"{address}: {error}",
        ) from error
    return True


def _room(ray: Any, asked: Asked) -> int:
    """How many workers the cluster has room for."""
    kind, each = ("GPU", 1) if asked.device.startswith("cuda") else ("CPU", asked.threads)
    count = int(ray.cluster_resources().get(kind, 0) // each)
    if count < 1:
        raise ConfigError("the cluster has no room for a worker", expected=f"{each} {kind}", got=str(count))
    return count


def _actor(ray: Any, asked: Asked) -> Any:
    """A worker's process, which is started anew wherever there is room when it is lost."""
    gpus = 1 if asked.device.startswith("cuda") else 0
    options = {"num_cpus": asked.threads, "num_gpus": gpus, "max_restarts": -1, "max_task_retries": _RETRIES}
    return ray.remote(Worker).options(**options).remote(asked)


def _load(ray: Any, crew: list[Any]) -> None:
    """Wait for the first of them: what keeps it from loading the model keeps the others, too."""
    try:
        ray.get(ray.wait([actor.__ray_ready__.remote() for actor in crew])[0])
    except ray.exceptions.RayActorError as error:
        raise XiqaError("no worker could load the model", got=_cause(error)) from error


def _run(
    ray: Any,
    crew: list[Any],
    blocks: Iterator[tuple[Item, ...]],
    store: Store,
    on_done: Callable[[Done], None],
) -> None:
    """Hand out blocks as they are done."""
    again: list[tuple[Item, ...]] = []
    pending: dict[Any, tuple[Any, tuple[Item, ...]]] = {}
    free = crew * _AHEAD
    while True:
        while free and (block := again.pop() if again else next(blocks, None)):
            actor = free.pop()
            pending[actor.do.remote(block)] = actor, block
        if not pending:
            return
        (first, *_), _ = ray.wait(list(pending))
        actor, block = pending.pop(first)
        free.append(actor)
        try:
            on_done(ray.get(first))
        except ray.exceptions.RayError as error:
            if len(block) > 1:
                again += [(item,) for item in block]
                continue
            store.write(block, [(block[0], failed_row(block[0], XiqaError(_cause(error))))])
            on_done(Done(1, 1, 0.0))


def _cause(error: Exception) -> str:
    """The last line of what Ray tells, which is the error itself."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
