"""One step run eagerly and captured, side by side, from the same state: everything compared to the bit."""

import copy

import numpy as np

import gradcore
from gradcore import Tensor
from gradcore.replay.program import same_bits
from gradcore.variables import leaves_of


def plain(value):
    """The array of a Tensor; anything else as it is."""
    return value.data if type(value) is Tensor else value


def assert_same(found, expected):
    """Compare two trees of tensors, arrays and None to the bit."""
    for mine, theirs in zip(leaves_of(found), leaves_of(expected), strict=True):
        if theirs is None:
            assert mine is None
            continue
        assert same_bits(np.asarray(plain(mine)), np.asarray(plain(theirs))), (mine, theirs)


def outcome(function, *args):
    """What a call gives, or the error that it raises."""
    try:
        return function(*args)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is compared)
        return error


def run_both(make, calls):
    """`make()` gives a step and a function that tells its state; both are compared after each of the calls.

    Returns the captured step.
    """
    step, state = make()
    other, other_state = make()
    captured = gradcore.capture(other)
    for args in calls:
        own = copy.deepcopy(args)  # a step may write into them
        expected, found = outcome(step, *args), outcome(captured, *own)
        if isinstance(expected, Exception):
            assert type(found) is type(expected), (found, expected)
            assert str(found) == str(expected)
        else:
            if isinstance(found, Exception):
                raise found
            assert_same(found, expected)
        assert_same(other_state(), state())
    return captured


def moved(array, k):
    """Other values near these, in the same memory layout; whole numbers and booleans in another order."""
    if array is None:
        return None
    out = np.empty_like(array)
    out[...] = (
        array * array.dtype.type(1 - k / 512)
        if array.dtype.kind == "f"
        else np.roll(array, k)
        if array.size
        else array
    )
    return out
