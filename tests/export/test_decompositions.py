import onnxruntime
import pytest
import torch
import torch.nn.functional as F

from xiqa.errors import SaliencyError, UnsupportedOperationError
from xiqa.export.decompositions import PoolingByMeans, bilinear_matrix, turned_convolution
from xiqa.export.onnx import to_onnx
from xiqa.export.trace import trace


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups", "size"),
    [
        ((3, 3), (1, 1), (1, 1), (1, 1), 1, (9, 8)),
        ((3, 3), (2, 2), (1, 1), (1, 1), 6, (9, 8)),
        ((5, 3), (2, 1), (0, 1), (1, 1), 2, (11, 7)),
        ((3, 3), (1, 1), (2, 2), (2, 2), 3, (10, 10)),
        ((1, 1), (2, 2), (0, 0), (1, 1), 1, (7, 7)),
        ((7, 7), (4, 4), (3, 3), (1, 1), 1, (32, 30)),
    ],
)
def test_turned_convolution_is_autograds_gradient(kernel, stride, padding, dilation, groups, size):
    torch.manual_seed(0)
    images = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(12, 6 // groups, *kernel, dtype=torch.float64)
    out = F.conv2d(images, weight, None, stride, padding, dilation, groups)
    grad = torch.randn_like(out)
    (wanted,) = torch.autograd.grad(out, images, grad)
    got = turned_convolution(grad, size, weight, stride, padding, dilation, groups)
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize(("size", "into"), [(4, 16), (5, 13), (16, 4), (1, 3), (7, 7)])
def test_bilinear_matrix_is_interpolate(size, into):
    values = torch.randn(1, 1, size, 3)
    wanted = F.interpolate(values, (into, 3), mode="bilinear", align_corners=False)
    torch.testing.assert_close(bilinear_matrix(size, into) @ values, wanted, rtol=1e-5, atol=1e-5)


def test_traced_gradient_fits_any_batch_and_folds_what_is_constant():
    weight = torch.randn(4, 3, 3, 3)

    def function(images):
        with torch.enable_grad():
            leaf = images.detach().requires_grad_()
            out = F.interpolate(F.conv2d(leaf, weight, stride=2), size=(9, 9), mode="bilinear").relu()
            (grad,) = torch.autograd.grad(out.square().sum(), leaf)
        return out.detach(), grad.abs().sum(1)

    program = trace(function, torch.zeros(1, 3, 16, 16))
    for batch in (1, 3):
        images = torch.randn(batch, 3, 16, 16)
        for got, wanted in zip(program.module()(images), function(images), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
    targets = [str(node.target) for node in program.graph.nodes]
    assert not any("backward" in target or "flip" in target for target in targets)


def test_a_pool_with_a_divisor_of_its_own_computes_the_same_in_onnx():
    def function(images):
        return (F.avg_pool2d(images, 3, stride=1, padding=1, divisor_override=1), F.avg_pool2d(images, 2))

    proto = to_onnx(trace(function, torch.zeros(1, 3, 8, 8)), ["sum", "mean"])
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    images = torch.randn(2, 3, 8, 8)
    for got, wanted in zip(session.run(None, {"images": images.numpy()}), function(images), strict=True):
        torch.testing.assert_close(torch.from_numpy(got), wanted, rtol=1e-5, atol=1e-5)


def test_what_has_no_replacement_is_refused():
    weight = torch.randn(3, 4, 3, 3)

    def transposed(images):
        with torch.enable_grad():
            leaf = images.detach().requires_grad_()
            return torch.autograd.grad(F.conv_transpose2d(leaf, weight).sum(), leaf)

    with pytest.raises((UnsupportedOperationError, SaliencyError), match="transposed"):
        trace(transposed, torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("size", [1, (1, 1), [1, 1]])
def test_global_pooling_is_a_mean_and_other_pooling_is_left(size):
    images = torch.randn(2, 3, 5, 7, requires_grad=True)
    with PoolingByMeans():
        named, placed = F.adaptive_avg_pool2d(images, output_size=size), F.adaptive_avg_pool2d(images, size)
        other = F.adaptive_avg_pool2d(images, (2, 1))
    assert named.grad_fn.name() == placed.grad_fn.name() == "MeanBackward1"
    torch.testing.assert_close(named, images.mean(dim=(2, 3), keepdim=True))
    torch.testing.assert_close(other, F.adaptive_avg_pool2d(images, (2, 1)))
