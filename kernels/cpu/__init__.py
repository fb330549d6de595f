"""The loops of the reference, compiled by Numba for every core of the processor."""

from .adadelta import adadelta_update
from .adagrad import adagrad_update
from .adam import adam_update
from .add import add_forward
from .avg_pool2d import avg_pool2d_backward_input, avg_pool2d_forward
from .bce import bce_backward_input, bce_forward
from .bce_with_logits import bce_with_logits_backward_input, bce_with_logits_forward
from .conv2d import (
    conv2d_backward_bias,
    conv2d_backward_input,
    conv2d_backward_weight,
    conv2d_forward,
)
from .dropout import dropout_backward_input, dropout_forward
from .elu import elu_backward_input, elu_forward
from .gelu import gelu_backward_input, gelu_forward
from .huber import huber_backward_input, huber_forward
from .kl_div import kl_div_backward_input, kl_div_forward
from .l1 import l1_backward_input, l1_forward
from .leaky_relu import leaky_relu_backward_input, leaky_relu_forward
from .linear import (
    linear_backward_bias,
    linear_backward_input,
    linear_backward_weight,
    linear_forward,
)
from .log_softmax import log_softmax_backward_input, log_softmax_forward
from .max_pool2d import max_pool2d_backward_input, max_pool2d_forward
from .mse import mse_backward_input, mse_forward
from .msle import msle_backward_input, msle_forward
from .multi_margin import multi_margin_backward_input, multi_margin_forward
from .nll import nll_backward_input, nll_forward
from .relu import relu_backward_input, relu_forward
from .rmsprop import rmsprop_update
from .sgd import sgd_update
from .sigmoid import sigmoid_backward_input, sigmoid_forward
from .silu import silu_backward_input, silu_forward
from .smooth_l1 import smooth_l1_backward_input, smooth_l1_forward
from .soft_target_cross_entropy import (
    soft_target_cross_entropy_backward_input,
    soft_target_cross_entropy_forward,
)
from .softmax import softmax_backward_input, softmax_forward
from .softmax_cross_entropy import (
    softmax_cross_entropy_backward_input,
    softmax_cross_entropy_forward,
)
from .softplus import softplus_backward_input, softplus_forward
from .softsign import softsign_backward_input, softsign_forward
from .tanh import tanh_backward_input, tanh_forward

__all__ = [
    "adadelta_update",
    "adagrad_update",
    "adam_update",
    "add_forward",
    "avg_pool2d_backward_input",
    "avg_pool2d_forward",
    "bce_backward_input",
    "bce_forward",
    "bce_with_logits_backward_input",
    "bce_with_logits_forward",
    "conv2d_backward_bias",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_forward",
    "dropout_backward_input",
    "dropout_forward",
    "elu_backward_input",
    "elu_forward",
    "gelu_backward_input",
    "gelu_forward",
    "huber_backward_input",
    "huber_forward",
    "kl_div_backward_input",
    "kl_div_forward",
    "l1_backward_input",
    "l1_forward",
    "leaky_relu_backward_input",
    "leaky_relu_forward",
    "linear_backward_bias",
    "linear_backward_input",
    "linear_backward_weight",
    "linear_forward",
    "log_softmax_backward_input",
    "log_softmax_forward",
    "max_pool2d_backward_input",
    "max_pool2d_forward",
    "mse_backward_input",
    "mse_forward",
    "msle_backward_input",
    "msle_forward",
    "multi_margin_backward_input",
    "multi_margin_forward",
    "nll_backward_input",
    "nll_forward",
    "relu_backward_input",
    "relu_forward",
    "rmsprop_update",
    "sgd_update",
    "sigmoid_backward_input",
    "sigmoid_forward",
    "silu_backward_input",
    "silu_forward",
    "smooth_l1_backward_input",
    "smooth_l1_forward",
    "soft_target_cross_entropy_backward_input",
    "soft_target_cross_entropy_forward",
    "softmax_backward_input",
    "softmax_cross_entropy_backward_input",
    "softmax_cross_entropy_forward",
    "softmax_forward",
    "softplus_backward_input",
    "softplus_forward",
    "softsign_backward_input",
    "softsign_forward",
    "tanh_backward_input",
    "tanh_forward",
]
