"""Wrong `autograd.Function`s of the kinds that bug reports are about, each with inputs and the causes that name it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Wrong:
    """causes: any of them names the mistake. order: 2 where only the second order shows it. by: "verify" where only other
    values or sizes than the example's show it. refused: where the check is refused with words on what to do.
    """

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: tuple[Any, ...]
    causes: tuple[str, ...]
    order: int = 1
    by: str = "gradcheck"
    refused: str = ""

    def function(self) -> Any:
        """The Function, whose `apply` is wrong."""
        body = {"forward": staticmethod(self.forward), "backward": staticmethod(self.backward)}
        return type("Wrong", (torch.autograd.Function,), body)


def drawn(*shape: int, seed: int = 0, dtype: Any = torch.float64) -> torch.Tensor:
    """Normally distributed, with a gradient requested."""
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=dtype, generator=g).requires_grad_()


def saving(compute: Callable[..., Any]) -> Callable[..., Any]:
    """A forward that saves its inputs."""

    def forward(ctx: Any, *inputs: Any) -> Any:
        ctx.save_for_backward(*inputs)
        return compute(*inputs)

    return forward


def scale_rows(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return x * w


def broadcast_averaged(ctx: Any, gy: Any) -> Any:
    x, w = ctx.saved_tensors
    return gy * w, (gy * x).mean(0)


def by_position(ctx: Any, gy: Any) -> Any:
    x, y = ctx.saved_tensors
    found = [gy * y] * ctx.needs_input_grad[0] + [gy * x] * ctx.needs_input_grad[1]
    return (*found, *[None] * (2 - len(found)))


def saves_output_of_exp(ctx: Any, x: Any) -> Any:
    ctx.save_for_backward(x)
    return x.exp()


def in_place_on_saved(ctx: Any, gy: Any) -> Any:
    (x,) = ctx.saved_tensors
    return gy * x.data.cos_()


def flat_memory(ctx: Any, gy: Any) -> Any:
    (x,) = ctx.saved_tensors
    return torch.as_strided(gy, gy.shape, x.stride()) * x.cos()


def masked(ctx: Any, x: Any, mask: Any) -> Any:
    y = x.masked_fill(mask, float("-inf")).softmax(1)
    ctx.save_for_backward(y, mask)
    return y


def masked_backward(ctx: Any, gy: Any) -> Any:
    y, mask = ctx.saved_tensors
    gy = gy.masked_fill(mask, 1.0)
    return y * (gy - (gy * y).mean(1, keepdim=True)), None


def pick(ctx: Any, x: Any, index: Any) -> Any:
    ctx.save_for_backward(index)
    ctx.shape = x.shape
    return x[index]


def overwritten(ctx: Any, gy: Any) -> Any:
    gx = gy.new_zeros(ctx.shape)
    gx[ctx.saved_tensors[0]] = gy
    return gx, None


def straight_through(ctx: Any, gy: Any) -> Any:
    (x,) = ctx.saved_tensors
    return gy * (x > -1)


WRONG = (
    Wrong(
        "a broadcast weight averaged in place of summed",
        saving(scale_rows),
        broadcast_averaged,
        (drawn(4, 3), drawn(3)),
        ("factor", "unsummed broadcast"),
    ),
    Wrong(
        "needs_input_grad changes the order",
        saving(torch.mul),
        by_position,
        (drawn(3), drawn(3, seed=1)),
        ("partial_gradients",),
    ),
    Wrong(
        "the input saved where the output is used",
        saves_output_of_exp,
        lambda ctx, gy: gy * ctx.saved_tensors[0],
        (drawn(3),),
        ("value",),
    ),
    Wrong(
        "written into what was saved",
        saving(torch.sin),
        in_place_on_saved,
        (drawn(3),),
        ("vjp_keeps_inputs",),
    ),
    Wrong(
        "the cotangent read with the input's strides",
        saving(torch.sin),
        flat_memory,
        (drawn(3, 4),),
        ("any_layout",),
    ),
    Wrong(
        "the second derivative lost by .data",
        saving(torch.sin),
        lambda ctx, gy: gy * ctx.saved_tensors[0].data.cos(),
        (drawn(3),),
        ("missing",),
        order=2,
    ),
    Wrong(
        "a complex factor not conjugated",
        saving(torch.exp),
        lambda ctx, gy: gy * ctx.saved_tensors[0].exp(),
        (drawn(3, dtype=torch.complex128),),
        ("value", "conjugated"),
    ),
    Wrong(
        "clamped from below only",
        saving(lambda x: x.clamp(-1, 1)),
        straight_through,
        (torch.tensor([0.5, -2.0, 1.25, 3.0, 0.1], dtype=torch.float64, requires_grad=True),),
        ("value", "missing"),
    ),
    Wrong(
        "1/n of a mean forgotten",
        saving(lambda x: (x * x).mean()),
        lambda ctx, gy: 2 * gy * ctx.saved_tensors[0],
        (drawn(4, 3),),
        ("factor",),
    ),
    Wrong(
        "masked softmax with a mean for the sum",
        masked,
        masked_backward,
        (drawn(2, 4), torch.tensor([[False, True, False, False], [False, False, False, True]])),
        ("value",),
    ),
    Wrong(
        "repeated indices overwrite each other",
        pick,
        overwritten,
        (drawn(4, 2), torch.tensor([0, 2, 2, 1])),
        ("overwritten", "value"),
    ),
    Wrong(
        "ties get the whole cotangent each",
        saving(lambda x: x.amax(1)),
        lambda ctx, gy: gy[:, None] * (ctx.saved_tensors[0] == ctx.saved_tensors[0].amax(1, keepdim=True)),
        (drawn(2, 3),),
        ("kink", "value"),
        by="verify",
    ),
    Wrong(
        "once_differentiable in a second order",
        saving(torch.sin),
        once_differentiable(lambda ctx, gy: gy * ctx.saved_tensors[0].cos()),
        (drawn(3),),
        (),
        order=2,
        refused="once_differentiable",
    ),
    Wrong(
        "another gradient where the backward pass is recorded",
        saving(torch.sin),
        lambda ctx, gy: gy * ctx.saved_tensors[0].cos() * (1.5 if torch.is_grad_enabled() else 1.0),
        (drawn(3),),
        ("recorded_gradient",),
        order=2,
    ),
    Wrong(
        "an input kept as an attribute of ctx",
        lambda ctx, x: (setattr(ctx, "x", x), x.sin())[1],
        lambda ctx, gy: gy * ctx.x.cos(),
        (drawn(3),),
        ("saved_values",),
    ),
    Wrong(
        "the cotangent changed in place",
        saving(torch.sin),
        lambda ctx, gy: gy.mul_(ctx.saved_tensors[0].cos()),
        (drawn(3),),
        ("vjp_keeps_cotangent",),
    ),
)
