"""Write docs/metrics.md from the register of metrics, their docstrings and the benchmarks' results.

python docs/make_metrics.py
"""

import csv
import inspect
import re
import textwrap
from pathlib import Path

from xiqa.metrics.registry import MetricInfo, metrics

HERE = Path(__file__).parent
PAGE = HERE / "metrics.md"
RESULTS = HERE.parent / "benchmarks" / "results"
KEYS = set(re.findall(r"^@\w+\{([^,]+),", (HERE / "references.bib").read_text(), re.MULTILINE))

KINDS = {
    "localisation": "Does the map show where the annotated objects are?",
    "faithfulness": "Does the network use what the map shows?",
    "agreement": "How alike are two maps, or a map and where people looked?",
    "complexity": "How concentrated is the map? Neither end is right by itself.",
    "robustness": "Does the map stay when the image hardly changes?",
    "randomisation": "Does the map change when the network forgets what it has learnt?",
    "consistency": "Is the detector as good on one architecture as on another?",
    "cost": "What does a map cost?",
}
CASES = {
    "no_truth": "no object",
    "full_truth": "objects everywhere",
    "constant": "constant map",
    "ties": "ties",
    "non_finite": "NaN or infinity in the map",
}
REFERENCE_CASES = {"no_truth": "reference of zeros", "full_truth": "reference of ones"}
SCORES_CASES = {"non_finite": "NaN or infinity among the scores"}
INTRODUCTION = """\
# Metrics

<!-- Written by docs/make_metrics.py from the docstrings; change those. -->

A metric is a pure function of one image; means, intervals and ranks are the business of
`xiqa.scoring.differences`. `xiqa metrics` lists them, `xiqa metrics NAME` describes one.

```console
$ xiqa metrics pointing_game
```

```python
import numpy as np
from xiqa.metrics import get_metric
from xiqa.geometry import Box
from xiqa.types import Annotation

saliency = np.zeros((64, 64))
saliency[20, 30] = 1.0
button = Annotation(Box(28, 18, 33, 23), kind="button")
pointing_game = get_metric("pointing_game")
assert pointing_game.function(saliency, [button], tolerance=5) == 1.0
assert pointing_game.higher_is_better
```

Maps are arrays $(H, W)$ on the grid of the image or of the truth; objects are annotations with boxes,
ellipses, polygons or masks. Each metric says what it answers at its edges. NaN means *not defined here*:
there is no object to find, or no order to follow. Such images are left out of means, and counted. A map
that is constant or not finite has localised nothing, which is a miss and never a peak at (0, 0). Pixels
that tie are put in random order by the seed, so that no map profits from the order in memory. A map that
varies by rounding only ($10^{-6}$ of its size) is constant; no other metric of one map asks how large its
values are, but those that say so (`infidelity`, `local_lipschitz`).

One rule tells objects in all metrics of localisation. An object is the pixels of the image whose centres
lie inside it, and what leaves the image is cut off. An object between the centres, which has none, is the
one pixel that its middle lies in. An object without a pixel of the image (it lies outside, its mask is
empty) is no object of this image: it is left out, and an image that has no other has no truth. A mask must
lie on the map's grid, whatever is asked of it.

An argument without meaning (a negative step, a class that the network does not have, a box of NaN) is a
`MetricError` that names the metric, the argument and what was expected. A parameter's type says what it may
be (`xiqa.metrics.arguments`), and `@metric` sees to it.

To add a metric, write one file in `src/xiqa/metrics/` with a decorated function; the command line, this
page and the contract tests find it. A number of a curve names it with `curve=`, and experiments can keep
the curve.

## What a curve costs

The copies of a perturbation curve pass the network in batches, one copy a step. On a processor with AVX a
`TorchProbe` lays a batch out with its channels last where that is worth it, with a pixel for every 256
weights of its kernels: most convolutional networks then take 0.5 to 0.95 of the time, ConvNeXt and
transformers as much as before (`python -m benchmarks.bench_passes`). A network that takes no such images,
because it views its maps as vectors, gets them as they are.

From step to step the image changes in one region only. On the processor only what changes then passes the
early layers, a window in each that grows by what its kernel sees, and whole maps pass the rest
({cite:t}`nakandala2019incremental`, the exact form: `xiqa.saliency.probe.incremental`). `aopc`, `deletion`,
`insertion` and the method `occlusion` do so by themselves with a `TorchProbe`. The scores are those of
whole passes up to rounding. From the first operation on that mixes all places (squeeze and excitation, say)
or that has no rule, whole maps pass. Whole images pass where they have less than 96 x 96 pixels, where the
pixels of a step lie scattered over the image (many pixels a step), where that would spare less than a fifth
of the multiplications, where the network cannot be traced, and on other devices. The first passes of a
network take up to a few seconds longer, in which it is traced.

Processor time of whole images over that of windows, 32 images (`python -m benchmarks.bench_incremental`;
folded: with batch norm folded into the convolutions and weights in channels-last order, as
`xiqa benchmark` passes a bundle; freed memory kept, as the command line keeps it):

INCREMENTAL

Against Quantus, same images, maps and steps, equal values, on one thread (`python -m benchmarks.bench_metrics
--rounds 3`, then with `--single`; images of one channel, freed memory kept). Single pixels are Quantus'
default; the other curves have 32 steps, but a step for every row of pixels and every region of 4 x 4 of
images of 28 and 32 pixels. Processor time of Quantus, given the images one at a time or all at once, over
that of xiqa:

QUANTUS

What is won hangs on what Quantus passes at once: a step of all images that it is given. Of one image that
is one copy after another, and its own work around each; xiqa passes the copies in batches, and in windows
where a step changes a region or a single pixel. Of many images little of that work is left, and a step of
many scattered pixels changes the whole image: there both make the same whole passes, and there is no more
to win than what the layout of the copies and folding spare.

Against their own bare passes (the network's, over the same whole copies in the same batches) curves take
BARE of the processor time.

"""
NETWORKS = {
    "lenet": "LeNet",
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "tf_efficientnet_lite0": "EfficientNet-Lite0",
    "shipped": "the shipped model",
}


