"""The loops of the reference turned inside out: one GPU thread per number written."""

from .adadelta import adadelta_update
from .adagrad import adagrad_update
from .adam import adam_update
from .adaptive_avg_pool2d import adaptive_avg_pool2d_backward_input, adaptive_avg_pool2d_forward
from .adaptive_max_pool2d import adaptive_max_pool2d_backward_input, adaptive_max_pool2d_forward
from .add import add_forward
from .avg_pool2d import avg_pool2d_backward_input, avg_pool2d_forward
from .batch_norm import (
    batch_norm_backward_bias,
    batch_norm_backward_input,
    batch_norm_backward_weight,
    batch_norm_forward,
    batch_norm_update,
)
from .batch_norm_eval import batch_norm_eval_backward_input, batch_norm_eval_forward
from .bce import bce_backward_input, bce_forward
from .bce_with_logits import bce_with_logits_backward_input, bce_with_logits_forward
from .bernoulli import bernoulli_forward
from .bias2d import bias2d_forward
from .concat import concat_backward_input, concat_forward
from .conv2d import (
    conv2d_backward_bias,
    conv2d_backward_input,
    conv2d_backward_weight,
    conv2d_forward,
)
from .conv_relu2d import (
    conv_relu2d_backward_bias,
    conv_relu2d_backward_input,
    conv_relu2d_backward_weight,
    conv_relu2d_forward,
)
from .dropout import dropout_backward_input, dropout_forward
from .elu import elu_backward_input, elu_forward
from .gelu import gelu_backward_input, gelu_forward
from .group_norm import (
    group_norm_backward_bias,
    group_norm_backward_input,
    group_norm_backward_weight,
    group_norm_forward,
)
from .hardtanh import hardtanh_backward_input, hardtanh_forward
from .huber import huber_backward_input, huber_forward
from .kl_div import kl_div_backward_input, kl_div_forward
from .l1 import l1_backward_input, l1_forward
from .layer_norm import (
    layer_norm_backward_bias,
    layer_norm_backward_input,
    layer_norm_backward_weight,
    layer_norm_forward,
)
from .leaky_relu import leaky_relu_backward_input, leaky_relu_forward
from .linear import (
    linear_backward_bias,
    linear_backward_input,
    linear_backward_weight,
    linear_forward,
)
from .local_response_norm import local_response_norm_backward_input, local_response_norm_forward
from .locally_connected2d import (
    locally_connected2d_backward_bias,
    locally_connected2d_backward_input,
    locally_connected2d_backward_weight,
    locally_connected2d_forward,
)
from .log_softmax import log_softmax_backward_input, log_softmax_forward
from .max_pool2d import max_pool2d_backward_input, max_pool2d_forward
from .max_unpool2d import max_unpool2d_backward_input, max_unpool2d_forward
from .maxout import maxout_backward_input, maxout_forward
from .mse import mse_backward_input, mse_forward
from .msle import msle_backward_input, msle_forward
from .multi_margin import multi_margin_backward_input, multi_margin_forward
from .nll import nll_backward_input, nll_forward
from .pad2d import pad2d_backward_input, pad2d_forward
from .perceptron import perceptron_backward_input, perceptron_forward
from .pixel_shuffle import pixel_shuffle_backward_input, pixel_shuffle_forward
from .power_sum import power_sum_backward_input, power_sum_forward
from .prelu import prelu_backward_input, prelu_backward_weight, prelu_forward
from .relu import relu_backward_input, relu_forward
from .rmsprop import rmsprop_update
from .scale import scale_forward
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
from .step import step_backward_input, step_forward
from .tanh import tanh_backward_input, tanh_forward
from .upsample_bilinear2d import upsample_bilinear2d_backward_input, upsample_bilinear2d_forward
from .upsample_nearest2d import upsample_nearest2d_backward_input, upsample_nearest2d_forward
from .weight_norm import (
    weight_norm_backward_input,
    weight_norm_backward_weight,
    weight_norm_forward,
)

__all__ = [
    "adadelta_update",
    "adagrad_update",
    "adam_update",
    "adaptive_avg_pool2d_backward_input",
    "adaptive_avg_pool2d_forward",
    "adaptive_max_pool2d_backward_input",
    "adaptive_max_pool2d_forward",
    "add_forward",
    "avg_pool2d_backward_input",
    "avg_pool2d_forward",
    "batch_norm_backward_bias",
    "batch_norm_backward_input",
    "batch_norm_backward_weight",
    "batch_norm_eval_backward_input",
    "batch_norm_eval_forward",
    "batch_norm_forward",
    "batch_norm_update",
    "bce_backward_input",
    "bce_forward",
    "bce_with_logits_backward_input",
    "bce_with_logits_forward",
    "bernoulli_forward",
    "bias2d_forward",
    "concat_backward_input",
    "concat_forward",
    "conv2d_backward_bias",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_forward",
    "conv_relu2d_backward_bias",
    "conv_relu2d_backward_input",
    "conv_relu2d_backward_weight",
    "conv_relu2d_forward",
    "dropout_backward_input",
    "dropout_forward",
    "elu_backward_input",
    "elu_forward",
    "gelu_backward_input",
    "gelu_forward",
    "group_norm_backward_bias",
    "group_norm_backward_input",
    "group_norm_backward_weight",
    "group_norm_forward",
    "hardtanh_backward_input",
    "hardtanh_forward",
    "huber_backward_input",
    "huber_forward",
    "kl_div_backward_input",
    "kl_div_forward",
    "l1_backward_input",
    "l1_forward",
    "layer_norm_backward_bias",
    "layer_norm_backward_input",
    "layer_norm_backward_weight",
    "layer_norm_forward",
    "leaky_relu_backward_input",
    "leaky_relu_forward",
    "linear_backward_bias",
    "linear_backward_input",
    "linear_backward_weight",
    "linear_forward",
    "local_response_norm_backward_input",
    "local_response_norm_forward",
    "locally_connected2d_backward_bias",
    "locally_connected2d_backward_input",
    "locally_connected2d_backward_weight",
    "locally_connected2d_forward",
    "log_softmax_backward_input",
    "log_softmax_forward",
    "max_pool2d_backward_input",
    "max_pool2d_forward",
    "max_unpool2d_backward_input",
    "max_unpool2d_forward",
    "maxout_backward_input",
    "maxout_forward",
    "mse_backward_input",
    "mse_forward",
    "msle_backward_input",
    "msle_forward",
    "multi_margin_backward_input",
    "multi_margin_forward",
    "nll_backward_input",
    "nll_forward",
    "pad2d_backward_input",
    "pad2d_forward",
    "perceptron_backward_input",
    "perceptron_forward",
    "pixel_shuffle_backward_input",
    "pixel_shuffle_forward",
    "power_sum_backward_input",
    "power_sum_forward",
    "prelu_backward_input",
    "prelu_backward_weight",
    "prelu_forward",
    "relu_backward_input",
    "relu_forward",
    "rmsprop_update",
    "scale_forward",
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
    "step_backward_input",
    "step_forward",
    "tanh_backward_input",
    "tanh_forward",
    "upsample_bilinear2d_backward_input",
    "upsample_bilinear2d_forward",
    "upsample_nearest2d_backward_input",
    "upsample_nearest2d_forward",
    "weight_norm_backward_input",
    "weight_norm_backward_weight",
    "weight_norm_forward",
]
