"""What a replay can't follow makes a step run eagerly, with the reason in the report; results stay those of the step."""

import itertools
import random

import numpy as np
import pytest
from both import run_both
from small import Object, calls, loss_of, parameter

import gradcore
from gradcore import Tensor, optim


def reading(how):
    def make():
        w = parameter()

        def step(x):
            w.zero_grad()
            loss = loss_of(w, x)
            scale = how(loss)
            (loss * scale).backward()

        return step, lambda: w.grad

    return make


READS = {
    "item": lambda loss: 2.0 if loss.item() > 10 else 1.0,
    "float": lambda loss: 2.0 if float(loss) > 10 else 1.0,
    "tolist": lambda loss: 2.0 if loss.tolist() > 10 else 1.0,
    "asarray": lambda loss: 2.0 if np.asarray(loss.detach()) > 10 else 1.0,
    "max": lambda loss: 2.0 if np.argmax(loss.detach()) > 10 else 1.0,
    "format": lambda loss: 2.0 if f"{loss:.1f}" > "3" else 1.0,
    "array of data": lambda loss: loss.data * 0.5,
    "number of data": lambda loss: np.float32(loss.data.max()),
}


@pytest.mark.parametrize("how", READS)
def test_values_that_are_read(how):
    captured = run_both(reading(READS[how]), calls())
    assert not captured.replays
    assert (
        "reads a tensor's values" in captured.report() or "none of gradcore's ops made" in captured.report()
    )


@pytest.mark.parametrize(
    ("how", "named"),
    [
        (lambda loss: gradcore.sort(loss.detach().reshape(1)).sum(), "what it calls"),
        (lambda loss: 2.0 if np.argmax(loss.detach()) > 10 else 1.0, "np.argmax"),
        (lambda loss: 2.0 if np.array_equal(0.0, a2=loss.detach()) else 1.0, "np.array_equal"),
    ],
)
def test_what_reads_values_is_named(how, named):
    assert f": {named} reads a tensor's values" in run_both(reading(how), calls()).report()


def after_a_change():
    w = parameter()

    def step(x):
        w.zero_grad()
        loss = loss_of(w, x)
        loss.backward()
        if loss > 3:
            w.zero_grad()

    return step, lambda: w.grad


def draws(draw):
    def make():
        w = parameter()
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        generator = np.random.default_rng(0)

        def step(x):
            w.zero_grad()
            loss_of(w, x, float(draw(generator))).backward()

        return step, lambda: w.grad

    return make


def counting():
    w, counter = parameter(), Object(n=0)

    def step(x):
        w.zero_grad()
        counter.n += 1
        loss_of(w, x).backward()

    return step, lambda: [w.grad, np.array(counter.n)]


def listing():
    w, losses = parameter(), []

    def step(x):
        w.zero_grad()
        loss = loss_of(w, x)
        loss.backward()
        losses.append(loss)

    return step, lambda: [w.grad, np.array([t.data for t in losses])]


def by_hand():
    w = parameter()

    def step(x):
        w.zero_grad()
        loss_of(w, x).backward()
        w.data = w.data - 0.1 * w.grad

    return step, lambda: [w.data, w.grad]


def by_hand_in_place():
    w = parameter()

    def step(x):
        w.zero_grad()
        loss_of(w, x).backward()
        w.data -= 0.1 * w.grad

    return step, lambda: [w.data, w.grad]


def array_in_place():
    w, kept = parameter(), Object(mean=np.zeros(3, np.float32))

    def step(x):
        w.zero_grad()
        loss_of(w, x).backward()
        kept.mean[...] = x

    return step, lambda: [w.grad, kept.mean]


def argument_in_place():
    w = parameter()

    def step(x):
        w.zero_grad()
        loss_of(w, x).backward()
        x += 1

    return step, lambda: w.grad


def grad_by_hand():
    w = parameter()

    def step(x):
        w.grad = None
        loss_of(w, x).backward()
        w.grad = w.grad * 2

    return step, lambda: [w.data, w.grad]


def grad_in_place():
    w = parameter()
    optimizer = optim.SGD([w], lr=0.1)

    def step(x):
        w.zero_grad()
        loss_of(w, x).backward()
        w.grad *= 2
        optimizer.step()

    return step, lambda: [w.data, w.grad]


def graph_out():
    w = parameter()

    def step(x):
        return loss_of(w, x)

    return step, lambda: None


def number_out():
    w = parameter()

    def step(x):
        w.zero_grad()
        loss_of(w, x).backward()
        return len(x) * 1.5

    return step, lambda: w.grad


def masked():
    w = parameter()

    def step(x):
        w.zero_grad()
        (w * (x > 1).astype(np.float32)).sum().backward()

    return step, lambda: w.grad


def impure():
    w, calls_made = parameter(), []

    def forward(x, /):
        calls_made.append(0)
        return x * len(calls_made)

    op = gradcore.Op(forward, lambda gy, _y, x: gy, gradcore.registry.ops["neg"].spec, name="impure")

    def step(x):
        w.zero_grad()
        op(w).sum().backward()
        return w.grad

    return step, lambda: w.grad


