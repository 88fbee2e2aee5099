"""The guard: its distance in closed form, what it catches, and that its tap leaves no trace."""

import pytest
import torch

from xiqa.errors import ModelError
from xiqa.models.guard import Guard, fit_guard, out_of_fold_distances, pooled


def images(count=400, features=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(features, features, generator=generator)
    return torch.randn(count, features, generator=generator) @ mixing + 5


def test_with_all_axes_the_distance_is_mahalanobis():
    points = images()
    guard = fit_guard(points, (), torch.inf, axes=99)
    centred = (points - points.mean(0)).double()
    covariance = centred.T @ centred / (len(points) - 1)
    exact = (centred @ torch.linalg.inv(covariance) * centred).sum(1).sqrt()
    # two directions share their mean variance: the rest differs little, the ranks hardly
    assert torch.corrcoef(torch.stack((exact, guard.distances(points).double())))[0, 1] > 0.9


def test_the_distance_in_closed_form():
    guard = Guard(
        layers=(),
        centre=torch.tensor([[0.0, 0.0, 0.0], [90.0, 0.0, 0.0]]),
        spread=torch.tensor([1.0, 2.0, 1.0]),
        axes=torch.tensor([[1.0, 0.0, 0.0]]),
        variances=torch.tensor([4.0]),
        rest=0.25,
        threshold=1.0,
    )
    # (2^2) / 4 along the axis; (4/2)^2 + 1 beside it, over 0.25
    assert guard.distances(torch.tensor([[2.0, 4.0, 1.0]])).item() == pytest.approx((1 + 5 / 0.25) ** 0.5)


def test_two_sources_have_a_centre_each_and_nothing_between_them_passes():
    one, two = images(features=8), images(features=8) + 400
    both, names = torch.cat((one, two)), ["a"] * 400 + ["b"] * 400
    guard = fit_guard(both, (), torch.inf, sources=names, axes=4)
    near = guard.distances(both).max()
    between = guard.distances((one + two) / 2)
    assert (between > near).all()
    single = fit_guard(both, (), torch.inf, axes=4)
    assert (single.distances((one + two) / 2) < single.distances(both).max()).all()


def test_what_lies_elsewhere_is_farther_than_nearly_all_that_was_seen():
    seen, unseen, other = images(), images(seed=0)[:50] * 1.0, images(seed=7) + 12
    guard = fit_guard(seen, (), torch.inf, axes=3)
    limit = torch.quantile(guard.distances(seen), 0.99)
    assert (guard.distances(unseen) < limit).float().mean() > 0.95
    assert (guard.distances(other) > limit).float().mean() > 0.95


def test_numbers_that_are_not_finite_are_infinitely_far():
    guard = fit_guard(images(), (), 1.0)
    features = images()[:2]
    features[0, 0] = torch.nan
    features[1, 0] = torch.inf
    assert guard.distances(features).isinf().all()


def test_a_constant_feature_does_no_harm_until_it_changes():
    points = torch.cat((images(), torch.full((400, 1), 3.0)), dim=1)
    guard = fit_guard(points, (), 1.0, axes=3)
    changed = points[:1].clone()
    changed[0, -1] += 1
    assert guard.distances(points).isfinite().all()
    assert guard.distances(changed) > guard.distances(points).max()


def test_out_of_fold_distances_are_larger_and_never_see_the_patient():
    points = images(count=60, features=30)
    patients = [str(index // 3) for index in range(60)]
    held = out_of_fold_distances(points, patients, axes=10)
    assert held.mean() > fit_guard(points, (), 1.0, axes=10).distances(points).mean()
    strange = points.clone()
    strange[:3] += 100  # all images of one patient: a guard that had seen them would find them near
    assert (out_of_fold_distances(strange, patients, axes=10)[:3] > 10 * held.max()).all()


def test_a_guard_comes_back_from_its_tensors():
    points = images()
    guard = fit_guard(points, ("a", "b"), 7.0)
    again = Guard.from_tensors(guard.layers, guard.to_tensors())
    assert again.threshold == 7.0
    torch.testing.assert_close(again.distances(points), guard.distances(points))
    with pytest.raises(ModelError, match="incomplete"):
        Guard.from_tensors((), {"centre": points[0]})


def test_two_images_make_no_guard():
    with pytest.raises(ModelError, match="three images"):
        fit_guard(images(count=2), (), 1.0)


def test_features_are_mean_and_deviation_of_every_channel():
    grid = torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    mean, deviation = grid.mean((2, 3)), grid.std((2, 3), correction=0)
    torch.testing.assert_close(pooled(grid), torch.cat((mean, deviation), dim=1))
    assert float((mean - deviation).abs().min()) > 0.01  # neither can stand for the other


def test_features_are_joined_in_the_order_of_the_guards_layers():
    guard = fit_guard(images(count=6), ("b", "a"), 1.0)
    joined = guard.join({"a": torch.full((2, 1), 1.0), "b": torch.full((2, 2), 2.0)})
    assert joined.tolist() == [[2.0, 2.0, 1.0]] * 2
