"""The zoo: networks of the literature and of the course, ready to train."""

from __future__ import annotations

from collections.abc import Callable

from ..model import Sequential
from .alexnet import alexnet
from .autoencoder import autoencoder
from .cifar_demo import cifar_demo
from .conv_pool import conv_pool_cnn_c
from .gates import perceptron, threshold_gate, xor_by_hand, xor_network
from .grammar import conv_net
from .inception import inception
from .lenet import lenet, lenet5
from .mlp import mlp
from .resnet import resnet18, resnet20, resnet34, resnet50
from .vgg import vgg11, vgg13, vgg16, vgg19, vgg_small

__all__ = [
    "ZOO",
    "alexnet",
    "autoencoder",
    "cifar_demo",
    "conv_net",
    "conv_pool_cnn_c",
    "inception",
    "lenet",
    "lenet5",
    "mlp",
    "perceptron",
    "resnet18",
    "resnet20",
    "resnet34",
    "resnet50",
    "threshold_gate",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "vgg_small",
    "xor_by_hand",
    "xor_network",
]

# classifiers, by the names that commands take
ZOO: dict[str, Callable[..., Sequential]] = {
    "lenet": lenet,
    "lenet5": lenet5,
    "mlp": mlp,
    "conv-net": conv_net,
    "cifar-demo": cifar_demo,
    "vgg-small": vgg_small,
    "resnet20": resnet20,
    "conv-pool-cnn-c": conv_pool_cnn_c,
    "alexnet": alexnet,
    "vgg11": vgg11,
    "vgg13": vgg13,
    "vgg16": vgg16,
    "vgg19": vgg19,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
}
