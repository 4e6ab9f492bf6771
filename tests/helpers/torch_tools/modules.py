"""torch.nn.utils, number formats, copies and files of a network."""

import copy
import io
import pickle
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import fusion, parametrizations, parametrize, prune

from torch_tools.networks import new_like
from torch_tools.tool import gradients, loss, state, tool


class Halved(nn.Module):
    """A weight that is computed from another."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight * 0.5 + weight.flip(0).tanh()


def convolutions(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]


@tool()
def parametrized_convolutions(network: nn.Module, images: Tensor) -> Any:
    for module in convolutions(network):
        parametrize.register_parametrization(module, "weight", Halved())
    return network(images), sum(torch.as_tensor(g).sum() for g in gradients(network, images))


@tool()
def parametrized_norms(network: nn.Module, images: Tensor) -> Any:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            parametrize.register_parametrization(module, "weight", Halved())
    return network(images), sum(torch.as_tensor(g).sum() for g in gradients(network, images))


@tool()
def parametrization_that_is_removed(network: nn.Module, images: Tensor) -> Any:
    for module in convolutions(network):
        parametrize.register_parametrization(module, "weight", Halved())
        parametrize.remove_parametrizations(module, "weight")
    return gradients(network.train(), images), network(images)


@tool()
def cached_parametrization(network: nn.Module, images: Tensor) -> Any:
    for module in convolutions(network):
        parametrize.register_parametrization(module, "weight", Halved())
    with parametrize.cached(), torch.no_grad():
        return network(images), network(images * 2)


@tool()
def weight_norm(network: nn.Module, images: Tensor) -> Any:
    for module in convolutions(network):
        parametrizations.weight_norm(module)
    network.train()
    return network(images), sum(torch.as_tensor(g).sum() for g in gradients(network, images))


@tool()
def weight_norm_by_hooks(network: nn.Module, images: Tensor) -> Any:
    for module in convolutions(network):
        nn.utils.weight_norm(module)
        with torch.no_grad():
            module.weight_g.mul_(0.5)
    return network(images)


@tool()
def spectral_norm(network: nn.Module, images: Tensor) -> Any:
    for module in convolutions(network):
        parametrizations.spectral_norm(module)
    return network.train()(images)


@tool()
def spectral_norm_by_hooks(network: nn.Module, images: Tensor) -> Any:
    for module in convolutions(network):
        nn.utils.spectral_norm(module)
    return network.train()(images)


@tool()
def orthogonal_weights(network: nn.Module, images: Tensor) -> Any:
    for module in convolutions(network):
        parametrizations.orthogonal(module)
    return network(images)


@tool()
def pruning(network: nn.Module, images: Tensor) -> Any:
    for module in convolutions(network):
        prune.l1_unstructured(module, "weight", amount=0.4)
    return network(images), gradients(network, images)


@tool()
def pruning_everywhere(network: nn.Module, images: Tensor) -> Any:
    parts = [(module, "weight") for module in convolutions(network)]
    prune.global_unstructured(parts, prune.L1Unstructured, amount=0.3)
    for module, name in parts:
        prune.remove(module, name)
    return network(images), state(network)


@tool()
def clipped_gradients(network: nn.Module, images: Tensor) -> Any:
    gradients(network.train(), images)
    total = nn.utils.clip_grad_norm_(network.parameters(), 0.1)
    return total, [parameter.grad for parameter in network.parameters()]


@tool()
def parameters_as_a_vector(network: nn.Module, images: Tensor) -> Any:
    vector = nn.utils.parameters_to_vector(network.parameters())
    nn.utils.vector_to_parameters(vector * 0.9, network.parameters())
    return vector, network(images), gradients(network, images)


@tool()
def sync_batch_norm(network: nn.Module, images: Tensor) -> Any:
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    output = converted(images)
    return output, gradients(converted.train(), images), state(converted)


@tool()
def fused_convolutions_and_norms(network: nn.Module, images: Tensor) -> Any:
    # Each convolution with a norm of the same width, to whose weights it is fused: other numbers.
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for name, module in list(network.named_modules()):
        if not isinstance(module, nn.Conv2d):
            continue
        fitting = [norm for norm in norms if norm.num_features == module.out_channels]
        if fitting:
            network.set_submodule(name, fusion.fuse_conv_bn_eval(module, fitting[-1]))
    return network(images)


@tool()
def channels_last_weights(network: nn.Module, images: Tensor) -> Any:
    network.to(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)
    return network(images), gradients(network.train(), images)


@tool()
def converted_memory_format(network: nn.Module, images: Tensor) -> Any:
    network = nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
    return network(images), gradients(network.train(), images)


@tool()
def float32(network: nn.Module, images: Tensor) -> Any:
    return network.float()(images.float())


@tool(rtol=1e-3, atol=1e-3)
def float32_in_training(network: nn.Module, images: Tensor) -> Any:
    return gradients(network.float().train(), images.float()), state(network)


@tool(rtol=0.1, atol=0.1)
def bfloat16(network: nn.Module, images: Tensor) -> Any:
    return network.bfloat16()(images.bfloat16())


@tool(rtol=0.1, atol=0.1)
def bfloat16_in_training(network: nn.Module, images: Tensor) -> Any:
    network.bfloat16().train()
    output = network(images.bfloat16())
    loss(output).backward()
    return output, [str(torch.as_tensor(p.grad).dtype) for p in network.parameters()]


@tool(rtol=0.02, atol=0.02)
def float16(network: nn.Module, images: Tensor) -> Any:
    return network.half()(images.half())


@tool(makes_network=True, any_size=True, trains=True)
def deepcopy_of_a_copy(network: nn.Module, images: Tensor) -> Any:
    loss(network(images)).backward()
    network.zero_grad()
    copied = copy.deepcopy(network)
    for mine, theirs in zip(copied.parameters(), network.parameters(), strict=True):
        assert mine is not theirs
    return lambda x: copied(x) if not network.training else network(x)


@tool(makes_network=True, any_size=True)
def pickled(network: nn.Module, images: Tensor) -> Any:
    network(images)
    return pickle.loads(pickle.dumps(network))


@tool(makes_network=True, any_size=True)
def saved_as_a_whole(network: nn.Module, images: Tensor) -> Any:
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@tool(makes_network=True, any_size=True)
def saved_weights_only(network: nn.Module, images: Tensor) -> Any:
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = new_like(network).double().eval()
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    return other


@tool(makes_network=True, any_size=True)
def assigned_weights(network: nn.Module, images: Tensor) -> Any:
    with torch.device("meta"):
        other = new_like(network)
    other.load_state_dict(network.state_dict(), assign=True)
    return other.eval()


@tool(makes_network=True, any_size=True)
def built_without_storage(network: nn.Module, images: Tensor) -> Any:
    with torch.device("meta"):
        other = new_like(network)
    other = other.to_empty(device="cpu").double().eval()
    other.load_state_dict(network.state_dict())
    return other


@tool(makes_network=True, any_size=True)
def built_without_initialisation(network: nn.Module, images: Tensor) -> Any:
    def build(*, device: str) -> nn.Module:
        with torch.device(device):
            return new_like(network)

    class Built(nn.Module):
        def __init__(self, *, device: str = "cpu") -> None:
            super().__init__()
            self.network = build(device=device)

    other: Any = nn.utils.skip_init(Built).network
    other.double().eval().load_state_dict(network.state_dict())
    return other


@tool(makes_network=True, any_size=True)
def shared_memory(network: nn.Module, images: Tensor) -> Any:
    network.share_memory()
    assert all(values.is_shared() for values in network.state_dict().values())
    return network


@tool(makes_network=True, any_size=True)
def swapped_parameters(network: nn.Module, images: Tensor) -> Any:
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        return network.float().double()
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
