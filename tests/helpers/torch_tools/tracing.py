"""Graphs of a network: torch.fx, TorchScript, torch.compile and torch.export."""

import io
import shutil
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.ao.quantization import get_default_qconfig_mapping, quantize_dynamic
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx.experimental.optimization import fuse
from torch.fx.passes.shape_prop import ShapeProp
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from torch_tools.tool import gradients, signature, state, tool

NO_LINEAR = "there is no linear layer to quantise"
PRE_ACTIVATION = "no batch norm comes right after a convolution"


def is_conv(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.ConvTranspose2d)


@tool(makes_network=True, any_size=True, trains=True)
def symbolic_trace(network: nn.Module, images: Tensor) -> Any:
    return fx.symbolic_trace(network)


@tool(makes_network=True, any_size=True)
def symbolic_trace_in_training(network: nn.Module, images: Tensor) -> Any:
    return fx.symbolic_trace(network.train()).eval()


@tool(makes_network=True, any_size=True)
def fx_interpreter(network: nn.Module, images: Tensor) -> Any:
    return fx.Interpreter(fx.symbolic_trace(network)).run


@tool(makes_network=True, any_size=True)
def fx_transformer(network: nn.Module, images: Tensor) -> Any:
    return fx.Transformer(fx.symbolic_trace(network)).transform()


@tool()
def fx_rewrites_activations(network: nn.Module, images: Tensor) -> Any:
    class LeakyRelu(fx.Interpreter):
        def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
            if isinstance(self.fetch_attr(target), nn.ReLU):
                return nn.functional.leaky_relu(args[0], 0.3)
            return super().call_module(target, args, kwargs)

        def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
            if target is nn.functional.relu:  # torchvision's last activation
                return nn.functional.leaky_relu(args[0], 0.3)
            return super().call_function(target, args, kwargs)

    return LeakyRelu(fx.symbolic_trace(network)).run(images)


@tool()
def shapes_of_fx_nodes(network: nn.Module, images: Tensor) -> Any:
    traced = fx.symbolic_trace(network)
    ShapeProp(traced).propagate(images)
    return [
        (list(node.meta["tensor_meta"].shape), str(node.meta["tensor_meta"].dtype))
        for node in traced.graph.nodes
        if node.op == "call_module" and is_conv(traced.get_submodule(node.target))
    ]


@tool(makes_network=True, any_size=True)
def fx_fuse(network: nn.Module, images: Tensor) -> Any:
    return fuse(network)


@tool()
def feature_extractor(network: nn.Module, images: Tensor) -> Any:
    names = [name for name, module in network.named_modules() if is_conv(module)]
    extract = create_feature_extractor(network, return_nodes=names)
    return list(extract(images).values())


@tool()
def graph_node_names(network: nn.Module, images: Tensor) -> Any:
    convolutions = [name for name, module in network.named_modules() if is_conv(module)]
    in_training, in_evaluation = get_graph_node_names(network)
    return [
        [convolutions.index(name) for name in names if name in convolutions]
        for names in (in_training, in_evaluation)
    ]


@tool(rtol=0.2, atol=0.01)
def fx_quantization(network: nn.Module, images: Tensor) -> Any:
    network, images = network.float(), images.float()
    mapping = get_default_qconfig_mapping(torch.backends.quantized.engine)
    prepared = prepare_fx(network, mapping, (images,))
    for batch in (images, images.flip(0), images.flip(3)):
        prepared(batch)
    quantized = convert_fx(prepared)
    assert any("quantized" in type(module).__module__ for module in quantized.modules())
    return signature(quantized(images))  # single values may be far off in int8


@tool(unfit={"Backbone": NO_LINEAR, "FCDenseNet": NO_LINEAR}, rtol=0.05, atol=0.05)
def dynamic_quantization(network: nn.Module, images: Tensor) -> Any:
    quantized = quantize_dynamic(network.float(), {nn.Linear})
    assert any("quantized" in type(module).__module__ for module in quantized.modules())
    return quantized(images.float())


@tool(unfit={"FCDenseNet": PRE_ACTIVATION}, makes_network=True, any_size=True)
def fuse_modules(network: nn.Module, images: Tensor) -> Any:
    pairs = [["features.conv0", "features.norm0"]]
    pairs += [
        [name.replace("norm2", "conv1"), name]
        for name, _ in network.named_modules()
        if name.endswith("norm2")
    ]
    return torch.ao.quantization.fuse_modules(network, pairs)


