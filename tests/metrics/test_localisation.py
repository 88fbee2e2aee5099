"""Localisation metrics against replicas, scikit-learn and closed forms."""

import math

import numpy as np
import pytest
from skimage.filters import threshold_otsu
from sklearn.metrics import jaccard_score, roc_auc_score
from tests.metrics.truths import BOX, ELLIPSE, MASK, OBJECTS, SIZE, random_map, spike
from tests.reference.metrics import localisation as replica

from xiqa.errors import MetricError
from xiqa.geometry import Box, Point
from xiqa.metrics.localisation.energy import energy_pointing_game, relevance_mass_accuracy
from xiqa.metrics.localisation.froc import Candidate, candidates, froc, froc_curve
from xiqa.metrics.localisation.hit_rate import hit_rate
from xiqa.metrics.localisation.overlap import dice, iou, localisation_accuracy
from xiqa.metrics.localisation.peak_offset import peak_offset
from xiqa.metrics.localisation.pixel_auc import pixel_auc
from xiqa.metrics.localisation.ranking import relevance_rank_accuracy, top_k_intersection
from xiqa.metrics.threshold import binarise, region_of, tune_level
from xiqa.metrics.truth import union_mask
from xiqa.types import Annotation

MAPS = [random_map(0), random_map(1, levels=5), random_map(2) - 0.7]


@pytest.mark.parametrize("saliency", MAPS, ids=["noise", "ties", "signed"])
@pytest.mark.parametrize("shape", ["exact", "box"])
class TestReplicas:
    def mask(self, shape):
        return union_mask(OBJECTS, SIZE, shape=shape)

    def test_energy(self, saliency, shape):
        expected = replica.energy_share(saliency, self.mask(shape))
        assert energy_pointing_game(saliency, OBJECTS, shape=shape) == pytest.approx(expected)
        assert relevance_mass_accuracy(saliency, OBJECTS, shape=shape) == pytest.approx(expected)

    def test_overlap(self, saliency, shape):
        expected = replica.overlap(saliency, self.mask(shape), 0.6 * saliency.max())
        assert iou(saliency, OBJECTS, level=0.6, shape=shape) == pytest.approx(expected[0])
        assert dice(saliency, OBJECTS, level=0.6, shape=shape) == pytest.approx(expected[1])
        flat = self.mask(shape).ravel(), binarise(saliency, "max", 0.6).ravel()
        assert expected[0] == pytest.approx(jaccard_score(*flat))

    def test_ranks(self, saliency, shape):
        mask = self.mask(shape)
        expected = replica.share_of_top(saliency, mask, int(mask.sum()))
        assert relevance_rank_accuracy(saliency, OBJECTS, shape=shape) == pytest.approx(expected)
        expected = replica.share_of_top(saliency, mask, 77)
        assert top_k_intersection(saliency, OBJECTS, k=77, shape=shape) == pytest.approx(expected)

    def test_auc(self, saliency, shape):
        ours = pixel_auc(saliency, OBJECTS, shape=shape)
        assert ours == pytest.approx(replica.auc(saliency, self.mask(shape)))
        assert ours == pytest.approx(roc_auc_score(self.mask(shape).ravel(), saliency.ravel()))


def test_a_perfect_map_is_perfect():
    saliency = union_mask(OBJECTS, SIZE).astype(float)
    for metric in (relevance_mass_accuracy, iou, dice, relevance_rank_accuracy, pixel_auc, hit_rate):
        assert metric(saliency, OBJECTS) == 1.0
    assert energy_pointing_game(saliency, OBJECTS) == 1.0
    assert localisation_accuracy(union_mask([ELLIPSE], SIZE).astype(float), [BOX, ELLIPSE]) == 1.0


def test_dice_and_iou_say_the_same():
    for saliency in MAPS:
        j = iou(saliency, OBJECTS)
        assert dice(saliency, OBJECTS) == pytest.approx(2 * j / (1 + j))


