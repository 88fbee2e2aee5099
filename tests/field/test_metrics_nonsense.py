"""An argument without meaning is one `MetricError` that names metric and argument, for every metric."""

import inspect
import math

import numpy as np
import pytest
import torch

from tests.metrics.networks import picture, small_network
from tests.metrics.truths import BOX, OBJECTS, SIZE, random_map
from xiqa.errors import MetricError
from xiqa.geometry import Box, Point
from xiqa.metrics import metrics
from xiqa.metrics.faithfulness.aopc import aopc_curve
from xiqa.metrics.faithfulness.insertion_deletion import deletion_curve, insertion_curve
from xiqa.metrics.faithfulness.road import road_curve
from xiqa.metrics.localisation.froc import candidates
from xiqa.saliency.probe import TorchProbe
from xiqa.types import Annotation

NETWORK = small_network(channels=1)
IMAGE = picture(channels=1, size=SIZE)
MAP = random_map(3)


def explain(images):
    return images.abs().sum(dim=1)


GOOD = {
    "saliency": MAP,
    "truth": OBJECTS,
    "a": MAP,
    "b": random_map(4),
    "probe": TorchProbe(NETWORK),
    "image": IMAGE,
    "target": 1,
    "network": NETWORK,
    "explain": explain,
    "scores": [[0.5], [0.4]],
    "found": [candidates(MAP)],
    "truths": [OBJECTS],
}
MAPS = [MAP[None], MAP.ravel(), MAP.tolist(), np.zeros((0, 4)), MAP.astype(complex), None, torch.zeros(SIZE)]
BOXES = [
    Box(math.nan, 1, 2, 3), Box(0, 0, math.inf, 3), Box(9, 2, 4, 8), Box(1, 8, 4, 2), Box(0, -math.inf, 3, 3),
]  # fmt: skip
TRUTHS = [BOX, [BOX.box], "objects", [*OBJECTS, None], 7]
TRUTHS += [[Annotation(box)] for box in BOXES]
TRUTHS += [[Annotation(BOX.box, polygon=(Point(1, 1), Point(4, math.nan), Point(3, 7)))]]
TRUTHS += [[Annotation(BOX.box, mask=np.zeros((*SIZE, 3), bool))], [Annotation(BOX.box, mask=MAP)]]
BAD = {
    "saliency": MAPS,
    "a": MAPS,
    "b": MAPS,
    "truth": TRUTHS,
    "truths": [[truth] for truth in TRUTHS] + [OBJECTS, []],
    "found": [[[(Point(1, math.nan), 0.5)]], [[(Point(1, 1), math.nan)]], [[Point(1, 1)]], [], 3],
    "image": [IMAGE[None], IMAGE[0], (IMAGE * 9).long(), IMAGE.numpy(), None],
    "target": [-1, -10, 7, 1.5, True, "poor", None],
    "probe": ["network", 3],
    "explain": ["gradcam", None],
    "network": [None, explain],
    "steps": [0, -1, 2.5, "all", math.nan],
    "step": [0, -1, -1000, 2.5, True],
    "every": [0, -1, None],
    "region": [0, -9, 1.5, "squares"],
    "repeats": [0, -1, 1.5],
    "samples": [0, -5, 2.5],
    "square": [0, -1, 1.5],
    "count": [0, -1, 1.5],
    "seed": [-1, 0.5, None],
    "strength": [-0.1, math.nan, math.inf],
    "sigma": [-1.0, math.nan],
    "noise": [-0.01, math.nan, math.inf],
    "radius": [-0.1, 0.0, math.nan, math.inf],
    "epsilon": [-0.1, math.nan],
    "tolerance": [-1, math.nan, math.inf, "15"],
    "separation": [-1, math.nan],
    "overlap": [-0.1, 1.1, math.nan],
    "level": [-0.1, 1.5, math.nan, "half"],
    "threshold": ["mean", -0.5, math.nan, 1.5],
    "k": [0, -3, 1.5, math.nan, "ten", True],
    "percentages": [(), (-1,), (100,), (math.nan,), 20, "20"],
    "shares": [(), (0.0,), (1.1,), (math.nan,), 0.5],
    "levels": [(), (-1.0,), (math.nan,)],
    "frame": ["chest", (0, 10), (10,), (-5, 5), 600],
    "unit": ["mm", None],
    "shape": ["hexagon", None],
    "order": ["best", None, 1],
    "output": ["odds", None],
    "fill": [math.nan, math.inf, None],
    "start": [math.nan, None],
    "scale": ["log", None],
    "profile": ["mine", None],
    "perturbation": ["circle", None],
    "mode": ["some", None],
    "how": ["zeros", None],
    "measure": ["iou", "likeness", None],
    "attack": ["deep", None],
    "clock": ["sun", None],
    "many": ["mean", None],
    "strict": ["no", None],
    "relative": ["no", 2],
    "scaled": ["no"],
    "normalised": ["yes"],
    "absolute": [1.0],
    "correct_only": ["yes"],
    "layers": [["nowhere"], []],
    "scores": [[[0.5]], []],
}
FUNCTIONS = {info.name: info.function for info in metrics()}
FUNCTIONS |= {
    one.__name__: one for one in (aopc_curve, deletion_curve, insertion_curve, road_curve, candidates)
}
MEANT = {  # what means something here
    "adcc": {"probe": [None]},
    "coherency": {"probe": [None], "target": [7]},  # `explain` knows the class
}
CASES = [
    (name, parameter)
    for name, function in FUNCTIONS.items()
    for parameter in inspect.signature(function).parameters
    if parameter != "probability"
]