@tool(makes_network=True)
def jit_trace(network: nn.Module, images: Tensor) -> Any:
    return torch.jit.trace(network, images)


@tool()
def jit_trace_in_training(network: nn.Module, images: Tensor) -> Any:
    traced = torch.jit.trace(network.train(), images, check_trace=False)
    return [torch.as_tensor(gradient) for gradient in gradients(traced, images)], state(network)


@tool(makes_network=True, any_size=True)
def jit_script(network: nn.Module, images: Tensor) -> Any:
    return torch.jit.script(network)


@tool(makes_network=True, trains=True)
def jit_script_trains(network: nn.Module, images: Tensor) -> Any:
    return torch.jit.script(network)


@tool(makes_network=True)
def jit_freeze(network: nn.Module, images: Tensor) -> Any:
    return torch.jit.freeze(torch.jit.trace(network, images))


@tool(makes_network=True, any_size=True)
def jit_freeze_script(network: nn.Module, images: Tensor) -> Any:
    return torch.jit.freeze(torch.jit.script(network))


@tool(makes_network=True)
def jit_optimize_for_inference(network: nn.Module, images: Tensor) -> Any:
    return torch.jit.optimize_for_inference(torch.jit.trace(network, images))


@tool(makes_network=True, any_size=True)
def jit_save_and_load(network: nn.Module, images: Tensor) -> Any:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(network), file)
    file.seek(0)
    return torch.jit.load(file)


@tool(makes_network=True)
def jit_script_of_an_fx_graph(network: nn.Module, images: Tensor) -> Any:
    return torch.jit.script(fx.symbolic_trace(network))


@tool(makes_network=True, trains=True)
def compile_eager(network: nn.Module, images: Tensor) -> Any:
    return torch.compile(network, fullgraph=True, backend="eager")


@tool(makes_network=True, trains=True)
def compile_aot_eager(network: nn.Module, images: Tensor) -> Any:
    return torch.compile(network, fullgraph=True, backend="aot_eager")


@tool(makes_network=True, any_size=True)
def compile_any_size(network: nn.Module, images: Tensor) -> Any:
    return torch.compile(network, fullgraph=True, backend="eager", dynamic=True)


@tool(makes_network=True)
def compile_inductor(network: nn.Module, images: Tensor) -> Any:
    if not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("there is no C++ compiler")
    # In this process: others would first have to import torch.
    return torch.compile(network, fullgraph=True, options={"compile_threads": 1})


@tool(makes_network=True)
def module_compile(network: nn.Module, images: Tensor) -> Any:
    network.compile(fullgraph=True, backend="eager")
    return network


@tool(makes_network=True)
def export_strict(network: nn.Module, images: Tensor) -> Any:
    return torch.export.export(network, (images,), strict=True).module()


@tool(makes_network=True)
def export_not_strict(network: nn.Module, images: Tensor) -> Any:
    return torch.export.export(network, (images,), strict=False).module()


@tool(makes_network=True, any_size=True)
def export_dynamic_shapes(network: nn.Module, images: Tensor) -> Any:
    auto = torch.export.Dim.AUTO
    larger = torch.cat([images, images, images], dim=2)  # not of a size that needs a special case
    sizes = ({0: auto, 2: auto, 3: auto},)
    return torch.export.export(network, (larger,), dynamic_shapes=sizes).module()


@tool(makes_network=True)
def export_decompositions(network: nn.Module, images: Tensor) -> Any:
    return torch.export.export(network, (images,)).run_decompositions().module()


@tool(makes_network=True)
def export_save_and_load(network: nn.Module, images: Tensor) -> Any:
    file = io.BytesIO()
    torch.export.save(torch.export.export(network, (images,)), file)
    file.seek(0)
    return torch.export.load(file).module()


@tool(makes_network=True)
def export_unflatten(network: nn.Module, images: Tensor) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unflattened = torch.export.unflatten(torch.export.export(network, (images,)))
    names = {name for name, _ in unflattened.named_modules()}
    assert {name for name, module in network.named_modules() if is_conv(module)} <= names
    return unflattened
