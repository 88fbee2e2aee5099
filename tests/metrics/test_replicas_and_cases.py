"""Every registered metric has a loop replica, and every case it declares in words is what happens."""

import copy
import math

import numpy as np
import pytest
import torch
from tests.metrics.networks import picture, small_network
from tests.metrics.test_robustness import gradient_map
from tests.metrics.truths import BOX, FULL, OBJECTS, SIZE, random_map
from tests.reference.metrics import faithfulness, localisation, maps, pointing

from xiqa.geometry import Box, Point
from xiqa.metrics.localisation.froc import froc
from xiqa.metrics.randomisation import parameter_randomisation
from xiqa.metrics.registry import get_metric, metrics
from xiqa.metrics.truth import union_mask
from xiqa.saliency.probe import TorchProbe
from xiqa.types import Annotation

NETWORK = small_network(channels=1)
PROBE = TorchProbe(NETWORK)
IMAGE = picture(channels=1, size=SIZE)
MASK = union_mask(OBJECTS, SIZE)
BOXES = [tuple(annotation.box) for annotation in OBJECTS]
MAPS = {"noise": random_map(0), "ties": random_map(1, levels=3), "signed": random_map(2) - 0.4}
SMOOTH = random_map(3) + np.hypot(*np.mgrid[-1 : 1 : SIZE[0] * 1j, -1 : 1 : SIZE[1] * 1j])

#: Metrics whose replica another file compares; these names must stand in it.
ELSEWHERE = {
    "test_localisation.py": (
        *("energy_pointing_game", "relevance_mass_accuracy", "iou", "dice", "relevance_rank_accuracy"),
        *("top_k_intersection", "pixel_auc", "froc"),
    ),
    "test_pointing_game.py": ("pointing_game", "pointing_recall"),
    "test_agreement.py": (
        *(
            "pearson",
            "spearman",
            "similarity",
            "l1_similarity",
            "kl_divergence",
            "map_dice",
            "ssim",
            "auc_judd",
            "nss",
        ),
        *("gini", "entropy"),
    ),
    "test_curves.py": ("aopc", "deletion", "insertion", "road", "road_combined"),
    "test_faithfulness.py": ("average_drop", "average_gain", "increase_in_confidence", "sensitivity_n"),
    "test_robustness.py": ("max_sensitivity", "local_lipschitz", "attack_stability"),
    "test_consistency_and_cost.py": ("difference_of_means", "backward_passes", "forward_passes", "seconds"),
}
HERE = {
    *("hit_rate", "peak_offset", "localisation_accuracy", "effective_complexity", "coherency", "adcc"),
    *("infidelity", "parameter_randomisation"),
}


def test_no_metric_is_without_a_replica():
    named = [name for names in ELSEWHERE.values() for name in names]
    assert sorted([*named, *HERE]) == sorted(info.name for info in metrics())


