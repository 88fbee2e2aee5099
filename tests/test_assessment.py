"""From images to assessments: verdicts, places in the original's pixels, and what a bad file does."""

import numpy as np
import pydicom
import pytest
import torch
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from torch import nn

import xiqa
from xiqa.assessment.loading import as_runtime
from xiqa.assessment.places import locate
from xiqa.assessment.reading import read_ahead
from xiqa.assessment.runtime import Runtime
from xiqa.assessment.runtimes.folding import folded
from xiqa.assessment.runtimes.torch import TorchRuntime, guard_watch, named_layers
from xiqa.assessment.verdicts import decide
from xiqa.errors import Code, ConfigError, ImageReadError, SaliencyError, XiqaError
from xiqa.geometry import Frame
from xiqa.models.architecture import Architecture
from xiqa.models.backbones import build_network
from xiqa.models.bundle import LoadedModel
from xiqa.models.card import BundleCard, Layers
from xiqa.models.guard import fit_guard
from xiqa.models.preprocess import Preprocessing
from xiqa.saliency.capture import ForwardPass
from xiqa.saliency.engine import attribute
from xiqa.saliency.registry import bind
from xiqa.types import Image, SaliencyMap, Verdict


class BrightSpot(nn.Module):
    """Finds what is brighter than 0.8, on a grid four times coarser: its verdict and its place are known."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 1, 4, stride=4)
        self.features = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.stem.weight.fill_(1 / 16)
            self.stem.bias.zero_()
            self.features[0].weight.copy_(torch.tensor([1.0, 1.0]).reshape(2, 1, 1, 1))
            self.features[0].bias.copy_(torch.tensor([-0.8, 0.0]))
            self.head.weight.copy_(torch.tensor([[-20000.0, 0.0], [20000.0, 0.0]]))
            self.head.bias.copy_(torch.tensor([2.0, -2.0]))

    def forward(self, images):
        return self.head(self.features(self.stem(images)).mean(dim=(2, 3)))


def make_card(**changes):
    told = {
        "name": "bright-spot",
        "created": "2025-01-01",
        "architecture": Architecture(),
        "preprocessing": Preprocessing(size=(64, 96), mean=(0.0,), std=(1.0,)),
        "classes": ("clean", "foreign"),
        "poor_class": 1,
        "temperature": 1.0,
        "threshold": 0.5,
        "review_band": (0.4, 0.6),
        "layers": Layers(last="features", multi=("stem", "features")),
        "method": "gradcam",
        **dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "test"),
    }
    return BundleCard(**(told | changes)).sealed()


def radiograph(spot=None, size=(120, 200), value=0.3, **changes):
    """A dull image with a bright square of 21 pixels around ``spot``, told as (x, y)."""
    pixels = np.full(size, value, dtype=np.float32)
    if spot is not None:
        x, y = spot
        pixels[y - 10 : y + 11, x - 10 : x + 11] = 1.0
    return Image(pixels, **changes)


def monochrome1(path, image):
    """The image as a 12-bit MONOCHROME1 DICOM file: stored values are inverted."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = pydicom.Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Modality, data.PatientName, data.PatientID = "DX", "<script>^alert", "=1"
    data.Rows, data.Columns = image.size
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME1"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.WindowCenter, data.WindowWidth = 2048, 4096
    data.PixelData = (4095 - np.round(image.pixels * 4095)).astype("<u2").tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="module")
def model():
    return LoadedModel(BrightSpot().eval(), make_card())


@pytest.fixture(scope="module")
def guarded(model):
    """The same with a guard that knows dull images with and without a spot."""
    images = [radiograph(spot) for spot in (None, (50, 40), (150, 80), (100, 60), (30, 90))]
    batch = torch.from_numpy(np.stack([model.prepare(image)[0] for image in images]))
    guard = fit_guard(torch.zeros(3, 4), ("features",), torch.inf)
    passed = ForwardPass(model.network, batch, grad=False, watch=guard_watch(guard))
    fitted = fit_guard(guard.join(passed.features), ("features",), 5.0)
    return LoadedModel(model.network, make_card(guard_layers=("features",)), fitted)


# --- verdicts