class TestThresholds:
    saliency = np.array([[-2.0, 0.0, 2.0, 3.0, 8.0]])

    @pytest.mark.parametrize(
        ("threshold", "level", "expected"),
        [
            ("max", 0.25, [0, 0, 1, 1, 1]),
            ("range", 0.5, [0, 0, 0, 1, 1]),
            ("fixed", 2.5, [0, 0, 0, 1, 1]),
            ("top", 0.2, [0, 0, 0, 0, 1]),
            ("top", 0.6, [0, 0, 1, 1, 1]),
        ],
    )
    def test_levels(self, threshold, level, expected):
        assert binarise(self.saliency, threshold, level).astype(int).tolist() == [expected]

    def test_otsu(self):
        saliency = np.concatenate([np.zeros(90) + 0.1 * random_map(0, (90,)), np.ones(10)]).reshape(10, 10)
        assert binarise(saliency, "otsu").sum() == 10
        assert (binarise(MAPS[0], "otsu") == (MAPS[0] > threshold_otsu(MAPS[0]))).all()

    def test_nothing_is_above_a_fraction_of_a_negative_maximum(self):
        assert not binarise(self.saliency - 20, "max", 0.5).any()

    def test_pixels_that_tie_with_the_last_of_the_top_belong_to_it(self):
        assert binarise(np.array([[1.0, 1.0, 1.0, 0.0]]), "top", 0.25).sum() == 3

    def test_boxes_of_parts(self):
        mask = np.zeros((6, 8), bool)
        mask[0, 0] = mask[1, 1] = mask[2, 0] = True  # joined at corners: one part
        mask[4, 6] = True
        assert region_of(mask, "segment").sum() == 4
        assert region_of(mask, "box").sum() == 6
        assert region_of(mask, "boxes").sum() == 7

    def test_unknown_names(self):
        with pytest.raises(MetricError):
            binarise(self.saliency, "median")
        with pytest.raises(MetricError):
            region_of(np.ones((2, 2), bool), "hull")

    def test_a_tuned_level_is_the_best_on_the_images_it_saw(self):
        truth = [BOX]
        saliency = np.where(union_mask(truth, SIZE), 0.62, 0.58)
        level = tune_level(lambda at: [iou(saliency, truth, threshold="fixed", level=at)], (0.5, 0.6, 0.7))
        assert level == 0.6


def test_localisation_accuracy_is_about_the_best_box():
    saliency = np.zeros(SIZE)
    saliency[5:10, 4:12] = 1.0  # the box
    saliency[20, 30] = 0.9  # a second, smaller part
    assert localisation_accuracy(saliency, [MASK, BOX]) == 1.0
    assert localisation_accuracy(saliency, [MASK]) == 0.0
    saliency[5:10, 8:12] = 0.0  # half of it: IoU is exactly 0.5
    assert localisation_accuracy(saliency, [BOX]) == 1.0
    assert localisation_accuracy(saliency, [BOX], overlap=0.51) == 0.0


def test_ties_are_worth_their_expectation_wherever_they_lie():
    top_left, bottom_right = [Annotation(Box(0, 0, 3, 3))], [Annotation(Box(28, 20, 31, 23))]
    for saliency in (np.ones(SIZE), np.zeros(SIZE)):
        for truth in (top_left, bottom_right):
            assert relevance_rank_accuracy(saliency, truth) == pytest.approx(16 / (24 * 32))


def test_top_k_as_a_share_of_the_image():
    assert top_k_intersection(MAPS[0], OBJECTS, k=0.1) == top_k_intersection(MAPS[0], OBJECTS, k=77)
    with pytest.raises(MetricError):
        top_k_intersection(MAPS[0], OBJECTS, k=0)


def test_hit_rate_has_no_tolerance():
    assert hit_rate(spike(15, 2), [ELLIPSE]) == 0.0
    assert hit_rate(spike(15, 2), [ELLIPSE], shape="box") == 1.0
    assert hit_rate(spike(20, 6), [ELLIPSE]) == 1.0


def test_peak_offset_units():
    truth = [Annotation(Box(4, 4, 6, 6)), Annotation(Box(20, 20, 22, 22))]
    saliency = spike(8, 9)
    assert peak_offset(saliency, truth) == 5.0
    assert peak_offset(saliency, truth, unit="diagonal") == pytest.approx(5 / 40)  # 24 x 32
    assert peak_offset(saliency, truth, unit="object") == pytest.approx(5 / (math.hypot(3, 3) / 2))
    assert math.isnan(peak_offset(np.ones(SIZE), truth))
    with pytest.raises(MetricError):
        peak_offset(saliency, truth, unit="miles")