@pytest.mark.parametrize("name", MAPS)
class TestMaps:
    def test_hit_rate(self, name):
        saliency = MAPS[name]
        expected = pointing.hit(saliency.tolist(), MASK.tolist(), 0, True)
        assert get_metric("hit_rate").function(saliency, OBJECTS) == expected

    def test_peak_offset(self, name):
        saliency = MAPS[name]
        expected = localisation.peak_offset(saliency.tolist(), BOXES)
        assert get_metric("peak_offset").function(saliency, OBJECTS) == pytest.approx(expected)

    @pytest.mark.parametrize("wanted", [0.05, 0.3, 0.5])
    @pytest.mark.parametrize("level", [0.2, 0.9, 1.0])
    def test_localisation_accuracy(self, name, level, wanted):
        saliency = MAPS[name]
        ours = get_metric("localisation_accuracy").function(saliency, OBJECTS, level=level, overlap=wanted)
        assert ours == localisation.localisation_accuracy(saliency.tolist(), BOXES, level, wanted)

    @pytest.mark.parametrize("threshold", [0.1, 0.5])
    def test_effective_complexity(self, name, threshold):
        saliency = MAPS[name]
        expected = maps.effective_complexity(saliency.tolist(), threshold)
        ours = get_metric("effective_complexity").function(saliency, threshold=threshold)
        assert ours == pytest.approx(expected)

    def test_map_dice_with_ties_on_the_border(self, name):
        saliency, other = MAPS[name], MAPS["ties"][::-1]
        for count in (1, 30, 400):
            ours = get_metric("map_dice").function(saliency, other, level=count / saliency.size)
            assert ours == pytest.approx(maps.dice_of_level(saliency.tolist(), other.tolist(), count))

    def test_coherency_and_adcc(self, name):
        saliency, explain = MAPS[name], gradient_map(NETWORK)
        expected = faithfulness.coherency(explain, IMAGE, saliency)
        ours = get_metric("coherency").function(PROBE, IMAGE, saliency, 1, explain=explain)
        assert ours == pytest.approx(expected, abs=1e-5)
        expected = faithfulness.adcc(NETWORK, explain, IMAGE, saliency, 1)
        assert get_metric("adcc").function(PROBE, IMAGE, saliency, 1, explain=explain) == pytest.approx(
            expected, abs=1e-4
        )

    @pytest.mark.parametrize("fill", [0.0, 0.6])
    def test_infidelity_of_squares(self, name, fill):
        saliency, draws = MAPS[name], np.random.default_rng(5)
        tops, lefts = (draws.integers(0, side - 7 + 1, 12) for side in SIZE)
        expected = faithfulness.infidelity(
            lambda image: faithfulness.logit(NETWORK, image, 1),
            IMAGE,
            saliency,
            list(zip(tops.tolist(), lefts.tolist(), strict=True)),
            7,
            fill,
        )
        ours = get_metric("infidelity").function(
            PROBE, IMAGE, saliency, 1, samples=12, square=7, fill=fill, seed=5
        )
        assert ours == pytest.approx(expected, rel=1e-4)

    def test_infidelity_of_noise(self, name):
        saliency = MAPS[name]
        changes = 0.3 * np.random.default_rng(5).standard_normal((6, *SIZE))
        expected = faithfulness.infidelity_of_noise(
            lambda image: faithfulness.logit(NETWORK, image, 1), IMAGE, saliency, changes
        )
        ours = get_metric("infidelity").function(
            PROBE, IMAGE, saliency, 1, perturbation="noise", samples=6, strength=0.3, seed=5
        )
        assert ours == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("mode", ["cascading", "independent", "semi", "full"])
def test_parameter_randomisation(mode):
    """A copy of the network for each set of layers, every layer drawn from the seed of its name."""
    layers = ["8", "4", "3", "1", "0"]  # from the output
    sets = {
        "cascading": [layers[: count + 1] for count in range(5)],
        "independent": [[name] for name in layers],
        "semi": [layers[:1]],
        "full": [layers],
    }[mode]
    trained = gradient_map(NETWORK)(IMAGE[None])[0].double().tolist()
    agreements = []
    for names in sets:
        other = copy.deepcopy(NETWORK)
        for name in names:
            seed = np.random.SeedSequence([2, *name.encode()]).generate_state(1, np.uint64)[0]
            with torch.random.fork_rng():
                torch.manual_seed(int(seed) >> 1)
                other.get_submodule(name).reset_parameters()
        agreements.append(maps.spearman(trained, gradient_map(other)(IMAGE[None])[0].double().tolist()))
    ours = parameter_randomisation(NETWORK, gradient_map(NETWORK), IMAGE, mode=mode, seed=2)
    assert ours == pytest.approx(sum(agreements) / len(agreements), abs=1e-6)


# What is declared in words.

SETTINGS = {"aopc": {"repeats": 1}, "deletion": {"step": 200}, "insertion": {"step": 200}, "road": {}}
SETTINGS["road"] = SETTINGS["road_combined"] = {"percentages": (20, 50)}


def is_a_random_order(name):
    """A map without an order is the same as asking for none."""
    function, settings = get_metric(name).function, SETTINGS[name]
    constant = function(PROBE, IMAGE, np.full(SIZE, 0.3), 1, **settings)
    return constant, function(PROBE, IMAGE, SMOOTH, 1, order="random", **settings)


def is_the_share_of_the_objects(name):
    settings = {"top_k_intersection": {"k": 100}, "energy_pointing_game": {"shape": "exact"}}.get(name, {})
    return get_metric(name).function(np.full(SIZE, 0.3), OBJECTS, **settings), MASK.mean()


def is_the_share_or_nothing(name):
    assert get_metric(name).function(np.full(SIZE, -0.3), OBJECTS) == 0.0
    assert get_metric(name).function(np.zeros(SIZE), OBJECTS) == 0.0
    return is_the_share_of_the_objects(name)


def is_that_of_the_uniform_distribution(name):
    function, other = get_metric(name).function, np.abs(SMOOTH)
    for level in (0.0, -0.3):
        assert math.isnan(function(np.full(SIZE, level), other))
    replica = {"kl_divergence": maps.kl, "similarity": maps.similarity}[name]
    return function(np.full(SIZE, 0.3), other), replica(
        np.full(SIZE, 1 / other.size).tolist(), other.tolist()
    )


