"""What the evidence map should show, and the losses against plain loops."""

import math

import numpy as np
import pytest
import torch

from xiqa.geometry import Box, Frame
from xiqa.training.losses import dense_loss, region_loss
from xiqa.training.targets import Truth, dense_target
from xiqa.types import Annotation

SIZE, CELLS = (64, 64), (8, 8)


def test_a_compact_box_is_filled_and_its_surroundings_are_left_open():
    dense = dense_target([Truth(Box(16, 24, 31, 39), compact=True)], SIZE, CELLS)
    expected = np.zeros(CELLS)
    expected[3:5, 2:4] = 1
    np.testing.assert_array_equal(dense.target, expected)
    assert dense.weight[3:5, 2:4].all()
    assert dense.weight[2:6, 1:5].sum() == 4  # only the box itself
    assert dense.weight.sum() == 64 - 16 + 4
    assert dense.regions[0].tolist() == [2, 3, 4, 5]


def test_a_coarse_box_is_open_but_one_place_in_it_is_asked_for():
    dense = dense_target([Truth(Box(0, 0, 63, 15), compact=False)], SIZE, CELLS)
    assert dense.target.sum() == 0
    assert dense.weight[:3].sum() == 0
    assert dense.regions[0].tolist() == [0, 0, 8, 2]


def test_an_object_smaller_than_a_cell_keeps_one_cell():
    dense = dense_target([Truth(Box(9, 9, 10, 10), compact=True)], SIZE, CELLS)
    assert dense.target.sum() == dense.target[1, 1] == 1


def test_a_compact_object_inside_a_coarse_one_is_still_filled():
    coarse, compact = Truth(Box(0, 0, 63, 63), False), Truth(Box(16, 16, 31, 31), True)
    for order in ([coarse, compact], [compact, coarse]):
        dense = dense_target(order, SIZE, CELLS)
        assert dense.weight.sum() == dense.target.sum() == 4


def test_objects_beyond_the_edge_are_cut_or_dropped():
    dense = dense_target([Truth(Box(-20, -20, -5, -5), True), Truth(Box(-8, 56, 7, 90), True)], SIZE, CELLS)
    assert dense.target.sum() == dense.target[7, 0] == 1
    assert (dense.regions[1:] == 0).all()


def test_places_outside_the_survey_weigh_less():
    dense = dense_target([], SIZE, CELLS, survey=(0.25, 0.25, 0.75, 0.75), unsurveyed=0.3)
    assert dense.weight[2:6, 2:6].min() == 1
    assert dense.weight.sum() == pytest.approx(16 + 48 * 0.3)


def test_only_small_boxes_of_compact_kinds_count_as_compact():
    frame = Frame.resize((100, 100), (50, 50))
    small, large = Box(0, 0, 9, 9), Box(0, 0, 30, 9)
    assert Truth.of(Annotation(small, groups=("compact",)), frame).compact
    assert not Truth.of(Annotation(large, groups=("compact",)), frame).compact
    assert not Truth.of(Annotation(small, groups=("removable",)), frame).compact


@pytest.mark.parametrize("focus", [0.0, 2.0])
def test_the_dense_loss_is_its_formula_place_by_place(focus):
    generator = torch.Generator().manual_seed(0)
    evidence = torch.randn(2, 3, 4, generator=generator) * 3
    target = (torch.rand(2, 3, 4, generator=generator) < 0.3).float()
    weight = torch.rand(2, 3, 4, generator=generator)
    total, positives = 0.0, 0.0
    for e, t, w in zip(evidence.flatten(), target.flatten(), weight.flatten(), strict=True):
        p = 1 / (1 + math.exp(-e))
        p = p if t == 1 else 1 - p
        total += w.item() * (1 - p) ** focus * -math.log(p)
        positives += (t * w).item()
    assert dense_loss(evidence, target, weight, focus).item() == pytest.approx(
        total / max(1, positives), rel=1e-4
    )


def test_the_region_loss_is_its_formula_box_by_box():
    evidence = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1))
    boxes = [[(0, 0, 2, 2), (3, 1, 6, 5)], [(1, 1, 2, 2), (0, 0, 0, 0)]]
    losses = []
    for image, rows in zip(evidence, boxes, strict=True):
        for x0, y0, x1, y1 in rows:
            if x1 > x0:
                strongest = max(image[y, x].item() for y in range(y0, y1) for x in range(x0, x1))
                losses.append(math.log(1 + math.exp(-strongest)))
    assert region_loss(evidence, torch.tensor(boxes)).item() == pytest.approx(
        sum(losses) / len(losses), rel=1e-5
    )


def test_without_boxes_the_region_loss_is_zero_and_can_be_derived():
    evidence = torch.randn(1, 2, 2, requires_grad=True)
    loss = region_loss(evidence, torch.zeros(1, 3, 4, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert evidence.grad.abs().sum() == 0
