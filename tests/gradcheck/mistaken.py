"""Forwards and rules that keep state, change things or trust in memory, for the planted mistakes."""

import numpy as np


def shifts_its_input():
    def forward(x):
        y = np.sin(x)
        x += 0.25
        return y

    return forward, lambda gy, y, x: gy * np.cos(x - 0.25)


def shifts_its_input_for_a_while():
    def forward(x):
        keep = x.copy()
        x *= 0.5
        y = np.sin(2 * x)
        x[...] = keep
        return y

    return forward


def remembers_the_last_input():
    seen = {}

    def forward(x):
        seen["x"] = x.copy()
        return np.sin(x)

    return forward, lambda gy, y, x: gy * np.cos(seen["x"])


def remembers_the_last_mask():
    seen = {}

    def forward(x):
        seen["mask"] = x > 0
        return np.maximum(x, 0)

    return forward, lambda gy, y, x: gy * seen["mask"]


def returns_one_buffer_always():
    buffer = np.empty((4, 3))

    def forward(x):
        if x.shape != buffer.shape:
            return np.sin(x)
        return np.sin(x, out=buffer)

    return forward


def counts_its_calls():
    calls = []

    def forward(x):
        calls.append(1)
        return np.sin(x) + 1e-3 * len(calls)

    return forward


def changes_its_dtype():
    calls = []

    def forward(x):
        calls.append(1)
        return np.sin(x).astype(np.float32 if len(calls) % 2 else np.float64)

    return forward


def draws_noise():
    rng = np.random.default_rng(0)
    return lambda x: np.sin(x) * (1 + 0.01 * rng.standard_normal())


def spends_what_it_saved():
    saved = {}

    def forward(x):
        y = np.sin(x)
        saved[id(y)] = y, np.cos(x)
        return y

    def rule(gy, y, x):
        _, cosine = saved[id(y)]
        gx = gy * cosine
        cosine *= 0.5
        return gx

    return forward, rule


def reuses_its_result():
    buffer = np.empty((4, 3))

    def rule(gy, y, x):
        if gy.shape != buffer.shape:
            return gy * np.cos(x)
        return np.multiply(gy, np.cos(x), out=buffer)

    return np.sin, rule


def accumulates_over_calls():
    total = np.zeros((4, 3))

    def rule(gy, y, x):
        total[...] += gy * np.cos(x)
        return total.copy()

    return np.sin, rule


def changes_input_in_rule(gy, y, x):
    gx = gy * np.cos(x)
    x *= 0
    return gx


def changes_output_in_rule(gy, y, x):
    gx = gy * y
    y[...] = 0
    return gx


def changes_cotangent_in_rule(gy, y, x):
    gy *= np.cos(x)
    return gy.copy()


def fills_memory_order(gy, y, x):
    gx = np.empty_like(x)
    gx.ravel(order="K")[:] = (gy * np.cos(x)).ravel()
    return gx


def reads_the_base(gy, y, x):
    base = x if x.base is None else x.base
    return gy * np.cos(base.reshape(-1)[: x.size].reshape(x.shape)) if base.size >= x.size else gy * np.cos(x)


def trusts_strides(x):
    if x.size > 1 and 0 in x.strides:
        return np.sin(x) * 2
    return np.sin(x)


def by_identity(gy, y, a, b):
    found = {id(a): gy, id(b): -gy}
    return found[id(a)], found[id(b)]


def writes_into_view(gy, y, x):
    gx = np.broadcast_to(gy / x.size, x.shape)
    return np.lib.stride_tricks.as_strided(np.array(gy / x.size), x.shape, (0, 0)) if gx.size else gx


def first_wins(gy, y, x, i):
    gx = np.zeros_like(x)
    gx[i[::-1]] = gy[::-1]
    return gx, None


def last_wins(gy, y, x, i):
    gx = np.zeros_like(x)
    gx[i] += gy
    return gx, None


def one_entry(index, change):
    def rule(gy, y, x):
        gx = gy * np.cos(x)
        gx[index] = change(gx[index])
        return gx

    return rule


def loses_a_sign_inside():
    return lambda x: np.logaddexp(0, x), lambda gy, y, x: gy / (1 + np.exp(x))


def takes_one_triangle_and_gives_both():
    def forward(x):
        return np.tanh(np.tril(x) + np.tril(x, -1).T)

    def rule(gy, y, x):
        gx = gy * (1 - y * y)
        return (gx + gx.T) / 2

    return forward, rule