@pytest.mark.parametrize(
    ("probability", "verdict"),
    [
        (0.0, "accept"),
        (0.39, "accept"),
        (0.4, "review"),
        (0.6, "review"),
        (0.61, "reacquire"),
        (1.0, "reacquire"),
    ],
)
def test_a_verdict_follows_from_the_band(probability, verdict):
    assert decide(make_card(), probability)[0] == verdict


@pytest.mark.parametrize(("probability", "verdict"), [(0.499, "accept"), (0.5, "reacquire")])
def test_without_a_band_the_threshold_decides(probability, verdict):
    assert decide(make_card(review_band=(0.5, 0.5)), probability)[0] == verdict


@pytest.mark.parametrize("distance", [5.0, 50.0, np.inf, np.nan])
def test_what_the_model_was_not_made_for_is_never_accepted(distance):
    verdict, _, reason = decide(make_card(), 0.01, distance, 5.0)
    assert verdict is Verdict.REVIEW
    assert "unlike the images" in reason
    assert decide(make_card(), 0.01, 4.9, 5.0)[0] is Verdict.ACCEPT


def test_a_network_without_an_answer_assesses_nothing():
    assert decide(make_card(), float("nan"))[0] is Verdict.NOT_ASSESSED


# --- places


@pytest.mark.parametrize("spot", [(20, 15), (100, 60), (180, 105), (12, 100)])
@pytest.mark.parametrize("method", ["gradcam", "normgrad_conv1x1:layers=multi"])
def test_the_peak_lies_on_the_object_in_a_letterboxed_monochrome1_dicom(model, tmp_path, spot, method):
    path = monochrome1(tmp_path / "image.dcm", radiograph(spot))
    (result,) = xiqa.assess(model, path, method=method)
    assert result.verdict is Verdict.REACQUIRE
    assert result.image_size == (120, 200)
    found = result.findings[0]
    cell = 4 * 200 / 96  # one cell of the layer in original pixels
    assert abs(found.peak.x - spot[0]) <= 10
    assert abs(found.peak.y - spot[1]) <= 10
    assert found.box.x0 <= spot[0] <= found.box.x1
    assert found.box.y0 <= spot[1] <= found.box.y1
    assert max(found.box.width, found.box.height) < 21 + 2 * cell
    assert result.saliency.frame.window.height < 64  # it was letterboxed


def test_padding_and_what_lies_outside_the_collimation_hold_no_finding():
    frame = Frame.letterbox((40, 100), (100, 100))
    values = np.zeros((100, 100), dtype=np.float32)
    values[5, 50], values[50, 10], values[50, 70] = 9.0, 5.0, 1.0  # padding, outside, inside
    mask = np.zeros((40, 100), dtype=bool)
    mask[:, 40:] = True
    saliency = SaliencyMap(values, "gradcam", 1, input_size=(100, 100), frame=frame)
    assert locate(saliency, Image(np.zeros((40, 100), np.float32)))[0].peak == (10, 20)
    assert locate(saliency, Image(np.zeros((40, 100), np.float32), mask=mask))[0].peak == (70, 20)


@pytest.mark.parametrize("values", [np.zeros((8, 8)), np.full((8, 8), 3.0), np.full((8, 8), np.nan)])
def test_a_map_without_a_peak_gives_no_place(values):
    saliency = SaliencyMap(values.astype(np.float32), "gradcam", 1, input_size=(64, 64))
    assert locate(saliency, radiograph()) == ()


def test_an_image_without_evidence_says_that_no_place_can_be_made_out(model):
    (result,) = xiqa.assess(model, radiograph())
    assert result.verdict is Verdict.ACCEPT
    assert result.findings == ()
    assert result.reason.endswith("no place can be made out")


def test_several_objects_are_several_findings(model):
    image = radiograph((30, 30))
    image.pixels[80:101, 150:171] = 1.0
    (result,) = xiqa.assess(model, image)
    peaks = sorted(finding.peak for finding in result.findings)
    np.testing.assert_allclose(peaks, [(30, 30), (160, 90)], atol=8)


