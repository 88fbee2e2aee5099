"""Jobs of the kind ``hook``: a web address is told of each verdict."""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.error
import urllib.request
from typing import Any

from xiqa.errors import ConfigError
from xiqa.service.records.jobs import Job
from xiqa.service.records.store import Store
from xiqa.service.settings import Hook

__all__ = ["Teller", "message_of"]

_TOLD = ("uid", "study_uid", "series_uid", "modality", "source", "verdict", "reason", "probability", "rule")


class Teller:
    """Tells one address.

    Args:
        hook: Its settings.
        store: Where the verdicts are.
        owner: Who leases.
    """

    def __init__(self, hook: Hook, store: Store, owner: str) -> None:
        self._hook, self._store, self._owner = hook, store, owner
        self._secret = _secret(hook)

    def step(self) -> bool:
        """Tell of one verdict; False where there is none to tell of."""
        queue, name = self._store.queue, self._hook.name
        if not queue.has_due("hook", name):
            return False
        leased = queue.lease("hook", self._owner, 60 + self._hook.seconds, peer=name)
        for job in leased:
            problem = self._tell(message_of(self._store.instance(job.instance_id)))
            self._told(job, problem)
        return bool(leased)

    def _tell(self, message: dict[str, Any]) -> str:
        """Empty when the address answered with success, else what went wrong."""
        body = json.dumps(message).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": message["uid"]}
        if self._secret:
            headers["X-Xiqa-Signature"] = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        request = urllib.request.Request(self._hook.url, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self._hook.seconds):
                return ""
        except urllib.error.HTTPError as error:
            error.close()
            return f"answered {error.code}"
        except (OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"[:200]

    def _told(self, job: Job, problem: str) -> None:
        old = self._store.clock.now() - job.created > 3600 * self._hook.give_up_hours
        with self._store.database.writing() as connection:
            if not problem:
                self._store.queue.finish(connection, job)
            elif old:
                self._store.queue.give_up(connection, job, problem)
            else:
                self._store.queue.again(connection, job, problem)


def message_of(row: dict[str, Any]) -> dict[str, Any]:
    """What is told of an instance: identifiers of objects, none of a person."""
    return {name: row[name] for name in _TOLD}


def _secret(hook: Hook) -> bytes:
    if hook.secret_file is None:
        return b""
    try:
        return hook.secret_file.read_bytes().strip()
    except OSError as error:
        raise ConfigError("the hook's secret file cannot be read", got=str(error)) from error