def markdown(text: str) -> str:
    """A docstring's reStructuredText as Markdown."""
    text = re.sub(
        r"^\.\. math::[ \n]*(.*(?:\n[ ]+\S.*)*)",
        lambda m: "$$\n" + textwrap.dedent(re.sub(r"\n\s+", "\n", m.group(1))) + "\n$$",
        text,
        flags=re.MULTILINE,
    )
    text = re.sub(r":math:`([^`]*)`", r"$\1$", text)
    text = re.sub(r"``([^`]*)``", r"`\1`", text)
    return re.sub(r"\b[a-z]+(?:19|20)\d\d\w*\b", lambda m: cite(m.group()), text)


def cite(key: str) -> str:
    return f"{{cite:t}}`{key}`" if key in KEYS else key


def body(info: MetricInfo) -> str:
    """The docstring up to its arguments, without the summary."""
    text = inspect.getdoc(info.function).split("\n\nArgs:")[0]
    return markdown(text)


def number(value: float) -> str:
    return {float("inf"): "∞", float("-inf"): "-∞"}.get(value, f"{value:g}")


def entry(info: MetricInfo) -> str:
    better = {True: "higher is better", False: "lower is better", None: "neither end is better"}
    low, high = map(number, info.bounds)
    cases = CASES | (REFERENCE_CASES if info.truth == "map" else {})
    cases |= SCORES_CASES if info.kind == "consistency" else {}
    edges = "; ".join(f"{cases[case]}: {answer}" for case, answer in info.answers.items())
    params = ", ".join(
        f"`{name}`" if default is inspect.Parameter.empty else f"`{name}={default!r}`"
        for name, default in info.params.items()
    )
    facts = [
        f"Range: {low} to {high}, {better[info.higher_is_better]}.",
        f"Called as `{info.call}`" + (", over a data set." if info.scope == "set" else "."),
        f"Parameters: {params}." if params else "No parameters.",
        f"At the edges: {edges}.",
    ]
    facts += ["A number of a curve, which experiments keep with `curve = true`."] if info.curve else []
    facts += [f"Source: {cite(info.cite)}."] if info.cite else []
    return f"### {info.name}\n\n{body(info)}\n\n" + "\n".join(f"- {fact}" for fact in facts) + "\n"


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def results(name: str) -> list[dict[str, str]]:
    with (RESULTS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def incremental() -> str:
    """Factors of windows over whole images, a network and its folded copy a line."""
    lines = results("incremental")
    whats = tuple(dict.fromkeys(line["what"] for line in lines))
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for line in lines:
        found.setdefault((line["network"], line["pixels"], line["weights"]), {})[line["what"]] = line["ratio"]
    rows = [
        (
            f"{NETWORKS[network]}, {pixels} px{', folded' if weights else ''}",
            *(ratios[what] for what in whats),
        )
        for (network, pixels, weights), ratios in found.items()
    ]
    return table(("network", *whats), rows)


def quantus() -> str:
    """How many times longer Quantus takes, a metric of a network a line."""
    found: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for line in results("metrics"):
        if line["against"].startswith("quantus"):
            network = f"{NETWORKS[line['network']]}, {line['side']} px"
            found.setdefault((line["metric"], network), {})[line["against"]] = line
    rows = []
    for names, by in found.items():
        one, together = by["quantus"], by.get("quantus, all at once")
        differences = [line["largest_difference"] for line in by.values()]
        factor = f"{together['ratio']} ({together['images']} images)" if together else ""
        rows.append((*names, one["ratio"], factor, max(differences, key=float)))
    return table(("metric", "network", "one at a time", "all at once", "largest difference"), rows)


def bare() -> str:
    """The range of what a curve takes over its passes alone."""
    ratios = [float(line["ratio"]) for line in results("metrics") if line["against"] == "bare passes"]
    return f"{min(ratios):.2f} to {max(ratios):.2f}"


def page() -> str:
    parts = [
        INTRODUCTION.replace("INCREMENTAL", incremental())
        .replace("QUANTUS", quantus())
        .replace("BARE", bare())
    ]
    for kind, question in KINDS.items():
        parts.append(f"## {kind.capitalize()}\n\n{question}\n")
        parts += [entry(info) for info in metrics() if info.kind == kind]
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
