"""What a saved state must agree in with what it is loaded into."""

import numpy as np
import pytest

from gradcore.errors import StateError
from gradcore.state import check_state

SMALL = {"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(3)}


def test_a_state_that_fits_passes_whatever_its_order():
    check_state(SMALL, dict(reversed(SMALL.items())), "told")


def test_everything_that_differs_is_listed_at_once():
    found = {
        "weight": np.zeros((3, 2), np.float32),
        "scale": np.zeros(3, np.float32),
        "shift": np.zeros(3, np.float32),
        "old": np.zeros((), np.int64),
    }
    expected = SMALL | {"scale": np.zeros(3), "shift": np.zeros(3, np.float32)}
    with pytest.raises(StateError) as caught:
        check_state(expected, found, "model.safetensors does not fit Net")
    first, *lines = str(caught.value).splitlines()
    assert first.startswith("model.safetensors does not fit Net: 4 differences")
    assert [line.strip() for line in lines] == [
        "missing: bias, float64 (3,)",
        "unexpected: old, int64 ()",
        "different: weight, expected float32 (2, 3), got float32 (3, 2)",
        "different: scale, expected float64 (3,), got float32 (3,)",
    ]
