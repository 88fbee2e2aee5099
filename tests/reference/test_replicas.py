"""Every registered method and metric has a slow replica, or a test that knows its value in another way."""

import ast
from pathlib import Path

from tests.reference.replicas import replicas

from xiqa.metrics.registry import metrics
from xiqa.saliency.registry import methods

TESTS = Path(__file__).resolve().parents[1]

#: What has no replica: the tests that compare it with a closed form, a formula or another library.
OTHERWISE = {
    "cam": "saliency/test_cam_witnesses.py::test_cam_agrees_with_torchcam",
    "deconvnet": "saliency/relevance/test_guided.py::test_the_rule_is_the_documented_one",
    "guidedbackprop": "saliency/relevance/test_guided.py::test_the_rule_is_the_documented_one",
    "guidedgradcam": "saliency/test_cam_witnesses.py::test_guided_gradcam_agrees_with_captum",
    "smoothgradcampp": "saliency/test_layer_maps.py::test_smooth_gradcampp_averages_the_powers",
    "integratedgradcam": (
        "saliency/test_layer_maps.py::test_integrated_gradcam_has_its_closed_form_on_a_linear_network"
    ),
    "iscam": "saliency/test_probe_methods.py::test_sscam_and_iscam_agree_with_the_formula",
    "sscam": "saliency/test_probe_methods.py::test_sscam_and_iscam_agree_with_the_formula",
    "meaningfulperturbation": "saliency/test_perturbation.py::test_the_price_of_a_mask",
    "metasaliency": "saliency/test_layer_maps.py::test_metasaliency_takes_the_step_that_sgd_takes",
    "smoothed": "saliency/test_wrappers.py::test_is_a_gaussian_blur_at_the_images_size",
    "evet": "saliency/test_wrappers.py::test_averages_maps_that_are_put_back",
    "sess": "saliency/test_wrappers.py::test_agrees_with_the_loop",
    "max_sensitivity": "metrics/test_robustness.py::test_equals_the_replica",
    "local_lipschitz": "metrics/test_robustness.py::test_equals_the_replica",
    "attack_stability": "metrics/test_robustness.py::test_stability_compares_the_maps_before_and_after",
    "difference_of_means": (
        "metrics/test_consistency_and_cost.py::test_equals_the_linear_kernel_mmd_in_one_dimension"
    ),
    "forward_passes": "metrics/test_consistency_and_cost.py::test_passes_are_counted_in_images",
    "backward_passes": "metrics/test_consistency_and_cost.py::test_passes_are_counted_in_images",
    "seconds": "metrics/test_consistency_and_cost.py::test_seconds_are_the_median_of_the_timed_runs",
}


def registered() -> set[str]:
    return {info.name for info in methods()} | {info.name for info in metrics()}


def names_in(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_what_has_no_replica_is_known_in_another_way():
    without = registered() - set(replicas())
    print(f"{len(replicas())} methods and metrics have a replica, {len(without)} another witness")
    assert without == set(OTHERWISE)


def test_a_replica_is_of_something_that_is_there():
    assert set(replicas()) - registered() == set()


def test_the_witnesses_are_there():
    for place in OTHERWISE.values():
        file, _, name = place.partition("::")
        assert name in names_in(TESTS / file), place