# --- the pipeline


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_results_come_in_order_and_a_bad_file_stops_nothing(model, tmp_path, batch_size):
    paths = []
    for number, spot in enumerate([(50, 40), None, (150, 80), None, (20, 20)]):
        paths.append(monochrome1(tmp_path / f"{number}.dcm", radiograph(spot)))
        bad = tmp_path / f"bad{number}.dcm"
        bad.write_text("<html>")
        paths.append(bad)
    seen = []
    results = xiqa.assess(
        model, paths, batch_size=batch_size, on_result=lambda *pair: seen.append(pair), keep_maps=False
    )
    assert [result.file for result in results] == [str(path) for path in paths]
    assert [result.verdict for result in results][::2] == ["reacquire", "accept"] * 2 + ["reacquire"]
    assert {result.verdict for result in results[1::2]} == {Verdict.NOT_ASSESSED}
    assert all(result.probability is None and result.reason for result in results[1::2])
    assert [pair[0] for pair in seen] == results
    assert all((image is None) == (one.verdict is Verdict.NOT_ASSESSED) for one, image in seen)
    assert all(one.saliency is not None for one, image in seen if image is not None)
    assert all(one.saliency is None for one in results)


def test_a_batch_gives_what_its_images_give_alone(model):
    images = [radiograph((50, 40)), radiograph((60, 20), size=(90, 90)), radiograph(None, size=(200, 100))]
    together = xiqa.assess(model, images, batch_size=8)
    alone = [xiqa.assess(model, image)[0] for image in images]
    assert [one.verdict for one in together] == [one.verdict for one in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-6)
        np.testing.assert_allclose(one.saliency.values, other.saliency.values, atol=1e-4)


def test_provenance_makes_a_result_repeatable(guarded):
    (result,) = xiqa.assess(guarded, radiograph((50, 40)), method="gradcam:relu=false")
    told = result.provenance
    assert told["model_hash"] == guarded.card.hash
    assert told["method"] == "gradcam:relu=false"
    assert told["threshold"] == result.threshold == 0.5
    assert told["review_band"] == (0.4, 0.6)
    assert told["xiqa"] == xiqa.__version__
    assert told["runtime"] == f"torch {torch.__version__}"
    assert told["guard_distance"] < told["guard_limit"] == 5.0


def test_the_poor_class_is_explained_whatever_is_predicted(model):
    images = [radiograph((50, 40)), radiograph(None, value=0.9)]
    for result in xiqa.assess(model, images):
        assert result.saliency.target == model.card.poor_class


@pytest.mark.parametrize("method", ["gradcam", "gradient", "occlusion:window=0.25", "scorecam"])
def test_probability_and_guard_come_from_the_images_as_they_are(guarded, method):
    """Also under methods that run the network on altered images."""
    images = [radiograph((50, 40)), radiograph(None), radiograph((150, 80))]
    batch = np.stack([guarded.prepare(image)[0] for image in images])
    runtime = TorchRuntime(guarded)
    seen = runtime.infer(batch, runtime.resolve(method))
    watch = guard_watch(guarded.guard)
    passed = ForwardPass(guarded.network, torch.from_numpy(batch), grad=False, watch=watch)
    logits, features = passed.logits, guarded.guard.join(passed.features)
    np.testing.assert_allclose(seen.probabilities, guarded.probability(logits), atol=1e-6)
    np.testing.assert_allclose(seen.distances, guarded.guard.distances(features), rtol=1e-4)
    assert not any(module._forward_hooks for module in guarded.network.modules())


@pytest.mark.parametrize("method", ["gradcam", "normgrad_conv1x1:layers=multi", "gradient"])
def test_the_folded_network_gives_the_same_answers(method):
    torch.manual_seed(0)
    network = build_network(Architecture(backbone="resnet18"))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    card = make_card(
        preprocessing=Preprocessing(size=(64, 96), mean=(0.4,) * 3, std=(0.2,) * 3),
        layers=Layers(last="layer4", multi=("layer2", "layer4")),
    )
    runtime = TorchRuntime(LoadedModel(network, card))
    batch = np.stack([runtime.prepare(image)[0] for image in (radiograph((50, 40)), radiograph((150, 80)))])
    chosen = runtime.resolve(method)
    fast = runtime.infer(batch, chosen)
    assert runtime._network(bind(chosen)) is not network
    plain = runtime.infer(batch, runtime.resolve("gradcam:layers=layer4"))
    np.testing.assert_allclose(fast.probabilities, plain.probabilities, atol=1e-5)
    images = torch.from_numpy(batch)
    expected = attribute(network, images, method, target=1, layers=named_layers(card))[str(chosen)].numpy()
    np.testing.assert_allclose(fast.maps, expected, atol=1e-3 * np.abs(expected).max())


