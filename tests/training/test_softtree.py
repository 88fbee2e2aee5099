"""Soft trees: loops, closed forms, distilling a known classifier, going on after a kill."""

import numpy as np
import pytest
import torch

from tests.reference import softtree as reference
from tests.training.softtrees import draw, random_tree, recipe
from xiqa.errors import ConfigError, ModelError
from xiqa.models.explainers.softtree import SoftTree
from xiqa.training.softtree.distil import Seen, fidelity, fit_tree
from xiqa.training.softtree.loss import Shares, tree_loss, turn_penalty


class TestTree:
    @pytest.mark.parametrize("depth", [1, 2, 4])
    def test_runs_as_the_loop_does(self, depth):
        tree, inputs = random_tree(depth), draw(3)
        found = tree.turns(inputs)
        for place, one in enumerate(inputs.tolist()):
            expected = reference.turns(
                one, tree.split.weight.tolist(), tree.split.bias.tolist(), tree.sharpness, depth
            )
            for name, values in zip(("right", "reached", "leaves"), expected, strict=True):
                np.testing.assert_allclose(getattr(found, name)[place].detach(), values, rtol=1e-9)

    def test_every_input_arrives_somewhere(self):
        leaves = random_tree(5).turns(draw(20)).leaves
        torch.testing.assert_close(leaves.sum(dim=1), torch.ones(20, dtype=torch.float64))

    def test_of_depth_one_is_a_mixture_by_logistic_regression(self):
        tree, inputs = random_tree(1, classes=2), draw(7)
        right = torch.sigmoid(1.5 * (inputs @ tree.split.weight[0] + tree.split.bias[0]))[:, None]
        left_leaf, right_leaf = tree.leaf.softmax(dim=1)
        torch.testing.assert_close(tree(inputs), (1 - right) * left_leaf + right * right_leaf)
        with torch.no_grad():
            tree.leaf.copy_(torch.tensor([[50.0, -50.0], [-50.0, 50.0]]))
        torch.testing.assert_close(tree(inputs)[:, 1], right[:, 0].detach(), check_dtype=False)

    def test_the_way_leads_to_the_likeliest_leaf(self):
        tree = random_tree(3)
        for one in draw(10):
            turns = tree.turns(one[None])
            probability = 1.0
            for node, goes_right in tree.way(one[None]):
                right = float(turns.right[0, node])
                probability *= right if goes_right else 1 - right
            assert probability == pytest.approx(float(turns.leaves.max()))

    def test_what_is_at_stake_is_the_loops_and_the_gradient_at_the_turns(self):
        tree, inputs = random_tree(3), draw(2)
        stakes, turns = tree.stakes(inputs).detach(), tree.turns(inputs)
        distributions = tree.leaf.softmax(dim=1).tolist()
        for place in range(2):
            right, reached = turns.right[place].tolist(), turns.reached[place].tolist()
            for node in range(7):
                expected = [reference.stake(node, right, reached, distributions, c) for c in range(3)]
                np.testing.assert_allclose(stakes[place, node], expected, atol=1e-12)
        # the slope of a turn's sigmoid is all that the gradient at its argument adds
        slope = tree.sharpness * turns.right * (1 - turns.right)
        (gradient,) = torch.autograd.grad(tree(inputs)[:, 1].sum(), tree.split.bias)
        torch.testing.assert_close((slope * stakes[:, :, 1]).sum(dim=0), gradient)
        torch.testing.assert_close(stakes.sum(dim=2), torch.zeros_like(stakes[:, :, 0]))

    @pytest.mark.parametrize("wrong", [{"depth": 0}, {"depth": 9}, {"classes": 1}, {"sharpness": 0}])
    def test_a_tree_that_cannot_be(self, wrong):
        with pytest.raises(ModelError, match="no such tree"):
            SoftTree(**{"depth": 2, "inputs": 3, **wrong})


class TestLoss:
    def test_agrees_with_the_loop(self):
        tree, inputs = random_tree(), draw(4)
        targets = torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
        targets = targets / targets.sum(dim=1, keepdim=True)
        turns = tree.turns(inputs)
        found = tree_loss(turns, tree.log_distributions(), targets)
        distributions = tree.leaf.softmax(dim=1).tolist()
        for place in range(4):
            expected = reference.loss(turns.leaves[place].tolist(), distributions, targets[place].tolist())
            assert float(found[place]) == pytest.approx(expected)

    def test_shares_and_penalty_agree_with_the_loop(self):
        tree, batches = random_tree(), [draw(5, seed=seed) for seed in range(4)]
        shares = Shares(tree.levels)
        for batch in batches:
            found = shares(tree.turns(batch))
        for node in range(7):
            told = []
            for batch in batches:
                turns = tree.turns(batch)
                told.append(
                    list(zip(turns.reached[:, node].tolist(), turns.right[:, node].tolist(), strict=True))
                )
            assert float(found[node]) == pytest.approx(reference.shares(told, int(tree.levels[node])))
        expected = reference.penalty(found.tolist(), 3)
        assert float(turn_penalty(found, tree.levels)) == pytest.approx(expected)

    def test_even_turns_cost_least(self):
        levels = torch.tensor([0, 1, 1])
        even = turn_penalty(torch.full((3,), 0.5), levels)
        assert float(even) == pytest.approx(2 * np.log(2))
        assert float(turn_penalty(torch.tensor([0.5, 0.5, 0.4]), levels)) > float(even)
        assert turn_penalty(torch.tensor([0.0, 1.0, 0.5]), levels).isfinite()


