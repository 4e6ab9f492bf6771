"""Tools of PyTorch give the same numbers with our networks as with the plain ones."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch_tools import TOOLS, Tool
from torch_tools.hooks import callable_modules
from torch_tools.networks import KINDS, PlainDenseNet, make_images, make_pair
from torch_tools.tool import gradients, loss, state, tensors


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave no compiled graphs behind."""
    yield
    torch._dynamo.reset()


def check_same(result: Any, expected: Any, tool: Tool) -> None:
    """Compare tensors and other values, however they are nested."""
    results, structure = pytree.tree_flatten(result)
    expectations, expected_structure = pytree.tree_flatten(expected)
    assert structure == expected_structure
    for mine, theirs in zip(results, expectations, strict=True):
        if isinstance(theirs, Tensor):
            torch.testing.assert_close(mine, theirs, rtol=tool.rtol, atol=tool.atol)
        else:
            assert mine == theirs


def is_telling(result: Any) -> bool:
    """Whether there is something in a result to be wrong."""
    for value in pytree.tree_leaves(result):
        if isinstance(value, Tensor):
            if value.is_meta or value.detach().ne(0).any():
                return True
        elif value:
            return True
    return False


def check_made_network(tool: Tool, kind: str, ours: nn.Module, plain: nn.Module) -> None:
    made = tool.run(ours, make_images(kind))
    batches = [make_images(kind), make_images(kind, seed=1)]
    if tool.any_size:
        batches.append(make_images(kind, batch=3, larger=5))
    for images in batches:
        with torch.no_grad():
            check_same(tensors(made(images)), tensors(plain(images)), tool)
    if tool.trains:
        expected = gradients(plain.train(), batches[0])
        (made if isinstance(made, nn.Module) else ours).train()
        loss(made(batches[0])).backward()
        check_same([parameter.grad for parameter in ours.parameters()], expected, tool)
        check_same(state(ours), state(plain), tool)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TOOLS)
def test_tool(name: str, kind: str) -> None:
    tool = TOOLS[name]
    if kind in tool.unfit:
        pytest.skip(tool.unfit[kind])
    ours, plain = make_pair(kind)
    if tool.makes_network:
        check_made_network(tool, kind, ours, plain)
        return
    torch.manual_seed(0)
    expected = (tool.plain or tool.run)(plain, make_images(kind))
    assert is_telling(expected)
    torch.manual_seed(0)
    check_same(tool.run(ours, make_images(kind)), expected, tool)


def test_the_plain_densenet_is_torchvisions() -> None:
    _, plain = make_pair("DenseNet")
    theirs = torchvision.models.DenseNet(
        growth_rate=4, block_config=(2, 3), num_init_features=6, num_classes=5
    ).double()
    theirs.load_state_dict(plain.state_dict(), strict=True)
    assert isinstance(plain, PlainDenseNet)
    images = make_images("DenseNet")
    torch.testing.assert_close(plain(images), theirs.eval()(images), rtol=0, atol=0)
    expected = gradients(theirs.train(), images)
    torch.testing.assert_close(gradients(plain.train(), images), expected)


@pytest.mark.parametrize("kind", ["DenseNet", "Backbone"])
def test_hooks_see_under_each_name_what_they_see_at_torchvisions(kind: str) -> None:
    ours, plain = make_pair(kind)
    names = [name for name, _ in callable_modules(plain)]
    seen: list[dict[str, Any]] = []
    for network in (ours, plain):
        values: dict[str, Any] = {}
        for name in names:
            network.get_submodule(name).register_forward_hook(
                lambda _module, _args, output, name=name, values=values: values.update(
                    {name: output}
                )
            )
        with torch.no_grad():
            network(make_images(kind))
        seen.append(values)
    assert set(seen[1]) == set(names)
    assert len(names) > 30
    torch.testing.assert_close(seen[0], seen[1])