def test_a_changed_weight_is_noticed(model):
    network = build_network(Architecture(backbone="resnet18"))
    first = folded(network, ("layer4",), (3, 96, 96))
    assert folded(network, ("layer4",), (3, 96, 96)) is first
    network.fc.weight.data.mul_(2)
    assert folded(network, ("layer4",), (3, 96, 96)) is not first


def test_a_network_that_takes_one_size_only_is_folded_too():
    network = build_network(
        Architecture(backbone="resnet18", head="mlp", input_size=(96, 128), pool=2)
    ).eval()
    images = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    with pytest.raises(RuntimeError), torch.inference_mode():
        network(images[..., :64, :64])
    quick = folded(network, (), (3, 96, 128))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in quick.modules())
    with torch.inference_mode():
        torch.testing.assert_close(quick(images), network(images), rtol=1e-3, atol=1e-3)


def test_a_layer_that_folding_would_change_keeps_the_network_as_it_is():
    network = build_network(Architecture(backbone="resnet18"))
    nn.init.uniform_(network.bn1.running_mean, 0.5, 1.0)
    assert folded(network, ("conv1",), (3, 96, 96)) is None
    assert folded(network, ("bn1",), (3, 96, 96)) is not None


def test_the_guard_catches_another_kind_of_image(guarded):
    noise = Image(np.random.default_rng(0).random((120, 200), dtype=np.float32))
    assert xiqa.assess(guarded, radiograph((50, 40)))[0].verdict is Verdict.REACQUIRE
    assert xiqa.assess(guarded, noise)[0].verdict is Verdict.REVIEW


def test_mistakes_are_told_before_anything_is_read(model):
    with pytest.raises(SaliencyError, match="gradcam"):
        xiqa.assess(model, ["absent.png"], method="gradcan")
    with pytest.raises(ConfigError, match="batch size"):
        xiqa.assess(model, ["absent.png"], batch_size=0)


def test_no_image_is_no_result(model):
    assert xiqa.assess(model, []) == []


def test_a_runtime_is_taken_as_it_is(model):
    runtime = as_runtime(model)
    assert isinstance(runtime, Runtime)
    assert as_runtime(runtime) is runtime
    assert not isinstance(model, Runtime)


# --- reading ahead


def test_a_decoders_own_error_becomes_a_status():
    def broken(image):
        raise RuntimeError("codec")

    (one,) = read_ahead([radiograph()], broken, 2)
    assert str(one.problem) == "cannot read it: RuntimeError: codec"
    assert one.problem.code is Code.FAILED


def test_only_so_many_images_wait():
    started = []

    def sources():
        for number in range(20):
            started.append(number)
            yield radiograph()

    reading = read_ahead(sources(), lambda image: (image.pixels[None], None), 3)
    for taken in range(1, 6):
        next(reading)
        assert len(started) <= taken + 3
    reading.close()
    assert len(started) < 10


# --- explain


def test_explain_gives_a_map_a_method_and_an_image(model):
    maps = xiqa.explain(model, [radiograph((50, 40))] * 9, ["gradcam", "normgrad_conv1x1"])
    assert list(maps) == ["gradcam", "normgrad_conv1x1"]
    assert {len(found) for found in maps.values()} == {9}
    assert maps["gradcam"][8].frame == model.prepare(radiograph())[1]


def test_explain_takes_a_class_by_name(model):
    one = radiograph((50, 40))
    by_name = xiqa.explain(model, one, "gradient", target="clean")["gradient"][0]
    by_index = xiqa.explain(model, one, "gradient", target=0)["gradient"][0]
    predicted = xiqa.explain(model, one, "gradient", target="predicted")["gradient"][0]
    assert (by_name.target, by_index.target, predicted.target) == (0, 0, 1)
    with pytest.raises(SaliencyError, match="clean, foreign"):
        xiqa.explain(model, one, "gradient", target="hat")


def test_explain_tells_what_it_cannot_read(model, tmp_path):
    with pytest.raises(ImageReadError):
        xiqa.explain(model, tmp_path / "absent.png", "gradcam")
    with pytest.raises(XiqaError):
        xiqa.explain(model, radiograph(), "no_such_method")