def is_as_told_and_nan_for_zeros(name):
    assert math.isnan(get_metric(name).function(np.zeros(SIZE)))
    return get_metric(name).function(np.full(SIZE, -0.3)), float(
        get_metric(name).cases["constant"].split(";")[0]
    )


def predicts_one_value(name):
    """Each square of 7 x 7 is predicted as 49 times the constant."""
    draws = np.random.default_rng(0)
    tops, lefts = (draws.integers(0, side - 7 + 1, 12).tolist() for side in SIZE)
    falls = []
    for top, left in zip(tops, lefts, strict=True):
        hidden = IMAGE.clone()
        hidden[:, top : top + 7, left : left + 7] = 0
        falls.append(faithfulness.logit(NETWORK, IMAGE, 1) - faithfulness.logit(NETWORK, hidden, 1))
    ours = get_metric(name).function(PROBE, IMAGE, np.full(SIZE, 0.02), 1, samples=12, square=7)
    return ours, np.mean([(49 * 0.02 - fall) ** 2 for fall in falls])


def is_the_regions_share(name):
    return get_metric(name).function(SMOOTH, FULL), (0.5 * SMOOTH.max() <= SMOOTH).mean()


def is_the_regions_dice(name):
    share = float((MAPS["noise"] >= 0.5 * MAPS["noise"].max()).mean())
    assert 0.2 < share < 0.8
    return get_metric(name).function(MAPS["noise"], FULL), 2 * share / (1 + share)


def is_whether_the_box_is_large(name):
    """A region whose box fills three eighths of the image."""
    saliency = np.zeros(SIZE)
    saliency[4, 2], saliency[15, 17] = 1.0, 1.0
    saliency[4:16, 9], saliency[4, 2:10], saliency[15, 9:18] = 1.0, 1.0, 1.0
    share = 12 * 16 / saliency.size
    function = get_metric(name).function
    assert function(saliency, FULL, overlap=share + 0.01) == 0.0
    return function(saliency, FULL, overlap=share), 1.0


def is_the_distance_to_the_centre(name):
    x, y = localisation.first_maximum(SMOOTH.tolist())
    return get_metric(name).function(SMOOTH, FULL), math.hypot(x - (SIZE[1] - 1) / 2, y - (SIZE[0] - 1) / 2)


def goes_to_the_first(name):
    """Two equal peaks, the first on no object: what counts is where that one lies."""
    saliency = np.zeros(SIZE)
    saliency[0, 0] = saliency[7, 6] = 1.0
    reverse = {"peak_offset": {}, "pointing_recall": {"count": 1, "tolerance": 1}}.get(name, {})
    if name == "pointing_game":
        reverse = {"tolerance": 1}
    function = get_metric(name).function
    expected = localisation.peak_offset(saliency.tolist(), [tuple(BOX.box)]) if name == "peak_offset" else 0.0
    assert function(saliency[::-1, ::-1], [flipped(BOX)], **reverse) != expected  # there it is the other
    return function(saliency, [BOX], **reverse), expected


def flipped(annotation):
    x0, y0, x1, y1 = annotation.box
    return Annotation(Box(SIZE[1] - 1 - x1, SIZE[0] - 1 - y1, SIZE[1] - 1 - x0, SIZE[0] - 1 - y0))


def all_belong(name):
    """At a level on which many pixels tie, the replica counts them all."""
    saliency = np.array(MAPS["ties"])
    if name == "localisation_accuracy":
        expected = localisation.localisation_accuracy(saliency.tolist(), BOXES, 1.0, 0.1)
        return get_metric(name).function(saliency, OBJECTS, level=1.0, overlap=0.1), expected
    both = localisation.overlap(saliency.tolist(), MASK.tolist(), saliency.max())
    assert (saliency == saliency.max()).sum() > 100
    return get_metric(name).function(saliency, OBJECTS, level=1.0), both[name == "dice"]


def counts_one_half(name):
    if name == "auc_judd":
        fixations = (random_map(4) > 0.9).astype(float)
        ours = get_metric(name).function(MAPS["ties"], fixations)
        return ours, maps.auc_judd(MAPS["ties"].tolist(), fixations.tolist())
    return get_metric(name).function(MAPS["ties"], OBJECTS), localisation.auc(
        MAPS["ties"].tolist(), MASK.tolist()
    )


