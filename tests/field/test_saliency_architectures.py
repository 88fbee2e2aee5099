"""Networks that nobody here trained: maps of the right number, ratio and places, or an error."""

import pytest
import timm
import torch
import torchvision

from tests.contracts.conftest import METHODS
from tests.field.test_saliency_places import noise, reading
from xiqa.errors import XiqaError
from xiqa.models.layers import target_layers
from xiqa.saliency.capture import ForwardPass
from xiqa.saliency.engine import attribute

NAMES = [
"resnet10t", "resnext26ts", "densenet121", "regnety_002", "mobilenetv3_small_050", "ghostnet_050",
    "efficientnet_lite0", "repvgg_a0", "vgg11", "dla34", "hrnet_w18_small", "selecsls42", "xception41",
    "inception_v3", "inception_v4", "nfnet_l0", "convnext_atto", "convmixer_768_32", "fastvit_t8",
    "repghostnet_050", "torchvision mobilenet_v2", "torchvision shufflenet_v2_x0_5",
    "torchvision regnet_x_400mf", "torchvision squeezenet1_1", "torchvision mnasnet0_5",
    "torchvision googlenet", "torchvision densenet121", "torchvision convnext_tiny",
    "vit_tiny_patch16_224", "deit3_small_patch16_224", "beit_base_patch16_224",
    "eva02_tiny_patch14_224", "cait_xxs24_224", "convit_tiny", "tnt_s_legacy_patch16_224", "pit_ti_224",
    "crossvit_tiny_240", "coat_tiny", "xcit_nano_12_p16_224", "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256", "maxvit_rmlp_pico_rw_256", "levit_128s", "pvt_v2_b0", "davit_tiny",
    "mobilevit_xxs", "volo_d1_224", "twins_svt_small", "poolformer_s12", "efficientformer_l1",
    "edgenext_xx_small", "mixer_s32_224", "resmlp_12_224", "gmlp_ti16_224", "torchvision vit_b_32",
    "torchvision swin_t", "torchvision swin_v2_t", "torchvision maxvit_t",
]  # fmt: skip
QUICK = ["torchvision shufflenet_v2_x0_5", "pvt_v2_b0"]
READ = ["gradcam", "guidedbackprop", "deconvnet", "lrp_zero", "deeplift", "reciprocam", "normgrad_conv3x3"]


def build(name):
    torch.manual_seed(0)
    if name.startswith("torchvision"):
        options = {"init_weights": False} if name.endswith("googlenet") else {}
        network = torchvision.models.get_model(name.split()[1], weights=None, num_classes=3, **options)
        size = (224, 224)
    else:
        network = timm.create_model(name, num_classes=3)
        size = network.default_cfg["input_size"][1:]
    return reading(network.eval()), size


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in NAMES]
)
def test_maps_are_right_or_refused(name):
    network, size = build(name)
    images = noise(2, *size)
    layers = target_layers(network, images)
    for method in ["hirescam", "hirescam:layers=multi,combine=mean"]:
        (maps,) = attribute(network, images, method, target=1, layers=layers).values()
        assert len(maps) == 2
        assert 0.7 < maps.shape[1] * size[1] / (maps.shape[2] * size[0]) < 1.45
        assert (maps != 0).any()  # of a dead or rectified end most places are 0
    follows(network, layers.last, images)
    for method in READ:
        try:
            (maps,) = attribute(network, images[:1], METHODS[method], target=1, layers=layers).values()
        except XiqaError:
            continue
        assert len(maps) == 1
        assert maps.isfinite().all()


def follows(network, layer, images):
    """What moves at one side of the image moves the features nearer to that side.

    Behind many untrained layers each place sees nearly all of the image, so noise is drawn several times.
    """
    target = torch.zeros(len(images), dtype=torch.long)

    def features(one):
        passed = ForwardPass(network, one, [layer], grad=False)
        return passed.backward(target, layers=[])[0][layer].output.double()

    def centre(axis, first):
        """Where the features change when the first or last quarter of an axis does."""
        side = images.shape[2 + axis] // 4
        begin = 0 if first else images.shape[2 + axis] - side
        change = 0
        for seed in range(4):
            moved = images.clone()
            step = 1e-3 * noise(len(images), *images.shape[-2:], seed=seed)
            moved.narrow(2 + axis, begin, side).add_(step.narrow(2 + axis, begin, side))
            change = change + (features(moved) - before).square().sum(dim=(0, 1, 3 - axis))
        return float((change * torch.arange(len(change))).sum() / change.sum())

    before = features(images)
    for axis in (0, 1):
        assert centre(axis, True) < centre(axis, False)
