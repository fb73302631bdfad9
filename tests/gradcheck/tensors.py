"""Tensors and Functions of PyTorch that several tests are made of."""

import torch


def drawn(*shape, dtype=torch.float64, seed=0):
    """Normal numbers of a seed of their own, that require a gradient."""
    made = torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    return made.requires_grad_()


def function(forward, backward, **methods):
    """A Function of these two."""
    more = {name: staticmethod(method) for name, method in methods.items()}
    body = {"forward": staticmethod(forward), "backward": staticmethod(backward), **more}
    return type("Made", (torch.autograd.Function,), body)


def saving(compute):
    """A forward that saves its inputs."""

    def forward(ctx, *xs):
        ctx.save_for_backward(*xs)
        return compute(*xs)

    return forward


class Product(torch.autograd.Function):
    """x * y."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx, gy):
        x, y = ctx.saved_tensors
        return gy * y, gy * x


class Sine(torch.autograd.Function):
    """sin(x)."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, gy):
        return gy * ctx.saved_tensors[0].cos()