def is_the_mean_over_orders(name):
    count = int(MASK.sum()) if name == "relevance_rank_accuracy" else 77
    settings = {} if name == "relevance_rank_accuracy" else {"k": count}
    expected = localisation.share_of_top(MAPS["ties"].tolist(), MASK.tolist(), count)
    return get_metric(name).function(MAPS["ties"], OBJECTS, **settings), expected


def is_taken_together(name):
    """A find and a false positive of one score: the find costs the false positive, in either order."""
    hit, miss = [(Point(5, 6), 0.5)], [(Point(30, 0), 0.5)]
    values = [
        froc(found, [[BOX], [BOX]], levels=(level,))
        for found in ([hit, miss], [miss, hit])
        for level in (0.25, 0.5)
    ]
    assert name == "froc"
    assert values[:2] == values[2:]
    return values[1] - values[0], 0.5


def shares_its_rank(name):
    other = MAPS["noise"]
    return get_metric(name).function(MAPS["ties"], other), maps.spearman(
        MAPS["ties"].tolist(), other.tolist()
    )


def belongs_to_the_region(name):
    a, b = MAPS["ties"], MAPS["ties"][::-1]
    ours = get_metric(name).function(a, b, level=30 / a.size)
    return ours, maps.dice_of_level(a.tolist(), b.tolist(), 30)


def is_told_by_a_uniform_reference(name):
    replica = {"kl_divergence": maps.kl, "similarity": maps.similarity}[name]
    saliency, everywhere = MAPS["noise"], np.ones(SIZE)
    return get_metric(name).function(saliency, everywhere), replica(saliency.tolist(), everywhere.tolist())


def never_changes(name):
    zeros, level = (lambda images, v=v: torch.full((len(images), *SIZE), v) for v in (0.0, -0.3))
    assert math.isnan(get_metric(name).function(zeros, IMAGE))
    return get_metric(name).function(level, IMAGE), 0.0


def costs_the_same(name):
    """The seconds differ from run to run, so that of them only the sign is asked."""

    def cost(level):
        def explain(images):
            NETWORK(images)
            return torch.full((len(images), *SIZE), level)

        found = get_metric(name).function(NETWORK, explain, IMAGE)
        return float(found > 0) if name == "seconds" else found

    assert cost(math.nan) == cost(0.3)
    return cost(math.nan), {"seconds": 1.0, "forward_passes": 1.0, "backward_passes": 0.0}[name]


def is_left_out(name):
    function = get_metric(name).function
    assert math.isnan(function([[math.nan, math.inf], [0.5]]))
    return function([[0.75, math.nan], [0.25, math.inf]]), 0.5


TOLD = {
    "the uniform distribution is the reference": is_told_by_a_uniform_reference,
    "0, for it never changes; NaN for a map of zeros": never_changes,
    "costs what any other does": costs_the_same,
    "is no score and left out; NaN where an architecture has no other": is_left_out,
    "a random order": is_a_random_order,
    "in random order": is_a_random_order,
    "in random order: exactly the asked share is removed": is_a_random_order,
    "the objects' share of the image": is_the_share_of_the_objects,
    "the objects' share of the image; 0 for a map without positive values": is_the_share_or_nothing,
    "that of the uniform distribution; NaN for a map without positive values": (
        is_that_of_the_uniform_distribution
    ),
    "1; NaN for a map of zeros": is_as_told_and_nan_for_zeros,
    "0; NaN for a map of zeros": is_as_told_and_nan_for_zeros,
    "predicts the same for every square": predicts_one_value,
    "the region's share of the image": is_the_regions_share,
    "the distance to the image's centre": is_the_distance_to_the_centre,
    "first in row-major order": goes_to_the_first,
    "all on the threshold belong to the region": all_belong,
    "count one half": counts_one_half,
    "the mean over every order of the pixels that tie": is_the_mean_over_orders,
    "are taken together": is_taken_together,
    "2 r / (1 + r) of the region's share r of the image": is_the_regions_dice,
    "whether the box of the region is that share of the image": is_whether_the_box_is_large,
    "all on the threshold belong to the region; of parts of one size the first row by row": all_belong,
    "share their mean rank": shares_its_rank,
    "with the last of the region belong to it": belongs_to_the_region,
}
WORDS = [
    (info.name, case, told)
    for info in metrics()
    for case, told in info.cases.items()
    if isinstance(told, str) and info.name != "road_combined"  # half the difference of two of `road`
]


@pytest.mark.parametrize(("name", "case", "told"), WORDS, ids=[f"{n}-{c}" for n, c, _ in WORDS])
def test_what_is_declared_in_words_happens(name, case, told):
    ours, expected = TOLD[told](name)
    assert ours == pytest.approx(expected, rel=1e-5, abs=1e-9)
