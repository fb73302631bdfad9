"""Mistakes planted in the machinery of replays: each is found, by the check that is made of each recording or by the tests."""

import numpy as np
import pytest
import test_captured_steps as steps
import test_changed_between_calls as changes
import test_not_captured as refusals
from both import run_both
from small import calls

from gradcore import optim
from gradcore.replay import captured as captured_module
from gradcore.replay import plan, simpler, traced, watch
from gradcore.replay.program import Call, Value


def trained(clip=None):
    def make():
        model = steps.mlp()
        return steps.training(model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9), clip=clip)

    return run_both(make, steps.batches(6))


def one_buffer(calls):
    """All results of one layout in one buffer."""
    made = {}
    return {
        id(c.out): made.setdefault(str(plan.layout(c.out.example)), np.empty_like(c.out.example))
        for c in calls
        if c.out is not None and c.into and c.out.fresh and not c.out.kept
    }


def without_versions(tree, versions, held):
    return HASHABLE(tree, {}, held)


HASHABLE = simpler._hashable


def swapped(function, args, kwargs):
    """Differences the wrong way round."""
    function, args = EXACTLY(function, args, kwargs)
    return (function, args[::-1]) if function is np.subtract else (function, args)


EXACTLY = traced._exactly

# Found when a program is compared with the run that it was recorded from.
SEEN_AT_ONCE = {
    "one buffer for all": (plan, "buffers", one_buffer),
    "gradients are not stored": (plan, "store_grad", None),
}


@pytest.mark.parametrize("name", SEEN_AT_ONCE)
def test_a_wrong_program_is_never_replayed(monkeypatch, name):
    module, attribute, wrong = SEEN_AT_ONCE[name]
    assert trained().replays
    monkeypatch.setattr(module, attribute, wrong)
    found = trained()
    assert not found.replays
    assert "a replay gives other values" in found.report()


def test_a_rule_that_is_written_down_wrongly_is_called_as_a_whole(monkeypatch):
    assert "cross_entropy_rule" not in trained().source()
    monkeypatch.setattr(traced, "_exactly", swapped)
    found = trained()
    assert found.replays
    assert "_rule" in found.source()


@pytest.mark.parametrize(("versions", "count"), [(True, 4), (False, 3)])
def test_a_call_is_made_again_after_its_argument_was_written_into(monkeypatch, versions, count):
    x, y, z = (Value(np.ones(3), fresh=True) for _ in range(3))
    calls = [
        Call(np.exp, (np.zeros(3),), out=x),
        Call(np.sin, (x,), out=y, pure=True),
        Call(np.add, (x, x), {"out": (x,)}),
        Call(np.sin, (x,), out=z, pure=True),
    ]
    if not versions:
        monkeypatch.setattr(simpler, "_hashable", without_versions)
    assert len(simpler.simplified(calls, [y, z], ())[0]) == count


def test_calls_of_constants_and_repeated_calls_are_left_out():
    x, y, z, w = (Value(np.ones(3), fresh=True) for _ in range(4))
    number, outside = np.array(2.0), np.array(2.0)
    calls = [
        Call(np.exp, (number,), out=x, pure=True),
        Call(np.exp, (outside,), out=y, pure=True),
        Call(np.exp, (outside,), out=z, pure=True),
        Call(np.add, (z, x), out=w, pure=True),
    ]
    kept, outputs = simpler.simplified(calls, [w, z], {id(outside)})
    assert [call.function for call in kept] == [np.exp, np.add]
    assert kept[1].args[0] is y
    assert kept[1].args[1] == np.exp(2.0)
    assert outputs == [w, y]


def test_without_guards_changes_are_missed(monkeypatch):
    monkeypatch.setattr(captured_module, "all_hold", lambda guards: lambda: True)
    with pytest.raises(AssertionError):
        changes.test_what_is_changed_between_calls_is_honoured("an attribute")


def test_without_a_second_recording_hidden_numbers_are_missed(monkeypatch):
    monkeypatch.setattr(captured_module, "same_calls", lambda mine, other: "")
    monkeypatch.setattr(captured_module, "verify", lambda *_: None)
    with pytest.raises(AssertionError):
        run_both(refusals.hidden_number, calls())


def test_without_the_watch_what_the_step_changes_is_missed(monkeypatch):
    monkeypatch.setattr(watch.Watch, "check", lambda self: None)
    monkeypatch.setattr(captured_module, "all_hold", lambda guards: lambda: True)
    with pytest.raises(AssertionError):
        run_both(refusals.counting, calls())


def test_kept_results_in_buffers_would_be_overwritten(monkeypatch):
    monkeypatch.setattr(plan.Value, "keep", lambda self: None)
    with pytest.raises(AssertionError):
        steps.test_results_do_not_share_memory_with_later_ones()
