"""Power cuts at random moments, and the count of what is left: `python -m tests.service.faults 200`."""

import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.dicom.net.objects import encode, radiograph
from tests.dicom.net.servers import send
from tests.service.databases import free_port
from tests.service.processes import Serve, configuration, peer
from xiqa.dicom.net.instance import read_part10
from xiqa.dicom.net.scp import Arrivals, StoreServer
from xiqa.dicom.net.spool import Spool
from xiqa.service.records.database import Database
from xiqa.service.records.store import Store
from xiqa.service.settings import read_settings


@dataclass
class Account:
    """What a run of power cuts ends with."""

    kills: int = 0
    acknowledged: int = 0
    rows: int = 0
    forwarded: int = 0
    changed: int = 0  # originals that arrived with other bytes
    result_sets: int = 0
    results_beyond: int = 0  # objects in the archive that belong to no original
    conflicts: int = 0  # a UID that came with two contents
    repeated: int = 0  # objects sent again although the archive had them
    stale_files: int = 0
    jobs_left: int = 0
    chain_broken: bool = False
    states_at_kill: dict[str, int] | None = None

    def is_balanced(self) -> bool:
        """Acknowledged = stored = forwarded = one result set, and nothing else is left."""
        equal = {self.acknowledged, self.rows, self.forwarded, self.result_sets}
        zero = (self.changed, self.results_beyond, self.conflicts, self.stale_files, self.jobs_left)
        return len(equal) == 1 and not any(zero) and not self.chain_broken


class Archive:
    """A receiver that counts."""

    def __init__(self, folder: Path) -> None:
        self.spool, self.counts = Spool(folder), Counter()
        arrivals = Arrivals(
            stored=lambda instance, stored: self.counts.update(["fresh" if stored.fresh else "repeated"]),
            refused=lambda code, address: self.counts.update([code]),
        )
        self.server = StoreServer(self.spool, title="ORTHANC", address=("127.0.0.1", 0), arrivals=arrivals)
        self.server.start()


class Modality(threading.Thread):
    """Sends image after image, each until it is acknowledged."""

    def __init__(self, port: int, pause: float) -> None:
        super().__init__(daemon=True)
        self.port, self.pause, self.stopping = port, pause, threading.Event()
        self.acknowledged: dict[str, bytes] = {}

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            number += 1
            ds = radiograph(seed=number, rows=60 + number % 50, columns=80)
            content = encode(ds)
            while not self._acknowledges(ds):
                time.sleep(0.05)
                if self.stopping.is_set():
                    return
            self.acknowledged[str(ds.SOPInstanceUID)] = content
            time.sleep(self.pause)

    def _acknowledges(self, ds) -> bool:
        try:
            return send(self.port, [ds], timeout=5) == [0]
        except (OSError, RuntimeError):
            return False


def power_cuts(folder: Path, kills: int, seed: int = 1, url: str = "") -> Account:
    """Kill a node at random moments while images arrive, let it finish, and count."""
    rng, account, states = random.Random(seed), Account(kills=kills), Counter()
    archive, port = Archive(folder / "archive"), free_port()
    node = f'database = "{url}"' if url else ""
    config = configuration(folder, peer(archive.server.port, confirm="no", seconds=5), node=node)
    config.write_text(config.read_text().replace("[intake]\nport = 0", f"[intake]\nport = {port}"))
    modality = Modality(port, 0.05)
    modality.start()
    for _ in range(kills):
        serve = Serve(config)
        time.sleep(rng.uniform(0, 2.5))
        serve.kill()
        states.update(_leased(config))
    modality.stopping.set()
    modality.join(20)
    serve = Serve(config)
    store = Store(Database(read_settings(config).node.url))
    ends = time.monotonic() + 300
    while _open_jobs(store) and time.monotonic() < ends:
        time.sleep(0.2)
    serve.stop()
    archive.server.stop(1)
    account.states_at_kill = dict(states)
    _count(account, folder, store, archive, modality)
    store.database.close()
    archive.spool.close()
    return account


def _leased(config: Path) -> list[str]:
    """What was being done when the power went."""
    store = Store(Database(read_settings(config).node.url))
    kinds = [kind for (kind, state), number in store.queue.counts().items() if state == "leased"]
    store.database.close()
    return kinds or ["none leased"]


def _open_jobs(store: Store) -> int:
    return sum(number for (_, state), number in store.queue.counts().items() if state not in ("done",))


def _count(account: Account, folder: Path, store: Store, archive: Archive, modality: Modality) -> None:
    rows = {row["uid"]: row for row in store.recent(10**6)}
    # an image whose answer was lost may be there although the modality did not hear of it
    heard = set(modality.acknowledged)
    unheard = set(rows) - heard
    held = {path.stem: read_part10(path).content for path in archive.spool.files()}
    account.acknowledged = len(heard | unheard) if len(unheard) <= 1 else len(heard)
    account.rows = len(rows)
    account.forwarded = len(set(rows) & set(held))
    account.changed = sum(held.get(uid) != content for uid, content in modality.acknowledged.items())
    expected = set(rows)
    for row in rows.values():
        uids = [result.uid for result in store.results_of(row["id"])]
        account.result_sets += len(uids) == 2 and set(uids) <= set(held)
        expected |= set(uids)
    account.results_beyond = len(set(held) - expected)
    account.conflicts = archive.counts["conflict"]
    account.repeated = archive.counts["repeated"]
    node = folder / "node"
    stale = list((node / "spool" / "arriving").iterdir())
    stale += (node / "unfinished" / "node").iterdir()
    stale += [path for path in (node / "results").iterdir() if path.name not in store.result_paths()]
    account.stale_files = len(stale)
    account.jobs_left = _open_jobs(store)
    account.chain_broken = store.trail.broken() is not None


def main() -> None:
    kills = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        account = power_cuts(Path(folder), kills, seed=int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print(json.dumps(asdict(account) | {"balanced": account.is_balanced()}, indent=1))
    sys.exit(not account.is_balanced())


if __name__ == "__main__":
    main()
