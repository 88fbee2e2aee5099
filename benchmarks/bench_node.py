"""The node against other receivers, its latency, and its growth.

    python -m benchmarks.bench_node receive [--rounds 3]
    python -m benchmarks.bench_node latency [--images 60] [--model FILE.onnx]
    python -m benchmarks.bench_node growth [--images 2000]
    python -m benchmarks.bench_node soak [--minutes 60]

`receive`: instances a second that dcmtk's storescu gets acknowledged, in one association and in four at a
time, in turns within one run; every process has TCP_NODELAY=1. `xiqa` is `xiqa serve` with its rows and
without rules, and syncs each file and then its folder; `storescp+sync+folder` does the same, `storescp+sync`
syncs the file alone, as Orthanc does; `storescp` syncs nothing.
`latency`: one full-size image a second, uncompressed and in JPEG 2000; from the answer to the C-STORE to
the stored verdict. `growth`: memory, threads, descriptors and files of the node and of its assessing process
while images arrive as fast as they can, are forwarded, get two results each and are removed when all is
done; a stand-in for the model. `soak`: the same with one image a second.
Writes benchmarks/results/node_*.csv.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from benchmarks.tables import told, write_rows
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid
from skimage.transform import resize
from tests.dicom.net.objects import radiograph, write
from tests.dicom.net.servers import send
from tests.service.databases import free_port
from tests.service.faults import Archive
from tests.service.orthanc import Orthanc
from tests.service.processes import Serve, configuration, peer

from xiqa.dicom.net.answers import File
from xiqa.dicom.net.destination import Destination
from xiqa.dicom.net.scu import DicomArchive
from xiqa.service.records.database import Database
from xiqa.service.records.store import Store
from xiqa.service.settings import read_settings
from xiqa.simulation.chest.simulate import simulate_chest

RESULTS = Path(__file__).parent / "results"
os.environ["TCP_NODELAY"] = "1"
SIZES = {"0.7 MB": (600, 600, 160), "8 MB": (2000, 2000, 32)}


def make_files(folder: Path, rows: int, columns: int, count: int) -> list[Path]:
    folder.mkdir(parents=True)
    paths = [folder / f"{number:04d}.dcm" for number in range(count)]
    for number, path in enumerate(paths):
        write(path, rows=rows, columns=columns, seed=number)
    return paths


@contextmanager
def xiqa(folder: Path):
    node = Serve(configuration(folder, assessing="workers = 0"))
    try:
        yield node.dicom, lambda: len(list((folder / "node" / "spool").glob("?/*.dcm")))
    finally:
        node.stop()


@contextmanager
def orthanc(folder: Path):
    server = Orthanc(folder)
    server.start()
    try:
        yield server.dicom, lambda: server.get("/statistics")["CountInstances"]
    finally:
        server.stop()


def storescp(*options: str):
    @contextmanager
    def run(folder: Path):
        port = free_port()
        command = ["storescp", "--fork", "-od", str(folder), *options, str(port)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        try:
            yield port, lambda: sum(path.stat().st_size > 1000 for path in folder.iterdir())
        finally:
            process.terminate()
            process.wait()

    return run


RECEIVERS = {
    "xiqa": xiqa,
    "storescp+sync": storescp("--exec-sync", "--exec-on-reception", "sync #p/#f"),
    "storescp+sync+folder": storescp("--exec-sync", "--exec-on-reception", "sync #p/#f #p"),
    "Orthanc": orthanc,
    "storescp": storescp(),
}


def rate(receiver, files: list[Path], associations: int) -> float:
    """Instances a second."""
    folder = Path(tempfile.mkdtemp(prefix="evaluator-"))
    parts = [files[number::associations] for number in range(associations)]
    try:
        with receiver(folder) as (port, count):
            warm = folder.parent / f"{folder.name}-warm.dcm"
            write(warm, rows=20, columns=30)
            subprocess.run(["storescu", "127.0.0.1", str(port), str(warm)], check=True)
            warm.unlink()
            begun = time.perf_counter()
            senders = [
                subprocess.Popen(["storescu", "-pdu", "131072", "127.0.0.1", str(port), *map(str, part)])
                for part in parts
            ]
            assert all(sender.wait() == 0 for sender in senders)
            seconds = time.perf_counter() - begun
            assert count() == len(files) + 1, count()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return len(files) / seconds


def receive(rounds: int):
    for size, (rows, columns, count) in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            files = make_files(Path(folder) / "files", rows, columns, count)
            for associations in (1, 4):
                rates: dict[str, list[float]] = {name: [] for name in RECEIVERS}
                for _ in range(rounds):
                    for name, receiver in RECEIVERS.items():
                        rates[name].append(rate(receiver, files, associations))
                middle = {name: statistics.median(values) for name, values in rates.items()}
                for name, value in middle.items():
                    yield {
                        "size": size,
                        "associations": associations,
                        "receiver": name,
                        "instances a second": round(value, 1),
                        "lowest": round(min(rates[name]), 1),
                        "highest": round(max(rates[name]), 1),
                        "xiqa / it": round(middle["xiqa"] / value, 2),
                    }


def latency(images: int, model: str):
    """Seconds from the answer to the verdict, an image a second, uncompressed and compressed."""
    for name, syntax in {"none": ExplicitVRLittleEndian, "JPEG 2000, lossless": JPEG2000Lossless}.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            files = full_size(folder, images, syntax)
            waits = waited(folder, files, model)
            yield {
                "model": Path(model).name or "stand-in",
                "compression": name,
                "MB": round(statistics.mean(Path(file.path).stat().st_size for file in files) / 1e6, 1),
                "images": images,
                "p50": round(waits[len(waits) // 2], 2),
                "p95": round(waits[int(len(waits) * 0.95)], 2),
                "most": round(waits[-1], 2),
            }


def full_size(folder: Path, count: int, syntax: str) -> list[File]:
    """Simulated chests of 2500 x 2048 pixels with a detector's noise; four pictures, each with many UIDs."""
    rng, pictures = np.random.default_rng(7), []
    for seed in range(4):
        chest = np.asarray(simulate_chest(seed).image.pixels, np.float64)
        large = resize(chest, (2500, 2048), order=1, preserve_range=True)
        noisy = 3800 * (large - large.min()) / np.ptp(large) + rng.normal(100, 12, large.shape)
        ds = radiograph(rows=2500, columns=2048)
        ds.PixelData = noisy.clip(0, 4095).astype(np.uint16).tobytes()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        if syntax != ExplicitVRLittleEndian:
            ds.compress(syntax, generate_instance_uid=False)
        pictures.append(ds)
    files = []
    for number in range(count):
        ds, path = pictures[number % 4], folder / f"{number}.dcm"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.save_as(path, enforce_file_format=True)
        files.append(File(str(path), str(ds.SOPClassUID), str(ds.SOPInstanceUID), str(syntax)))
    return files