def arguments(function, **changed):
    wanted = inspect.signature(function).parameters
    cheap = {"samples": 2, "steps": 2, "percentages": (20,), "step": 300, "shares": (0.5,), "repeats": 1}
    given = {name: value for name, value in (GOOD | cheap).items() if name in wanted}
    return given | changed


def test_every_parameter_of_every_metric_is_tried():
    assert {parameter for _, parameter in CASES} <= set(BAD)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_means_something_is_taken(name):
    FUNCTIONS[name](**arguments(FUNCTIONS[name]))


@pytest.mark.parametrize(("name", "parameter"), CASES, ids=[f"{n}-{p}" for n, p in CASES])
def test_nonsense_is_refused(name, parameter):
    function = FUNCTIONS[name]
    meant = MEANT.get(name, {}).get(parameter, [])
    for value in BAD[parameter]:
        if not any(value is one or value == one for one in meant):
            assert refuses(function, parameter, value), value


def refuses(function, parameter, value):
    try:
        function(**arguments(function, **{parameter: value}))
    except MetricError:
        return True
    return False


def test_the_error_names_metric_argument_and_what_is_expected():
    with pytest.raises(
        MetricError, match=r"deletion: step has no meaning: expected a whole number of 1 or more"
    ):
        FUNCTIONS["deletion"](GOOD["probe"], IMAGE, MAP, 1, step=-1)
    with pytest.raises(MetricError, match="no such class: expected a target below 2, got 7"):
        FUNCTIONS["insertion"](GOOD["probe"], IMAGE, MAP, 7, step=300)


def test_whole_numbers_of_numpy_and_shares_of_any_kind_are_numbers():
    deletion = FUNCTIONS["deletion"]
    whole = deletion(GOOD["probe"], IMAGE, MAP, np.int64(1), step=np.int32(300))
    assert whole == deletion(GOOD["probe"], IMAGE, MAP, 1, step=300)
    assert FUNCTIONS["iou"](MAP, OBJECTS, level=np.float32(0.5)) == FUNCTIONS["iou"](MAP, OBJECTS)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float16, bool])
def test_maps_of_other_numbers_have_the_values_of_their_numbers(kind):
    """Unsigned numbers wrap when they are negated, single bits cannot be subtracted."""
    levels = np.floor(MAP * 7) if kind is not bool else MAP > 0.6
    saliency = levels.astype(kind)
    for name, function in FUNCTIONS.items():
        named = inspect.signature(function).parameters
        if "saliency" in named and name not in ("seconds",):
            ours, other = (
                function(**arguments(function, saliency=one)) for one in (saliency, saliency.astype(float))
            )
            if isinstance(ours, float):
                assert ours == pytest.approx(other, nan_ok=True), name
