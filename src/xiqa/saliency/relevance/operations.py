"""The operations that the rules know, by the names of PyTorch's primitive operators."""

from __future__ import annotations

__all__ = [
    "ACTIVATIONS",
    "BILINEAR",
    "CREATING",
    "DIFFERENTIABLE",
    "ELEMENTWISE",
    "GATES",
    "LINEAR",
    "NONLINEAR",
    "NORMS",
    "PIECEWISE_LINEAR",
    "POOLS",
    "REARRANGING",
    "RECTIFIERS",
    "SMOOTH",
    "SMOOTH_MAXIMA",
    "SOFTMAXES",
    "SURELY_NO_RECTIFIER",
]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# They read the shape of a tensor, not its values.
CREATING = _names(
    """
    zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones new_full new_empty
    new_empty_strided
    """
)

# Values are moved, repeated or dropped, never mixed.
REARRANGING = _names("""
    view _unsafe_view reshape _reshape_copy permute transpose t unsqueeze squeeze expand clone alias detach
    _to_copy copy lift_fresh slice select index index_select gather unbind split split_with_sizes cat stack
    constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d roll flip repeat
    pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle as_strided im2col where masked_fill
    slice_scatter select_scatter index_put fill zero diagonal tril triu
    """)

# Sums with constant coefficients (plus a constant) of all operands that depend on the input.
LINEAR = REARRANGING | _names("""
    add sub rsub neg mean sum cumsum avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d
    _adaptive_avg_pool3d upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
    _upsample_nearest_exact2d upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d
    _upsample_bilinear2d_aa _upsample_bicubic2d_aa col2im
    """)

# Products: linear in each operand as long as the others stand still.
BILINEAR = _names("mul mm bmm addmm baddbmm addcmul mv dot convolution")

# Functions of one number each, straight between kinks.
PIECEWISE_LINEAR = _names(
    "relu hardtanh leaky_relu _prelu_kernel clamp clamp_min clamp_max abs threshold hardsigmoid"
)
# Functions of one number each with a derivative.
SMOOTH = _names("""
    silu gelu sigmoid tanh hardswish elu softplus mish exp expm1 log log1p sqrt rsqrt reciprocal pow erf
    """)

# Activations that let positive values through whatever their parameters: guided backpropagation and DeconvNet
# rectify here, and where `units.kind_of` finds that something else does the same.
RECTIFIERS = _names("relu leaky_relu _prelu_kernel silu gelu hardswish elu softplus mish")

# Activations that are spelled out, each as one node of a tape; see `units`.
ACTIVATIONS = _names("rectifier gate activation")

# Functions of one number each that may rectify, of one operand that depends on the input.
NONLINEAR = (
    PIECEWISE_LINEAR | SMOOTH | _names("maximum minimum fmax fmin where masked_fill celu")
) - RECTIFIERS

# Whatever gives each number of its result from the same places of its operands.
ELEMENTWISE = (
    NONLINEAR
    | RECTIFIERS
    | _names(
        """
        add sub rsub neg mul div addcmul addcdiv lerp clone alias _to_copy gt ge lt le eq ne logical_and
        logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not sign sgn heaviside erfc square
        index_put log_sigmoid_forward exp2
        """
    )
)

# What makes weights out of its input: a product with one of them weighs the other operand.
GATES = _names("gate sigmoid hardsigmoid tanh _softmax _safe_softmax exp rsqrt reciprocal")

# The largest or smallest of some values.
POOLS = _names("""
    max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d max min amax amin maximum minimum
    """)

# The logarithm of a sum of exponentials, which lies between the largest value and that plus log n.
SMOOTH_MAXIMA = _names("logsumexp")

# Centring and scaling by statistics of the input, and the same in the exponent.
NORMS = _names("native_layer_norm native_group_norm instance_norm _fused_rms_norm")
SOFTMAXES = _names("_softmax _safe_softmax _log_softmax")

# What is no rectifier and no part of one; products and bounded functions are looked at closer.
SURELY_NO_RECTIFIER = (
    REARRANGING - _names("where masked_fill index_put slice_scatter select_scatter fill zero tril triu")
    | _names("add sub neg mean sum avg_pool1d avg_pool2d _adaptive_avg_pool2d mkldnn_convolution")
    | _names("mm bmm addmm baddbmm convolution max_pool2d_with_indices native_batch_norm cudnn_batch_norm")
    | _names("native_layer_norm native_group_norm _softmax _safe_softmax _log_softmax")
    | _names("sigmoid tanh hardsigmoid accumulate_grad reshape_alias as_strided")
    | _names("scaled_dot_product_flash_attention_for_cpu scaled_dot_product_flash_attention")
    | _names("scaled_dot_product_efficient_attention scaled_dot_product_cudnn_attention")
)

# Everything whose gradient a rectifying rule leaves as it is, gradients' own names included.
DIFFERENTIABLE = (
    LINEAR
    | BILINEAR
    | PIECEWISE_LINEAR
    | SMOOTH
    | POOLS
    | SMOOTH_MAXIMA
    | NORMS
    | SOFTMAXES
    | _names(
        """
        div native_batch_norm cudnn_batch_norm miopen_batch_norm accumulate_grad copy_slices
        scaled_dot_product_flash_attention_for_cpu scaled_dot_product_flash_attention
        scaled_dot_product_efficient_attention scaled_dot_product_cudnn_attention
        linalg_vector_norm
        """
    )
)
