"""Wrappers for several devices and processes, on one of each."""

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

from torch_tools.tool import gradients, loss, state, tensors, tool, with_weights


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
