"""Agreement and complexity of maps against loops, SciPy and closed forms."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from tests.metrics.truths import random_map
from tests.reference.metrics import maps as replica

from xiqa.errors import MetricError
from xiqa.metrics.agreement.compare import agreement
from xiqa.metrics.agreement.correlation import pearson, spearman
from xiqa.metrics.agreement.distributions import kl_divergence, similarity
from xiqa.metrics.agreement.fixations import auc_judd, nss
from xiqa.metrics.agreement.structure import l1_similarity, map_dice, ssim
from xiqa.metrics.complexity import effective_complexity, entropy, gini

SIZE = (14, 17)
PAIRS = {
    "noise": (random_map(1, SIZE), random_map(2, SIZE)),
    "ties": (random_map(3, SIZE, levels=4), random_map(4, SIZE, levels=3)),
    "signed": (random_map(5, SIZE) - 0.5, random_map(5, SIZE) + random_map(6, SIZE) - 0.8),
}
CONSTANT = np.full(SIZE, 2.0)
AGREEMENTS = [pearson, spearman, similarity, l1_similarity, kl_divergence, map_dice, ssim, auc_judd, nss]


@pytest.mark.parametrize("name", PAIRS)
class TestReplicas:
    def test_correlations(self, name):
        a, b = PAIRS[name]
        assert pearson(a, b) == pytest.approx(replica.pearson(a, b))
        assert spearman(a, b) == pytest.approx(replica.spearman(a, b))
        assert pearson(a, b) == pytest.approx(stats.pearsonr(a.ravel(), b.ravel()).statistic)
        assert spearman(a, b) == pytest.approx(stats.spearmanr(a.ravel(), b.ravel()).statistic)

    def test_distributions(self, name):
        a, b = PAIRS[name]
        assert similarity(a, b) == pytest.approx(replica.similarity(a, b))
        assert kl_divergence(a, b) == pytest.approx(replica.kl(a, b))

    def test_l1_similarity(self, name):
        a, b = PAIRS[name]
        assert l1_similarity(a, b) == pytest.approx(replica.l1_similarity(a, b))
        assert l1_similarity(a, b) < 0.95

    def test_ssim(self, name):
        a, b = PAIRS[name]
        assert ssim(a, b) == pytest.approx(replica.ssim(a, b), abs=1e-9)

    def test_fixations(self, name):
        a, b = PAIRS[name]
        fixations = np.where(b >= np.quantile(b, 0.9), np.round(3 * np.abs(b)) + 1, 0)
        assert auc_judd(a, fixations) == pytest.approx(replica.auc_judd(a, fixations))
        assert nss(a, fixations) == pytest.approx(replica.nss(a, fixations))

    def test_complexity(self, name):
        for saliency in PAIRS[name]:
            assert gini(saliency) == pytest.approx(replica.gini(saliency))
            assert entropy(saliency, normalised=False) == pytest.approx(replica.entropy(saliency))
            assert entropy(saliency) == pytest.approx(replica.entropy(saliency) / math.log(saliency.size))


def test_dice_of_the_highest_regions():
    a, b = PAIRS["noise"]
    for count in (10, 24, 100):
        ours = map_dice(a, b, level=count / a.size)
        assert ours == pytest.approx(replica.dice_of_top(a, b, count))


def test_similarity_is_one_less_half_the_distance_of_distributions():
    a, b = PAIRS["ties"]
    p, q = a / a.sum(), b / b.sum()
    assert similarity(a, b) == pytest.approx(1 - np.abs(p - q).sum() / 2)
    assert l1_similarity(a, a.max() - a) == pytest.approx(1 - np.abs(2 * a / a.max() - 1).mean())


@pytest.mark.parametrize("name", PAIRS)
def test_a_map_agrees_with_itself(name):
    a, _ = PAIRS[name]
    for metric in (pearson, spearman, similarity, l1_similarity, map_dice, ssim):
        assert metric(a, a) == pytest.approx(1.0), metric.__name__
    assert kl_divergence(a, a) == pytest.approx(0.0, abs=1e-12)


def test_scale_does_not_matter_where_it_should_not():
    a, b = PAIRS["noise"]
    for metric in (pearson, spearman, similarity, l1_similarity, map_dice, ssim):
        assert metric(1e-12 * a, 1e9 * b) == pytest.approx(metric(a, b)), metric.__name__
    for metric in (gini, entropy, effective_complexity):
        assert metric(1e-200 * a) == pytest.approx(metric(a)), metric.__name__


def test_kl_is_not_symmetric_and_similarity_is():
    a, b = PAIRS["noise"]
    assert kl_divergence(a, b) != pytest.approx(kl_divergence(b, a), rel=1e-3)
    assert similarity(a, b) == similarity(b, a)


def test_kl_of_a_place_that_the_map_misses():
    saliency, reference = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])
    expected = 0.5 * math.log(0.5) + 0.5 * math.log(0.5 * 2**52)
    assert kl_divergence(saliency, reference) == pytest.approx(expected)


def test_judd_reads_the_same_area_as_all_levels_when_every_level_is_a_fixations():
    a, _ = PAIRS["ties"]
    fixations = np.zeros(SIZE)
    fixations.ravel()[[np.flatnonzero(a.ravel() == v)[0] for v in np.unique(a)]] = 1
    assert auc_judd(a, fixations) == pytest.approx(roc_auc_score(fixations.ravel(), a.ravel()))


def test_fixations_at_the_peak_are_perfect_and_elsewhere_are_not():
    a, _ = PAIRS["noise"]
    peak = (a == a.max()).astype(int)
    assert auc_judd(a, peak) == 1.0
    assert nss(a, peak) == pytest.approx((a.max() - a.mean()) / a.std())
    # read at one level only, the curve runs straight from (0, 0) to it: never below one half
    assert auc_judd(-a, peak) == pytest.approx(0.5)


def test_no_fixations_or_fixations_everywhere():
    a, _ = PAIRS["noise"]
    assert math.isnan(auc_judd(a, np.zeros(SIZE)))
    assert math.isnan(nss(a, np.zeros(SIZE)))
    assert math.isnan(auc_judd(a, np.ones(SIZE)))
    assert nss(a, np.ones(SIZE)) == pytest.approx(0.0, abs=1e-12)


def test_complexity_at_its_ends():
    one = np.zeros(SIZE)
    one[3, 4] = -5.0
    count = one.size
    assert gini(one) == pytest.approx(1 - 1 / count)
    assert entropy(one) == 0.0
    assert effective_complexity(one) == 1 / count
    assert gini(CONSTANT) == pytest.approx(0.0, abs=1e-12)
    assert entropy(CONSTANT) == pytest.approx(1.0)
    assert effective_complexity(CONSTANT) == 1.0
    for metric in (gini, entropy, effective_complexity):
        assert math.isnan(metric(np.zeros(SIZE)))


@pytest.mark.parametrize("metric", AGREEMENTS)
def test_maps_on_different_grids_are_an_error(metric):
    with pytest.raises(MetricError, match="different grids"):
        metric(CONSTANT, CONSTANT[:-1])


def test_ssim_needs_its_window():
    with pytest.raises(MetricError, match="SSIM"):
        ssim(random_map(0, (10, 30)), random_map(1, (10, 30)))


def test_agreement_by_name():
    a, b = PAIRS["noise"]
    assert agreement("ssim", a, b) == ssim(a, b)
    with pytest.raises(MetricError, match="does not compare"):
        agreement("gini", a, b)
    with pytest.raises(MetricError, match="no metric"):
        agreement("cosine", a, b)