def checkpointed():
    w = parameter()
    inner = gradcore.checkpoint(lambda w: w * w)

    def step(x):
        w.zero_grad()
        (inner(w) * x).sum().backward()

    return step, lambda: w.grad


def fresh_callback():
    w = parameter()

    def step(x):
        w.zero_grad()
        mask = gradcore.callback(lambda: (x > 1).astype(np.float32))
        (w * mask).sum().backward()

    return step, lambda: w.grad


def shared():
    w = parameter()
    start = w.detach()
    optimizer = optim.SGD([w], lr=0.1)

    def step(x):
        w.zero_grad()
        ((w - start) * x + w * w).sum().backward()
        optimizer.step()

    return step, lambda: [w.data, w.grad]


def hidden_number():
    w, numbers = parameter(), itertools.count(1)

    def step(x):
        w.zero_grad()
        loss_of(w, x, float(next(numbers))).backward()

    return step, lambda: w.grad


def replaced_by_a_callback():
    w, kept = parameter(), Object(mean=np.zeros(3, np.float32))

    def follow(x):
        kept.mean = kept.mean * np.float32(0.9) + x

    def step(x):
        w.zero_grad()
        (w * (gradcore.tensor(x) - kept.mean)).sum().backward()
        gradcore.callback(follow, x)

    return step, lambda: [w.grad, kept.mean]


REFUSED = {
    "after a change": (after_a_change, "as a condition after the step has changed something"),
    "a generator": (draws(lambda g: g.random()), "draws random numbers"),
    "Python's generator": (draws(lambda _: random.random()), "draws random numbers"),
    "NumPy's old generator": (draws(lambda _: np.random.rand()), "draws random numbers"),  # noqa: NPY002
    "an attribute": (counting, "the step changes the step.counter.n"),
    "a list": (listing, "the step changes the step.losses.0"),
    "data": (by_hand, "changes the data of a tensor of shape"),
    "data in place": (by_hand_in_place, "changes the data of a tensor of shape"),
    "two tensors of one array": (shared, "share one array, of shape (3,)"),
    "an array in place": (array_in_place, "writes into an array of shape (3,)"),
    "an argument in place": (argument_in_place, "writes into an array of shape (3,)"),
    "grad": (grad_by_hand, "sets the grad of a tensor"),
    "grad in place": (grad_in_place, "a replay gives other values for the gradients before a callback"),
    "a graph": (graph_out, "whose graph is still to be differentiated"),
    "a number": (number_out, "returns the number 4.5"),
    "a mask": (masked, "dtype float32 enters the step that none of gradcore's ops made"),
    "a function that is not pure": (impure, "gave other values when it was called again"),
    "checkpoint": (checkpointed, "can't be captured"),
    "another callback each time": (fresh_callback, "got another function the second time"),
    "a number that nothing shows": (hidden_number, "got other numbers, arrays or options the second time"),
    "what a callback replaces": (replaced_by_a_callback, "replaces the step.kept.mean"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_replay_would_leave_out(case):
    make, words = REFUSED[case]
    if case == "a function that is not pure":
        step, _ = make()
        captured = gradcore.capture(step)
        for args in calls():
            captured(*args)
    elif "generator" in case:
        expected = [_run(make, captured=False)]
        captured, found = _run(make, captured=True)
        np.testing.assert_array_equal(found, expected[0][1])
    else:
        captured = run_both(make, calls())
    assert not captured.replays
    assert words in captured.report(), captured.report()


def _run(make, captured):
    step, state = make()
    run = gradcore.capture(step) if captured else step
    grads = []
    for args in calls():
        run(*args)
        grads.append(state().copy())
    return run, grads


def test_the_reason_names_the_line():
    captured = run_both(reading(READS["item"]), calls())
    assert "test_not_captured.py:" in captured.report()


def test_an_argument_that_is_held_outside_is_refused():
    w = parameter()
    x = np.ones(3, np.float32)

    def step(y):
        w.zero_grad()
        (w * x * y).sum().backward()

    captured = gradcore.capture(step)
    for _ in range(4):
        captured(x)
    assert "is held by what the step uses" in captured.report()
    np.testing.assert_array_equal(w.grad, [1, 1, 1])


def test_numbers_that_change_in_each_call_belong_into_arrays():
    captured = gradcore.capture(lambda x, scale: x.detach() * scale)
    x = Tensor(np.ones(3))
    for k in range(70):
        np.testing.assert_array_equal(captured(x, float(k)).data, x.data * k)
    assert "arguments of more than 64 kinds: hand in numbers that change as 0-d arrays" in captured.report()
    for k in range(5):
        np.testing.assert_array_equal(captured(x, np.array(float(k))).data, x.data * k)


def test_what_can_be_captured_is_a_function():
    with pytest.raises(gradcore.errors.ArgumentError, match="capture is of a function, and got 3"):
        gradcore.capture(3)
