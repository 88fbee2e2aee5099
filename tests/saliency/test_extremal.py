"""Extremal masks: loops, closed forms, and a classifier that looks at a known disc alone."""

import numpy as np
import pytest
import torch
from tests.reference import extremal as reference
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.saliency.engine import attribute
from xiqa.saliency.masking.extremal import SmoothMask, area_price, extremal_masks, masked_scores

SIZE = (40, 48)


def disc(radius=9.0, centre=(24.0, 18.0)):
    rows, columns = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) for side in SIZE), indexing="ij")
    return ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2).double()


class LooksAtADisc(nn.Module):
    """Two logits: the mean brightness of a disc, and its negative; the rest of the image does not matter."""

    def __init__(self, where):
        super().__init__()
        self.register_buffer("where", where / where.sum())

    def forward(self, images):
        z = 3 * (images.mean(dim=1) * self.where).sum(dim=(1, 2))
        return torch.stack([-z, z], dim=1)


IMAGE = torch.ones(1, *SIZE, dtype=torch.float64)
HIDDEN = torch.zeros_like(IMAGE)


def score(copies):
    return LooksAtADisc(disc())(copies)[:, 1]


class TestMasks:
    @pytest.mark.parametrize(("size", "cells"), [((30, 30), 5), ((20, 50), 8), ((3, 2), 4)])
    def test_agree_with_the_loop(self, size, cells):
        mask = SmoothMask(size, cells, 1.3)
        numbers = torch.rand(2, *mask.grid, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        for one, found in zip(numbers, mask(numbers), strict=True):
            expected = reference.smooth_mask(one.tolist(), mask.shape, 1.3)
            np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_one_number_is_a_disc_of_the_kernels_width(self):
        mask = SmoothMask((28, 28), 28, 2.0)
        numbers = torch.zeros(1, 28, 28, dtype=torch.float64)
        numbers[0, 14, 14] = 1
        found = mask(numbers)[0]
        half = 2.0 * (0.5 + np.sqrt(np.log(2) / 2))  # where the kernel is 1/2, in cells
        covered = float((found > 0.5).sum()) / 4
        assert covered == pytest.approx(np.pi * half**2, rel=0.1)
        assert found.max() == pytest.approx(1, abs=1e-6)

    def test_ones_are_ones_and_zeros_zeros(self):
        mask = SmoothMask((10, 14), 7, 2.0)
        assert mask(torch.zeros(1, *mask.grid)).max() == 0
        assert mask(torch.ones(1, *mask.grid)).min() > 0.9

    @pytest.mark.parametrize("area", [0.1, 0.33, 0.9])
    def test_an_areas_price_agrees_with_the_loop(self, area):
        mask = torch.rand(1, 6, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        found = area_price(mask, torch.tensor([area]))
        assert float(found) == pytest.approx(reference.area_price(mask[0].tolist(), area), abs=1e-12)

    def test_a_mask_of_the_area_has_no_price(self):
        mask = torch.zeros(1, 10, 10)
        mask[0, 3:5, :5] = 1
        assert float(area_price(mask, torch.tensor([0.1]))) == 0
        assert float(area_price(mask, torch.tensor([0.3]))) == pytest.approx(0.2)


class TestKnownDisc:
    """The classifier looks at a disc of 13 % of the image."""

    def masks(self, areas, **options):
        settings = {"iterations": 120, "cells": 16, "smooth": 1.5} | options
        with torch.enable_grad():
            return extremal_masks(score, IMAGE, HIDDEN, areas, **settings)

    def large(self, mask):
        return nn.functional.interpolate(mask[None, None], SIZE, mode="bilinear", align_corners=False)[0, 0]

    @pytest.mark.parametrize("game", ["preserve", "delete", "dual"])
    def test_the_mask_of_its_area_covers_it(self, game):
        where, area = disc(), float(disc().mean())
        (mask,) = self.masks([area], game=game)
        found = self.large(mask)
        assert float(found.mean()) == pytest.approx(area, rel=0.25)
        seen = (found > 0.5).double()
        assert float((seen * where).sum() / where.sum()) > 0.9
        assert float((seen * where).sum() / (seen + where).clamp(max=1).sum()) > 0.8
        assert float((found * (1 - where)).mean()) < 0.06

    def test_the_score_grows_with_the_area_until_all_is_seen(self):
        areas = (0.03, 0.07, 0.15, 0.3)
        masks = self.masks(areas)
        scores = masked_scores(score, IMAGE, HIDDEN, masks).tolist()
        assert scores == sorted(scores)
        assert scores[0] < 1.5
        assert scores[-1] > 2.9
        for mask, area in zip(masks, areas, strict=True):
            assert float(mask.mean()) == pytest.approx(area, rel=0.3)

    def test_areas_together_are_areas_alone(self):
        together = self.masks([0.1, 0.2], iterations=20)
        torch.testing.assert_close(self.masks([0.2], iterations=20)[0], together[1])

    def test_a_score_that_sees_nothing_points_nowhere(self):
        with torch.enable_grad():
            blind = extremal_masks(
                lambda copies: copies.sum(dim=(1, 2, 3)) * 0, IMAGE, HIDDEN, [0.1], iterations=30, cells=8
            )
        assert float(blind.max() - blind.min()) < 0.2  # the rim alone, where a soft maximum sees fewer cells
        with torch.enable_grad():
            seen = extremal_masks(score, IMAGE, HIDDEN, [0.1], iterations=30, cells=8)
        assert float(seen.max() - seen.min()) > 0.5


class TestMethod:
    def test_through_the_registry(self):
        network = LooksAtADisc(disc())
        text = "extremal:areas=0.1+0.15,iterations=100,cells=16,smooth=1.5,baseline=0"
        (found,) = attribute(network, IMAGE[None], text, target=1).values()
        assert found.shape == (1, 26, 32)
        where = nn.functional.interpolate(disc()[None, None], (26, 32), mode="area")[0, 0] > 0.5
        assert float(found[0][where].mean()) > 0.65
        assert float(found[0][~where].mean()) < 0.2

    @pytest.mark.parametrize(
        ("wrong", "problem"),
        [
            ("extremal:game=chess", "unknown game"),
            ("extremal:areas=1.5", "no such areas"),
            ("extremal:areas=0.1+0", "no such areas"),
            ("extremal:cells=1", "no such mask"),
            ("extremal:smooth=0", "no such mask"),
            ("extremal:output=loudness", "unknown score"),
        ],
    )
    def test_wrong_parameters(self, wrong, problem):
        with pytest.raises(SaliencyError, match=problem):
            attribute(LooksAtADisc(disc()), IMAGE[None], wrong, target=1)
