"""An exported model's speed, cold start and memory: its map over its bare forward pass, and against PyTorch.

Processor seconds of one image at a time, medians of alternated runs on one thread: `bare` is the exported
graph cut at the logits, on the same runtime. `torch` is the bundle as an assessment runs it (folded, channels
last), `grad-cam` the library of that name on the network as loaded, Grad-CAM at the last layer. Cold start
and memory are those of `xiqa assess` on one image in a fresh process, report included; memory is VmHWM.

    OMP_NUM_THREADS=1 python -m benchmarks.bench_export [--rounds 9] [--exported FOLDER]
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import onnx
import torch
from benchmarks.export_losses import METHODS, export
from benchmarks.tables import write_lines
from benchmarks.timing import alternate

import xiqa
import xiqa._torchvision
from xiqa.assessment.runtimes.cut_graph import cut
from xiqa.assessment.runtimes.onnx import OnnxRuntime, start_engine
from xiqa.assessment.runtimes.torch import TorchRuntime
from xiqa.models.exported import INPUT, OUTPUTS
from xiqa.report.overlay import picture_of
from xiqa.simulation.chest import simulate_chest

RESULTS = Path(__file__).parent / "results" / "export.csv"
ENGINES = ("onnxruntime", "openvino")

# Run in a fresh process: `xiqa` with these arguments, then the most memory that it held.
MEMORY = """
import sys
from xiqa.cli import main
sys.argv[0] = "xiqa"
try:
    main()
except SystemExit:
    pass
print("torch" in sys.modules, int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024)
"""


def jobs(files: dict[tuple[str, str], Path], image: np.ndarray) -> dict[str, Callable[[], object]]:
    """What is compared, by name."""
    model = xiqa.load_model()
    found: dict[str, Callable[[], object]] = {}
    bare = cut(onnx.load(files["last", "float32"]), INPUT, OUTPUTS[0]).SerializeToString()
    for engine in ENGINES:
        run = start_engine(engine)(bare, "bare", 1).run
        found[f"{engine} bare"] = lambda run=run: run({INPUT: image})
        for layers in METHODS:
            runtime = OnnxRuntime(files[layers, "float32"], engine, threads=1)
            method = runtime.resolve(None)
            found[f"{engine} {layers}"] = lambda r=runtime, m=method: r.infer(image, m)
    runtime = TorchRuntime(model)
    for layers, method in METHODS.items():
        chosen = runtime.resolve(method)
        found[f"torch {layers}"] = lambda m=chosen: runtime.infer(image, m)
    found["grad-cam last"] = gradcam(model, torch.from_numpy(image))
    return found


def gradcam(model, images: torch.Tensor) -> Callable[[], object]:
    """The library's Grad-CAM at the card's last layer, hooks made once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    cam = GradCAM(model.network, [model.network.get_submodule(model.card.layers.last)])
    return lambda: cam(images, [ClassifierOutputTarget(model.card.poor_class)])


def fresh(arguments: list[str]) -> tuple[float, float, float]:
    """Processor seconds, seconds and megabytes of `xiqa` in a process of its own."""
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-c", MEMORY, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - wall
    has_torch, megabytes = done.stdout.splitlines()[-1].split()
    assert (has_torch == "True") == (not any(word.endswith(".onnx") for word in arguments))
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall, float(megabytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--exported", type=Path, help="keep the exported files here and use them again")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[tuple[str, ...]] = []

    def tell(what: str, job: str, value: float, *over: float) -> None:
        rows.append((what, job, f"{value:.4g}", *(f"{ratio:.3g}" for ratio in over)))
        print(*rows[-1], sep="  ", flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = export(arguments.exported or folder)
        radiograph = simulate_chest(1, size=(512, 512)).image
        image = xiqa.load_model().prepare(radiograph)[0][None]
        seconds = alternate(jobs(files, image), arguments.rounds)
        for job, value in seconds.items():
            engine, _, layers = job.partition(" ")
            own = seconds[f"{engine} bare"] if f"{engine} bare" in seconds else seconds["onnxruntime bare"]
            torch_ratio = seconds.get(f"torch {layers}", seconds["torch last"]) / value
            tell("CPU seconds", job, value, value / own, torch_ratio, seconds["grad-cam last"] / value)
        picture = folder / "image.png"
        picture_of(radiograph, 512).save(picture)
        exported = str(files["multi", "float32"])
        for name, options in {
            "onnxruntime": ["--model", exported],
            "openvino": ["--model", exported, "--runtime", "openvino"],
            "torch": ["--method", METHODS["multi"]],
        }.items():
            taken = [
                fresh(["assess", str(picture), *options, "--out", str(folder / f"{name}{n}")])
                for n in (0, 1, 2)
            ]
            for what, values in zip(
                ("cold start, CPU seconds", "cold start, seconds", "peak memory, MB"),
                zip(*taken, strict=True),
                strict=True,
            ):
                tell(what, f"xiqa assess on {name}", float(np.median(values)))
    write_lines(RESULTS, ("what", "job", "value", "over_bare", "torch_over_it", "gradcam_over_it"), rows)


if __name__ == "__main__":
    main()
