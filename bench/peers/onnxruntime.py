"""ONNX Runtime as a peer for inference: the network as a graph of ONNX operators, node by node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

VERSION = onnxruntime.__version__
OPSET = 17  # with IR version 8: what every ONNX Runtime since 1.12 reads
IR_VERSION = 8

Net = dict[str, Any]
SAME_NAME = {"ReLU": "Relu", "Sigmoid": "Sigmoid", "Tanh": "Tanh"}


class Graph:
    """Nodes in the order in which they are computed, and the weights they name."""

    def __init__(self, state: dict[str, np.ndarray]) -> None:
        self.state = state
        self.nodes: list[Any] = []
        self.weights: dict[str, Any] = {}

    def add(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        out = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [out], **attributes))
        return out

    def weight(self, key: str) -> str:
        """Put an array of the state into the graph; return its name."""
        self.weights[key] = numpy_helper.from_array(np.ascontiguousarray(self.state[key]), key)
        return key

    def layer(self, layer: Net, x: str) -> str:
        """Add a layer whose input is called `x`; return the name of its output."""
        kind, key = layer["kind"], layer["key"]
        if kind == "Sequential":
            for child in layer["layers"]:
                x = self.layer(child, x)
            return x
        if kind == "Residual":
            short = layer["shortcut"]
            ends = [self.layer(layer["branch"], x), x if short is None else self.layer(short, x)]
            return self.add("Add", ends)
        if kind in ("Dropout", "Dropout2d", "Identity"):
            return x
        if kind in SAME_NAME:
            return self.add(SAME_NAME[kind], [x])
        if kind == "LeakyReLU":
            return self.add("LeakyRelu", [x], alpha=layer["negative_slope"])
        if kind == "Flatten":
            return self.add("Flatten", [x])
        if kind == "BatchNorm2d":
            names = [self.weight(key + own) for own in ("weight", "bias")]
            names += [self.weight(key + own) for own in ("running_mean", "running_var")]
            return self.add("BatchNormalization", [x, *names], epsilon=layer["eps"])
        if kind == "AdaptiveAvgPool2d" and tuple(layer["output_size"]) == (1, 1):
            return self.add("GlobalAveragePool", [x])
        if kind == "LocalResponseNorm":
            factors = {"alpha": layer["alpha"], "beta": layer["beta"], "bias": layer["k"]}
            return self.add("LRN", [x], size=layer["size"], **factors)
        if kind in ("Conv2d", "Linear", "MaxPool2d", "AvgPool2d"):
            return self._window_or_matrix(layer, x)
        raise ValueError(f"{kind} is not in numcnn/bench/peers/onnxruntime.py; leave this peer out")

    def _window_or_matrix(self, layer: Net, x: str) -> str:
        kind, key = layer["kind"], layer["key"]
        inputs = [x]
        if kind in ("Conv2d", "Linear"):
            inputs += [self.weight(key + own) for own in ("weight", "bias")[: 1 + layer["bias"]]]
        if kind == "Linear":
            return self.add("Gemm", inputs, transB=1)
        pads = [*layer["padding"], *layer["padding"]]
        options: dict[str, Any] = {"strides": list(layer["stride"]), "pads": pads}
        if kind == "Conv2d":
            options |= {"dilations": list(layer["dilation"]), "group": layer["groups"]}
            return self.add("Conv", inputs, kernel_shape=list(layer["kernel_size"]), **options)
        options |= {"kernel_shape": list(layer["kernel_size"]), "ceil_mode": layer["ceil_mode"]}
        if kind == "MaxPool2d":
            return self.add("MaxPool", inputs, dilations=list(layer["dilation"]), **options)
        return self.add(
            "AveragePool", inputs, count_include_pad=layer["count_include_pad"], **options
        )


def export(network: Net, shape: tuple[int, ...]) -> bytes:
    """Return the network as an ONNX file."""
    graph = Graph(network["state"])
    last = graph.layer(network["layers"], "x")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
    y = helper.make_tensor_value_info(last, TensorProto.FLOAT, None)
    body = helper.make_graph(graph.nodes, "network", [x], [y], list(graph.weights.values()))
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(body, opset_imports=opsets, ir_version=IR_VERSION)
    return model.SerializeToString()


class Inference:
    """The network in evaluation, with every optimisation that ONNX Runtime does by itself."""

    def __init__(self, network: Net, shape: tuple[int, ...]) -> None:
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(export(network, shape), providers=providers)

    def run(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs."""
        return self.session.run(None, {"x": x})[0]