class TestFroc:
    def scene(self, seed, images=12):
        rng = np.random.default_rng(seed)
        boxes, found = [], []
        for _ in range(images):
            corners = rng.integers(0, 80, (rng.integers(0, 4), 2))
            boxes.append([(x, y, x + 15, y + 15) for x, y in corners])
            places = [(*rng.integers(0, 100, 2), rng.random()) for _ in range(rng.integers(0, 8))]
            places += [(x + 3, y + 3, rng.random()) for x, y, *_ in boxes[-1] if rng.random() < 0.5]
            found.append(places)
        return boxes, found

    @staticmethod
    def ours(boxes, found, **parameters):
        truths = [[Annotation(Box(*map(float, b))) for b in image] for image in boxes]
        places: list[list[Candidate]] = [[(Point(x, y), s) for x, y, s in image] for image in found]
        return froc(places, truths, **parameters)

    @pytest.mark.parametrize("seed", range(5))
    def test_equals_the_best_threshold(self, seed):
        boxes, found = self.scene(seed)
        levels = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
        expected = replica.froc(found, boxes, levels)
        assert 0 < expected < 1
        assert self.ours(boxes, found) == pytest.approx(expected)

    @pytest.mark.parametrize("seed", range(3))
    def test_a_draw_equals_the_set_with_its_images_repeated(self, seed):
        boxes, found = self.scene(seed)
        truths = [[Annotation(Box(*map(float, b))) for b in image] for image in boxes]
        places: list[list[Candidate]] = [[(Point(x, y), s) for x, y, s in image] for image in found]
        pick = np.random.default_rng(seed).integers(len(boxes), size=len(boxes))
        whole = froc([places[i] for i in pick], [truths[i] for i in pick])
        drawn = froc_curve(places, truths).drawn(np.bincount(pick, minlength=len(boxes)))
        assert drawn.mean_sensitivity() == pytest.approx(whole)

    def test_a_perfect_detector(self):
        boxes, _ = self.scene(1)
        found = [[(x0 + 1, y0 + 1, 0.9) for x0, y0, *_ in image] for image in boxes]
        assert self.ours(boxes, found) == 1.0
        # the challenge's script never reaches a false positive and gives nothing
        assert self.ours(boxes, found, profile="reference") == 0.0

    def test_the_scripts_way_of_reading_the_curve(self):
        boxes = [[(0, 0, 9, 9)], [(0, 0, 9, 9)]]
        found = [[(50, 50, 0.9), (5, 5, 0.8)], [(5, 5, 0.7), (60, 60, 0.6)]]
        # after 1, 1, 1, 2 false positives, 0, 1/2, 1, 1 of the objects are found; two images
        # levels 1/8, 1/4, 1/2 are each read at one candidate, then 1 at the last; then the last is repeated
        assert self.ours(boxes, found, profile="reference") == pytest.approx((0 + 0.5 + 1 + 1 * 4) / 7)
        assert self.ours(boxes, found) == pytest.approx((0 + 0 + 1 * 5) / 7)

    def test_a_second_point_in_an_object_is_neither_hit_nor_false(self):
        boxes = [[(0, 0, 9, 9), (40, 40, 49, 49)]]
        found = [[(1, 1, 0.9), (2, 2, 0.8), (44, 44, 0.7)]]
        assert self.ours(boxes, found, levels=(1 / 8,)) == 1.0

    def test_no_candidates_and_no_objects(self):
        assert self.ours([[(0, 0, 9, 9)]], [[]]) == 0.0
        assert math.isnan(self.ours([[], []], [[(1, 1, 0.9)], []]))
        with pytest.raises(MetricError):
            froc([[]], [[BOX], [BOX]])

    def test_candidates_are_as_sure_as_the_image_and_their_height(self):
        saliency = 5 * spike(3, 3) + 3 * spike(28, 20) + 1
        assert candidates(saliency, 0.8, separation=5) == [(Point(3, 3), 0.8), (Point(28, 20), 0.8 * 3 / 5)]
        assert candidates(np.ones(SIZE), 0.8) == []
