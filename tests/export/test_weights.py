"""How weights are stored: once, and in few bytes, with a bound on what that changes."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from xiqa.export.onnx import share_turned, shrink


def convolutions(weights, groups=1):
    """A graph of one convolution after another, and the constants that it stores."""
    names = [f"w{i}" for i in range(len(weights))]
    nodes = [
        helper.make_node("Conv", [f"x{i}", name], [f"x{i + 1}"], group=groups) for i, name in enumerate(names)
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list("nchw"))
        for name in ("x0", f"x{len(names)}")
    ]
    constants = [numpy_helper.from_array(w, name) for w, name in zip(weights, names, strict=True)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def answer(proto, images):
    onnx.checker.check_model(proto)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x0": images})[0]


def stored(proto):
    return [one for one in proto.graph.initializer if len(one.dims) == 4]


@pytest.mark.parametrize(("shape", "groups"), [((8, 12, 1, 1), 1), ((8, 12, 3, 2), 1), ((12, 1, 3, 3), 12)])
def test_a_turned_kernel_is_stored_once_and_computes_the_same(shape, groups):
    random = np.random.default_rng(0)
    kernel = random.standard_normal(shape).astype(np.float32)
    turned = kernel[:, :, ::-1, ::-1] if groups > 1 else kernel[:, :, ::-1, ::-1].swapaxes(0, 1)
    proto = convolutions([kernel, np.ascontiguousarray(turned)], groups)
    images = random.standard_normal((2, 12, 9, 9)).astype(np.float32)
    wanted = answer(proto, images)
    share_turned(proto)
    assert len(stored(proto)) == 1
    np.testing.assert_array_equal(answer(proto, images), wanted)


def test_kernels_that_are_not_turned_stay():
    random = np.random.default_rng(0)
    proto = convolutions([random.standard_normal((12, 12, 1, 1)).astype(np.float32) for _ in range(2)])
    before = proto.SerializeToString()
    share_turned(proto)
    assert proto.SerializeToString() == before


@pytest.mark.parametrize(("precision", "kind"), [("float16", np.float16), ("int8", np.int8)])
def test_stored_weights_round_by_no_more_than_half_a_step(precision, kind):
    random = np.random.default_rng(0)
    kernel = (random.standard_normal((6, 12, 1, 1)) * 10.0 ** np.arange(-3, 3)[:, None, None, None]).astype(
        "f"
    )
    kernel[2] = 0
    proto = convolutions([kernel])
    shrink(proto, precision)
    assert numpy_helper.to_array(stored(proto)[0]).dtype == kind
    # a convolution of unit images reads the weights
    read = answer(proto, np.eye(12, dtype=np.float32)[:, :, None, None])[:, :, 0, 0].T
    step = np.abs(kernel).max(axis=(1, 2, 3)) / (127 if precision == "int8" else 1024)
    assert (np.abs(read - kernel[:, :, 0, 0]) <= 0.5 * step[:, None] + 1e-7).all()
    assert not read[2].any()
    assert (read[3:] != kernel[3:, :, 0, 0]).any()


def test_what_float16_cannot_hold_stays():
    kernel = np.full((6, 12, 1, 1), 1e6, np.float32)
    proto = convolutions([kernel])
    shrink(proto, "float16")
    np.testing.assert_array_equal(numpy_helper.to_array(stored(proto)[0]), kernel)
