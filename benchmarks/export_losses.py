"""What an exported model loses when its weights take fewer bytes, on the validation images.

For the map of the last layer and that of several, and for each precision: size of the file, AUC, share of
peaks within 15 pixels (of 640) of a removable object, and of a compact one; the share of images on which the
peak moves by more than that, and the largest change of probability and of the guard's distance, against
float32. The test images are not touched.

``int8 arithmetic`` is what `xiqa export` does *not* offer: ONNX Runtime's static quantisation of the forward
convolutions, per channel, calibrated on 16 training images.

    python -m benchmarks.export_losses [--data FOLDER] [--images 129] [--exported FOLDER]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from benchmarks.tables import write_rows

import xiqa
from xiqa.assessment.runtimes.cut_graph import cut
from xiqa.assessment.runtimes.onnx import OnnxRuntime
from xiqa.datasets.foreign_objects import read_foreign_objects
from xiqa.datasets.groups import members
from xiqa.export import export_model
from xiqa.export.onnx import shrink
from xiqa.metrics.localisation.pointing_game import pointing_game
from xiqa.metrics.roc import roc_auc
from xiqa.models.exported import INPUT, OUTPUTS, ExportedCard
from xiqa.saliency.placing import on_original

RESULTS = Path(__file__).parent / "results" / "export_losses.csv"
METHODS = {"last": "normgrad_conv1x1", "multi": "normgrad_conv1x1:layers=multi"}
PRECISIONS = ("float32", "float16", "int8")
TOLERANCE = 15.0


def export(folder: Path) -> dict[tuple[str, str], Path]:
    """The shipped model in every precision; what is there already is not made again."""
    files = {}
    for layers, method in METHODS.items():
        for precision in PRECISIONS:
            file = files[layers, precision] = folder / f"{layers}-{precision}.onnx"
            if file.exists():
                continue
            if precision == "float32":
                export_model(xiqa.load_model(), file, method=method)
            else:
                proto = onnx.load(files[layers, "float32"])
                shrink(proto, precision)
                onnx.save(proto, file)
    return files


def quantise(source: Path, out: Path, preprocessing, samples) -> None:
    """Let the convolutions of the forward pass compute in int8."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):
        def __init__(self):
            self.images = iter(samples)

        def get_next(self):
            radiograph = next(self.images, None)
            return None if radiograph is None else {INPUT: preprocessing.prepare(radiograph.read())[0][None]}

    forward = {node.name for node in cut(onnx.load(source), INPUT, OUTPUTS[0]).graph.node}
    quantize_static(
        str(source),
        str(out),
        Images(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        op_types_to_quantize=["Conv"],
        nodes_to_quantize=sorted(forward),
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def bind_card(file: Path) -> None:
    """Bind the card in a file to the graph that the quantiser made of it."""
    proto = onnx.load(file)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    exported = ExportedCard.from_metadata(metadata, str(file)).bound_to(proto.SerializeToString())
    del proto.metadata_props[:]
    for key, value in exported.to_metadata().items():
        proto.metadata_props.add(key=key, value=value)
    onnx.save(proto, file)


def measure(runtime: OnnxRuntime, samples) -> dict[str, np.ndarray]:
    """Of each image: probability, distance, the peak in pixels of the image, and the two hits."""
    rows = []
    for sample in samples:
        image = sample.read()
        array, frame = runtime.prepare(image)
        inference = runtime.infer(array[None], runtime.resolve(None))
        saliency = on_original(inference.maps[0], frame)
        row, column = np.unravel_index(saliency.argmax(), saliency.shape)
        removable = members(sample.annotations, "removable")
        compact = members(sample.annotations, "compact")
        hits = [
            pointing_game(saliency, truth, tolerance=TOLERANCE) if sample.label == 1 else np.nan
            for truth in (removable, compact)
        ]
        rows.append((inference.probabilities[0], inference.distances[0], row, column, *hits))
    table = np.array(rows, dtype=float)
    return {"probability": table[:, 0], "distance": table[:, 1], "peak": table[:, 2:4], "hits": table[:, 4:]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("XIQA_DATA", "../shared/data")))
    parser.add_argument("--images", type=int)
    parser.add_argument("--exported", type=Path, help="keep the exported files here and use them again")
    arguments = parser.parse_args()
    every = read_foreign_objects(arguments.data / "cxr-foreign-objects")
    samples = [sample for sample in every if sample.split == "val"][: arguments.images]
    learned = [sample for sample in every if sample.split == "train"]
    poor = np.array([sample.label == 1 for sample in samples])
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        files = export(arguments.exported or Path(temporary))
        preprocessing = xiqa.load_model().card.preprocessing
        for layers in METHODS:
            files[layers, "int8 arithmetic"] = Path(temporary) / f"{layers}-arithmetic.onnx"
            spread = learned[:: len(learned) // 16][:16]
            quantise(files[layers, "float32"], files[layers, "int8 arithmetic"], preprocessing, spread)
            bind_card(files[layers, "int8 arithmetic"])
        files = dict(sorted(files.items(), key=lambda item: item[0][0]))
        for (layers, precision), file in files.items():
            started = time.process_time()
            found = measure(OnnxRuntime(file, threads=1), samples)
            seconds = time.process_time() - started
            if precision == "float32":
                exact = found
            moved = np.linalg.norm(found["peak"] - exact["peak"], axis=1) > TOLERANCE
            rows.append(
                {
                    "layers": layers,
                    "precision": precision,
                    "images": len(samples),
                    "megabytes": f"{file.stat().st_size / 1e6:.1f}",
                    "auc": f"{roc_auc(found['probability'], poor):.4f}",
                    "peak_on_object": f"{np.nanmean(found['hits'][:, 0]):.3f}",
                    "peak_on_compact": f"{np.nanmean(found['hits'][:, 1]):.3f}",
                    "peaks_moved": f"{moved[poor].mean():.3f}",
                    "probability_change": f"{np.abs(found['probability'] - exact['probability']).max():.2g}",
                    "cpu_seconds_a_image": f"{seconds / len(samples):.3f}",
                    "distance_change": f"{np.abs(found['distance'] / exact['distance'] - 1).max():.2g}",
                }
            )
            print(*rows[-1].values(), sep="  ", flush=True)
    write_rows(RESULTS, rows)


if __name__ == "__main__":
    main()