def logistic(count=160, seed=0):
    """Images whose classifier is a logistic regression on the first two of five numbers."""
    inputs = torch.randn(count, 5, generator=torch.Generator().manual_seed(seed)) * 3 + 1
    return Seen(inputs, torch.sigmoid(2 * (inputs[:, 0] - 1) - 2 * (inputs[:, 1] - 1)))


def xor(count=300, seed=0):
    """Images that no single filter can tell apart."""
    inputs = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))
    return Seen(inputs, (inputs[:, 0] * inputs[:, 1] > 0).float() * 0.96 + 0.02)


class TestFit:
    def test_depth_one_learns_a_logistic_classifier(self, tmp_path):
        tree = SoftTree(1, 5)
        fit_tree(tree, logistic(), recipe(depth=1, epochs=60, learning_rate=0.05), tmp_path)
        assert fidelity(tree, logistic(200, seed=9), 0.5).agreement.value > 0.94
        weight = tree.filters()[0]
        assert weight[:2].abs().min() > 4 * weight[2:].abs().max()

    def test_depth_two_learns_what_depth_one_cannot(self, tmp_path):
        held_out, found = xor(seed=9), {}
        for depth in (1, 2):
            tree = SoftTree(depth, 2)
            plan = recipe(depth=depth, epochs=50, learning_rate=0.1, seed=1)
            fit_tree(tree, xor(), plan, tmp_path / str(depth))
            found[depth] = fidelity(tree, held_out, 0.5).agreement.value
        assert found[1] < 0.75
        assert found[2] > 0.85

    def test_goes_on_as_if_it_had_not_been_interrupted(self, tmp_path):
        whole, cut, again = (SoftTree(2, 5) for _ in range(3))
        fit_tree(whole, logistic(), recipe(depth=2, epochs=40), tmp_path / "whole")
        fit_tree(cut, logistic(), recipe(depth=2, epochs=20), tmp_path / "cut")
        fit_tree(again, logistic(), recipe(depth=2, epochs=40), tmp_path / "cut", resume=True)
        for name, value in whole.state_dict().items():
            assert torch.equal(value, again.state_dict()[name]), name
        assert not torch.equal(cut.leaf, again.leaf)
        with pytest.raises(ConfigError, match="another recipe"):
            fit_tree(again, logistic(seed=5), recipe(depth=2, epochs=40), tmp_path / "cut", resume=True)

    def test_a_seed_decides(self, tmp_path):
        trees = [SoftTree(2, 5) for _ in range(3)]
        for tree, seed in zip(trees, (0, 0, 1), strict=True):
            fit_tree(tree, logistic(), recipe(depth=2, epochs=3, seed=seed), tmp_path)
        assert torch.equal(trees[0].leaf, trees[1].leaf)
        assert not torch.equal(trees[0].leaf, trees[2].leaf)

    def test_the_penalty_keeps_nodes_sending_both_ways(self, tmp_path):
        held = {}
        for penalty in (0.0, 1.0):
            tree = SoftTree(2, 5)
            seen = Seen(logistic().inputs, torch.full((160,), 0.9))  # a constant: no reason to send anywhere
            fit_tree(tree, seen, recipe(depth=2, epochs=30, penalty=penalty, learning_rate=0.05), tmp_path)
            turns = tree.requires_grad_(False).turns(seen.inputs)
            shares = (turns.reached * turns.right).sum(dim=0) / turns.reached.sum(dim=0)
            held[penalty] = float((shares - 0.5).abs().max())
        assert held[1.0] <= held[0.0] + 1e-3
        assert held[1.0] < 0.05


class TestFidelity:
    def tree(self):
        """Says poor where the one input is positive, 0.9 or 0.1."""
        tree = SoftTree(1, 1)
        with torch.no_grad():
            tree.split.weight.fill_(5)
            tree.leaf.copy_(torch.tensor([[0.9, 0.1], [0.1, 0.9]]).log())
        return tree

    def test_by_hand(self):
        inputs = torch.tensor([[1.0], [1], [1], [-1], [-1]])
        seen = Seen(inputs, torch.tensor([0.9, 0.9, 0.4, 0.1, 0.6]))
        found = fidelity(self.tree(), seen, 0.5)
        assert found.agreement.value == pytest.approx(3 / 5)
        assert found.majority == pytest.approx(3 / 5)
        assert found.balanced.value == pytest.approx((2 / 3 + 1 / 2) / 2)
        assert found.distance.value == pytest.approx((0.5 + 0.5) / 5, abs=1e-6)
        assert found.agreement.low < found.agreement.value < found.agreement.high
        assert len(found.lines()) == 3

    def test_images_of_one_patient_count_as_one_draw(self):
        inputs = torch.tensor([[1.0], [-1]]).repeat(20, 1)
        seen = Seen(inputs, torch.tensor([0.9, 0.9, 0.1, 0.1]).repeat(10))
        alone = fidelity(self.tree(), seen, 0.5).agreement
        pairs = fidelity(self.tree(), seen, 0.5, [str(k // 2) for k in range(40)]).agreement
        assert alone.value == pairs.value == 0.5  # each pair: one right, one wrong, so all patients are alike
        assert pairs.low is pairs.high is None
        assert alone.low < 0.4 < 0.6 < alone.high

    def test_a_classifier_that_calls_all_images_one(self):
        seen = Seen(torch.ones(4, 1), torch.full((4,), 0.8))
        found = fidelity(self.tree(), seen, 0.5)
        assert found.balanced is None
        assert found.majority == 1
        assert len(found.lines()) == 2
