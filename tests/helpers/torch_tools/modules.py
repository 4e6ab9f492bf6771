"""torch.nn.utils, copies, files, devices, optimisers and wrappers of a network."""

import copy
import io
import pickle
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_module, init_device_mesh
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import fusion, parametrizations, parametrize, prune
from torch.optim import swa_utils
from torchvision.ops import FrozenBatchNorm2d

from torch_tools.networks import new_like
from torch_tools.tool import gradients, loss, state, tensors, tool, with_weights


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


@tool(makes_network=True, any_size=True, trains=True)
def data_parallel(network: nn.Module, images: Tensor) -> Any:
    return nn.DataParallel(network)


@contextmanager
def one_process() -> Iterator[None]:
    """A group of one process, on this machine."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    store = dist.TCPStore("localhost", port, is_master=True)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


@tool()
def distributed_data_parallel(network: nn.Module, images: Tensor) -> Any:
    with one_process():
        wrapped = DistributedDataParallel(network.train())
        return gradients(wrapped, images), state(network)


@tool()
def static_graph_of_ddp(network: nn.Module, images: Tensor) -> Any:
    with one_process():
        wrapped = DistributedDataParallel(
            network.train(), static_graph=True, gradient_as_bucket_view=True
        )
        return [torch.as_tensor(gradient).clone() for gradient in gradients(wrapped, images)]


def whole(values: Any) -> Any:
    return values.full_tensor() if isinstance(values, DTensor) else values


@tool()
def fully_sharded(network: nn.Module, images: Tensor) -> Any:
    with one_process():
        mesh = init_device_mesh("cpu", (1,))
        for _, module in with_weights(network):
            fully_shard(module, mesh=mesh)
        fully_shard(network.train(), mesh=mesh)
        found = gradients(network, images)
        return [whole(gradient) for gradient in found]


@tool()
def distributed_tensors(network: nn.Module, images: Tensor) -> Any:
    with one_process():
        mesh = init_device_mesh("cpu", (1,))
        network = distribute_module(network, mesh)
        with torch.no_grad():
            output = network(DTensor.from_local(images, mesh))
        return [type(part).__name__ for part in tensors(output)], list(map(whole, tensors(output)))


@tool()
def fabric(network: nn.Module, images: Tensor) -> Any:
    fabric = Fabric(accelerator="cpu", devices=1)
    optimizer: Any = torch.optim.SGD(network.parameters(), lr=0.1)
    wrapped, optimizer = fabric.setup(network.train(), optimizer)
    fabric.backward(loss(wrapped(images)))
    optimizer.step()
    return state(network)


@tool(rtol=0.1, atol=0.1)
def fabric_in_bfloat16(network: nn.Module, images: Tensor) -> Any:
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-true")
    output = tensors(fabric.setup_module(network)(images))
    return [str(part.dtype) for part in output], output


def train(network: nn.Module, images: Tensor, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    network.train()
    for _ in range(3):
        optimizer.zero_grad()
        loss(network(images)).backward()
        optimizer.step()
    return state(network)


@tool()
def sgd(network: nn.Module, images: Tensor) -> Any:
    return train(network, images, torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9))


@tool()
def adam_of_all_weights_at_once(network: nn.Module, images: Tensor) -> Any:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, foreach=True)
    return train(network, images, optimizer)


@tool()
def fused_adam(network: nn.Module, images: Tensor) -> Any:
    return train(network, images, torch.optim.Adam(network.parameters(), lr=1e-3, fused=True))


@tool()
def lbfgs(network: nn.Module, images: Tensor) -> Any:
    def evaluate() -> Any:
        optimizer.zero_grad()
        value = loss(network(images))
        value.backward()
        return value

    optimizer = torch.optim.LBFGS(network.parameters(), lr=0.01, max_iter=3)
    optimizer.step(evaluate)
    return state(network)


@tool()
def differentiable_optimizer(network: nn.Module, images: Tensor) -> Any:
    """One step of meta-learning: the gradient of the loss after a step, by the weights before."""
    weights = dict(network.named_parameters())
    value = loss(torch.func.functional_call(network, weights, (images,)))
    slopes = torch.autograd.grad(value, list(weights.values()), create_graph=True)
    moved = {
        name: values - 0.01 * slope
        for (name, values), slope in zip(weights.items(), slopes, strict=True)
    }
    after = loss(torch.func.functional_call(network, moved, (images.flip(0),)))
    return torch.autograd.grad(after, list(weights.values()))


@tool()
def moving_average(network: nn.Module, images: Tensor) -> Any:
    average = swa_utils.AveragedModel(
        network, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9), use_buffers=True
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(2):
        train(network, images, optimizer)
        average.update_parameters(network)
    return average.eval()(images)


@tool()
def update_bn(network: nn.Module, images: Tensor) -> Any:
    swa_utils.update_bn([images, images.flip(0) * 2], network.train())
    return state(network), network.eval()(images)


@tool()
def frozen_part(network: nn.Module, images: Tensor) -> Any:
    parameters = list(network.parameters())
    for parameter in parameters[: len(parameters) // 2]:
        parameter.requires_grad_(False)
    return gradients(network.train(), images)


@tool()
def frozen_norms(network: nn.Module, images: Tensor) -> Any:
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
            module.requires_grad_(False)
    return gradients(network, images), state(network)


@tool()
def only_norms_are_trained(network: nn.Module, images: Tensor) -> Any:
    network.train().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(True)
    return gradients(network, images), state(network)


@tool()
def norms_of_torchvision(network: nn.Module, images: Tensor) -> Any:
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(module.num_features, module.eps).double()
            frozen.load_state_dict(module.state_dict())
            network.set_submodule(name, frozen)
    return gradients(network.train(), images), network(images)


@tool()
def norms_without_running_statistics(network: nn.Module, images: Tensor) -> Any:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = None
    return network(images), gradients(network, images)


@tool()
def cumulative_statistics(network: nn.Module, images: Tensor) -> Any:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    network.train()
    network(images)
    network(images.flip(0) * 2)
    return state(network)


@tool()
def norms_without_weights(network: nn.Module, images: Tensor) -> Any:
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            new = nn.BatchNorm2d(module.num_features, affine=False).double()
            network.set_submodule(name, new)
    network.train()
    return network(images), gradients(network, images)