def waited(folder: Path, files: list[File], model: str) -> list[float]:
    """How long each verdict took, in order of length."""
    config = configuration(folder)
    text = config.read_text().replace('results = "tests.service.models:notes"\n', "")
    if model:
        stand_in = 'call = "tests.service.models:brightness"'
        text = text.replace(stand_in, f'path = "{Path(model).resolve()}"')
    config.write_text(text)
    node = Serve(config)
    modality, answered = DicomArchive(Destination("XIQA", "127.0.0.1", node.dicom), "CR1"), {}
    try:
        time.sleep(20 if model else 2)
        for file in files:
            begun = time.time()
            assert modality.send([file])[0].taken
            answered[file.uid] = time.time()
            time.sleep(max(0.0, 1 - (time.time() - begun)))
        time.sleep(10)
    finally:
        node.stop()
    store = Store(Database(read_settings(config).node.url))
    rows = {row["uid"]: row for row in store.recent(10**6)}
    store.database.close()
    assert all(row["verdict"] in ("accept", "review", "reacquire") for row in rows.values())
    return sorted(rows[uid]["assessed"] - at for uid, at in answered.items())


def growth(images: int, pause: float = 0.0, name: str = "growth"):
    """What the node holds as images arrive, are forwarded and leave."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        archive = Archive(folder / "archive")
        node = Serve(configuration(folder, peer(archive.server.port, confirm="no"), node="keep_days = 0"))
        begun, again = time.monotonic(), 0
        try:
            for number in range(1, images + 1):
                ds = radiograph(rows=400, columns=400, seed=number)
                while send(node.dicom, [ds]) != [0]:  # as a modality does
                    again += 1
                time.sleep(max(0.0, begun + number * pause - time.monotonic()))
                if number == 100 or number % (images // 8) == 0:
                    yield held(node, number, folder, archive) | {"run": name, "sent again": again}
            time.sleep(130)  # the second look for what may be removed
            yield held(node, images, folder, archive) | {"run": f"{name}, 130 s later", "sent again": again}
        finally:
            node.stop()
            archive.server.stop(1)
            archive.spool.close()


def held(node: Serve, number: int, folder: Path, archive: Archive) -> dict:
    """Memory, threads, descriptors and files now."""
    with urllib.request.urlopen(f"http://127.0.0.1:{node.http}/health", timeout=10):
        pass
    files = [path for path in (folder / "node").rglob("*") if path.is_file()]
    return {
        "run": "",
        "images": number,
        "MB": round(node.memory() / 2**20, 1),
        "assessing MB": round(sum(node.memory(child) for child in node.children()) / 2**20, 1),
        "threads": node.threads(),
        "descriptors": node.descriptors(),
        "files": len(files),
        "database MB": round(sum(path.stat().st_size for path in files if "node.db" in path.name) / 2**20, 1),
        "archive": sum(1 for _ in archive.spool.files()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["receive", "latency", "growth", "soak"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=0)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--model", default="")
    chosen = parser.parse_args()
    rows = {
        "receive": lambda: receive(chosen.rounds),
        "latency": lambda: latency(chosen.images or 60, chosen.model),
        "growth": lambda: growth(chosen.images or 2000),
        "soak": lambda: growth(60 * chosen.minutes, pause=1.0, name="soak"),
    }[chosen.what]()
    write_rows(RESULTS / f"node_{chosen.what}.csv", list(told(rows)))


if __name__ == "__main__":
    sys.exit(main())
