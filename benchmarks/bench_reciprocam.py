"""Recipro-CAM in the graph against openvino-xai's, on OpenVINO, both over the bare forward pass.

openvino-xai 1.1 needs an OpenVINO and a NumPy of its time, so its side runs in an environment of its own:

    python -m venv peer
    peer/bin/pip install "openvino==2024.4.*" "numpy<2" "opencv-python<4.11" scipy tqdm matplotlib
    peer/bin/pip install --no-deps openvino-xai
    python -m benchmarks.bench_reciprocam --peer peer/bin/python [--sizes 224 600]

ResNet-34, two classes. The files are written here; all three jobs run in the peer's process, on the same
OpenVINO, in turns: the network alone, our exported graph with its map, and the peer's graph with its map
inserted. A figure is the ratio of the medians of CPU-seconds. Writes benchmarks/results/reciprocam.csv.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "reciprocam.csv"
BATCH, AIM = 1, 1.9


def write(folder: Path, size: int) -> tuple[Path, Path, str]:
    """The bare network and the one with its map, as ONNX files; and the name of the layer's output."""
    import onnx
    import torch

    from xiqa.export import export_model
    from xiqa.models import save_bundle
    from xiqa.models.architecture import Architecture
    from xiqa.models.backbones import build_network
    from xiqa.models.bundle import load_model
    from xiqa.models.card import BundleCard, Layers
    from xiqa.models.layers import target_layers
    from xiqa.models.preprocess import Preprocessing

    torch.manual_seed(0)
    architecture = Architecture(library="timm", backbone="resnet34", classes=2)
    network = build_network(architecture)
    layers = target_layers(network)
    card = BundleCard(
        name="resnet34",
        created="2026-01-01",
        architecture=architecture,
        preprocessing=Preprocessing(size=(size, size), mean=(0.5,) * 3, std=(0.25,) * 3),
        classes=("good", "poor"),
        poor_class=1,
        temperature=1.0,
        threshold=0.5,
        review_band=(0.4, 0.6),
        layers=Layers(last=layers.last, multi=layers.stages),
        method="reciprocam:output=logit",  # as the peer scores
        **dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "A benchmark."),
    )
    save_bundle(folder / "bundle", network, card)
    export_model(load_model(folder / "bundle"), folder / "explained.onnx")
    graph = onnx.load(folder / "explained.onnx")
    onnx.utils.extract_model(
        folder / "explained.onnx", folder / "bare.onnx", [graph.graph.input[0].name], ["logits"]
    )
    return folder / "bare.onnx", folder / "explained.onnx", layers.last


def measure(bare: str, explained: str, size: int, rounds: int) -> dict[str, float]:
    """Median CPU-seconds of the three jobs; runs in the peer's environment."""
    import numpy as np
    import openvino as ov
    import openvino_xai as xai

    core = ov.Core()
    options = {"INFERENCE_NUM_THREADS": 1}
    models = {name: core.read_model(path) for name, path in (("bare", bare), ("ours", explained))}
    models["theirs"] = xai.insert_xai(
        core.read_model(bare), task=xai.Task.CLASSIFICATION, explain_method=xai.Method.RECIPROCAM
    )
    shape = [BATCH, 3, size, size]
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    requests, maps = {}, {}
    for name, model in models.items():
        model.reshape(shape)
        requests[name] = core.compile_model(model, "CPU", options).create_infer_request()
    seconds: dict[str, list[float]] = {name: [] for name in requests}
    for number in range(rounds + 1):
        for name, request in requests.items():
            start = time.process_time()
            maps[name] = request.infer([images])
            if number:
                seconds[name].append(time.process_time() - start)
    ours = next(value for output, value in maps["ours"].items() if "heatmap" in output.get_names())[0]
    theirs = next(value for output, value in maps["theirs"].items() if "saliency_map" in output.get_names())[
        0, 1
    ]
    correlation = float(np.corrcoef(ours.ravel(), theirs.astype(float).ravel())[0, 1])
    return {**{name: statistics.median(times) for name, times in seconds.items()}, "correlation": correlation}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer", default=sys.executable, help="python of the environment with openvino-xai")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 600])
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        bare, explained, size = options.measure
        print(json.dumps(measure(bare, explained, int(size), options.rounds)))
        return
    rows = [row for size in options.sizes for row in compare(options.peer, size, options.rounds)]
    from benchmarks.tables import write_lines  # the peer's process runs this file alone

    write_lines(RESULTS, ("size", "what", "value", "aim"), rows)


def compare(peer: str, size: int, rounds: int) -> list[tuple[int, str, str, float | str]]:
    """The ratios at one image size."""
    with tempfile.TemporaryDirectory() as name:
        bare, explained, layer = write(Path(name), size)
        command = [peer, __file__, "--rounds", str(rounds), "--measure", str(bare), str(explained), str(size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    values: list[tuple[str, float, float | str]] = [
        ("ours over the bare network", found["ours"] / found["bare"], ""),
        ("openvino-xai over the bare network", found["theirs"] / found["bare"], ""),
        ("openvino-xai over ours", found["theirs"] / found["ours"], AIM),
        ("correlation of the two maps", found["correlation"], ""),
    ]
    print(f"ResNet-34, {size} x {size}, one thread, layer {layer}")
    for what, value, aim in values:
        print(f"{what:40s}{value:8.3f}  {f'(aim {aim})' if aim else ''}", flush=True)
    return [(size, what, f"{value:.3f}", aim) for what, value, aim in values]


if __name__ == "__main__":
    main()
