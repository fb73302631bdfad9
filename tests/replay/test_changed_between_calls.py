"""Numbers, arrays and modules that are changed between the calls of a captured step are honoured."""

import numpy as np
import pytest
from both import run_both
from small import Object, calls, loss_of, parameter

import gradcore
from gradcore import Tensor, nn

GLOBAL = {"scale": 2.0}
FACTOR = 2.0


def changing(change):
    """A step that uses a number in some place, which is changed after each third call."""

    def make():
        w = parameter()
        box = Object(
            unusual={(1, "a"): 1, frozenset(): 2, Object: 3},
            scale=2.0,
            inner=[2.0, {"scale": 2.0}],
            array=np.full(3, 2.0, np.float32),
        )
        scale = 2.0
        count = iter(range(100))

        def step(x):
            w.zero_grad()
            assert len(box.unusual) == 3
            loss = loss_of(w, x, box.scale * scale * box.inner[0] * box.inner[1]["scale"] * GLOBAL["scale"])
            (loss * FACTOR * gradcore.tensor(box.array).sum()).backward()

        def state():
            nonlocal scale
            found = w.grad
            if next(count) % 4 == 3:
                if change == "a cell":
                    scale += 1
                else:
                    CHANGES[change](box)
            return found

        GLOBAL["scale"] = 2.0
        return step, state

    return make


def _another_array(box):
    box.array = box.array + 1


def _in_place(box):
    box.array += 1


CHANGES = {
    "an attribute": lambda box: setattr(box, "scale", box.scale + 1),
    "a list": lambda box: box.inner.__setitem__(0, box.inner[0] + 1),
    "a dict": lambda box: box.inner[1].update(scale=5.0),
    "a global's entry": lambda _: GLOBAL.update(scale=GLOBAL["scale"] + 1),
    "a global": lambda _: globals().update(FACTOR=FACTOR + 1),
    "another array": _another_array,
    "an array in place": _in_place,
    "a cell": None,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_between_calls_is_honoured(change):
    step, state = changing(change)()
    w_after = []
    global FACTOR
    for run in (step, None):
        if run is None:
            step, state = changing(change)()
            run = captured = gradcore.capture(step)
        FACTOR = 2.0
        grads = []
        for args in calls(14):
            run(*args)
            grads.append(state().copy())
        w_after.append(grads)
    np.testing.assert_array_equal(w_after[0], w_after[1])
    assert captured.replays >= 4, captured.report()


def test_a_step_by_hand_under_no_grad_is_replayed():
    def make():
        w = parameter()
        rate = Tensor(np.array(0.1, np.float32))

        def step(x):
            w.zero_grad()
            loss_of(w, x).backward()
            with gradcore.no_grad():
                w_gradient = Tensor(w.grad)
                target = w
                target -= rate * w_gradient
            loss = loss_of(w, x)  # by the new values
            return loss.detach()

        return step, lambda: [w.data, w.grad]

    captured = run_both(make, calls(8))
    assert captured.replays >= 5, captured.report()


def test_values_of_modules_are_guarded():
    def make():
        inner = nn.Sequential(nn.Linear(3, 3, rng=0), nn.LeakyReLU(0.1), nn.Dropout(0.5, rng=1))
        count = iter(range(100))

        def step(x):
            inner.zero_grad()
            y = inner(x)
            y.sum().backward()
            return y.detach()

        def state():
            found = [p.grad for p in inner.parameters()]
            match next(count):
                case 3:
                    dict(inner.named_modules())["1"].slope = 0.3
                case 7:
                    dict(inner.named_modules())["2"].p = 0.1
                case 11:
                    inner.register_forward_hook(lambda _m, _x, y: y * 2)
            return found

        return step, state

    captured = run_both(make, [(np.tile(x, (2, 1)),) for (x,) in calls(16)])
    assert captured.replays >= 6, captured.report()


@pytest.mark.parametrize(
    "function", [np.zeros_like, np.ones_like, np.shape, np.ndim, np.size, np.result_type]
)
def test_what_looks_at_shapes_alone_reads_no_values(function):
    def make():
        w = parameter()

        def step(x):
            w.zero_grad()
            loss = loss_of(w, x)
            function(loss.detach())
            loss.backward()

        return step, lambda: w.grad

    captured = run_both(make, calls(8))
    assert captured.replays >= 5, captured.report()
