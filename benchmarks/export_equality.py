"""Exported maps and probabilities against PyTorch's, over all validation images and all methods at once.

Every method that a graph can hold is traced into *one* graph with the shipped model, so that an image needs
one run on each side. Told are the largest deviations over all images: of the probability; of the distance
relative to its value; of a map's worst pixel and of the worst of all but its worst hundredth (`99 %`),
relative to the map's highest value; and how many peaks of poor images are more than one cell away.

    python -m benchmarks.export_equality [--data FOLDER] [--images 132]
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from benchmarks.tables import write_lines

import xiqa
from xiqa.assessment.runtimes.onnx import start_engine
from xiqa.assessment.runtimes.torch import TorchRuntime, named_layers
from xiqa.datasets.foreign_objects import read_foreign_objects
from xiqa.export.graph import cut_layers, explained, exportable
from xiqa.export.onnx import share_turned, to_onnx
from xiqa.export.trace import trace
from xiqa.saliency.engine import attribute
from xiqa.saliency.registry import bind

RESULTS = Path(__file__).parent / "results" / "export_equality.csv"
ENGINES = ("onnxruntime", "openvino")
QUANTILE, MOVED = ", 99 %", ", peaks moved"
POOLED = ("cam", "reciprocam")  # need a pooled linear head, which the shipped model has not


def methods() -> list[str]:
    """Every exportable method at the last layer and at several."""
    names = [name for name in exportable() if name not in POOLED]
    return [f"{name}{layers}" for name in names for layers in ("", ":layers=multi")]


def together(model, texts):
    """One function of images for all methods: probability, distance and a map each."""
    function = explained(model, *map(bind, texts))

    def run(images):
        _, probability, heatmap, distance, *rest = function(images)
        others = rest[len(cut_layers(model)) + (model.view is not None) :]
        return (probability, distance, heatmap, *others)

    return run


def radiographs(data: Path, count: int | None):
    """The validation images."""
    return [sample for sample in read_foreign_objects(data) if sample.split == "val"][:count]


def moved(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the peaks of two maps are more than one cell apart."""
    peaks = [np.array(np.unravel_index(values.argmax(), values.shape)) for values in (one, other)]
    return bool(np.abs(peaks[0] - peaks[1]).max() > 1)


def deviations(model, samples, texts, file: Path) -> Iterator[dict[str, dict[str, float]]]:
    """The largest deviation of each output by engine, after every image; PyTorch's answer is the truth."""
    names = ["probability", "distance", *texts]
    example = torch.zeros(1, *model.card.preprocessing.shape)
    proto = to_onnx(trace(together(model, texts), example), [f"out{i}" for i in range(len(names))])
    share_turned(proto)
    file.write_bytes(proto.SerializeToString())
    engines = {name: start_engine(name)(str(file), str(file), 1) for name in ENGINES}
    keys = [*names[:2], *(f"{text}{what}" for text in texts for what in ("", QUANTILE, MOVED))]
    largest = {engine: dict.fromkeys(keys, 0.0) for engine in engines}
    runtime = TorchRuntime(model)
    layers = named_layers(model.card)
    for sample in samples:
        image = model.prepare(sample.read())[0][None]
        inference = runtime.infer(image, runtime.resolve("normgrad_conv1x1"))
        maps = attribute(
            model.network, torch.from_numpy(image), texts, target=model.card.poor_class, layers=layers
        )
        for engine, started in engines.items():
            found = started.run({"images": image})
            worst = largest[engine]
            wanted = [
                inference.probabilities,
                inference.distances,
                *(maps[str(bind(t).method)].numpy() for t in texts),
            ]
            for place, (name, truth) in enumerate(zip(names, wanted, strict=True)):
                scale = 1.0 if name == "probability" else float(np.abs(truth).max()) or 1.0
                difference = np.abs(found[f"out{place}"] - truth) / scale
                worst[name] = max(worst[name], float(difference.max()))
                if name in texts:
                    worst[name + QUANTILE] = max(worst[name + QUANTILE], float(np.quantile(difference, 0.99)))
                    if sample.label == model.card.poor_class:
                        worst[name + MOVED] += moved(found[f"out{place}"][0], truth[0])
        yield largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("XIQA_DATA", "../shared/data")))
    parser.add_argument("--images", type=int)
    arguments = parser.parse_args()
    samples = radiographs(arguments.data / "cxr-foreign-objects", arguments.images)
    with tempfile.TemporaryDirectory() as folder:
        found = deviations(xiqa.load_model(), samples, methods(), Path(folder) / "all.onnx")
        for done, largest in enumerate(found, start=1):
            write(largest, done)
    print(RESULTS.read_text())


def write(largest: dict[str, dict[str, float]], radiographs: int) -> None:
    """What is known after so many images."""
    lines = [
        (name, *(f"{worst[name]:.2g}" for worst in largest.values()), radiographs)
        for name in next(iter(largest.values()))
    ]
    write_lines(RESULTS, ("output", *largest, "images"), lines)


if __name__ == "__main__":
    main()
