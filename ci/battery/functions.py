"""The functions and points of the truth battery, each runnable on float64 arrays and on mpmath numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np

DIGITS = 110
"""Digits of the truth."""

NAMES = {
    "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan, "exp": mpmath.exp, "log": mpmath.log,
    "sqrt": mpmath.sqrt, "tanh": mpmath.tanh, "sinh": mpmath.sinh, "cosh": mpmath.cosh, "arctan": mpmath.atan,
    "arcsin": mpmath.asin, "arccos": mpmath.acos, "arctanh": mpmath.atanh, "arcsinh": mpmath.asinh,
    "arccosh": mpmath.acosh, "expm1": mpmath.expm1, "log1p": mpmath.log1p, "abs": abs, "cbrt": mpmath.cbrt,
}  # fmt: skip

EXACT = SimpleNamespace(**{name: np.frompyfunc(function, 1, 1) for name, function in NAMES.items()})
EXACT.maximum = np.frompyfunc(max, 2, 1)
EXACT.minimum = np.frompyfunc(min, 2, 1)
EXACT.sum = np.sum

Body = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Case:
    """A function of one array, a point, a direction; `body(m, x)` with `m` NumPy or its mpmath twin."""

    family: str
    name: str
    body: Body
    x: np.ndarray
    v: np.ndarray
    inside: Any = None
    """Dtype that the float64 run casts its input to."""

    def f(self, x: np.ndarray) -> np.ndarray:
        """The function as a user would write it."""
        if self.inside is None:
            return np.asarray(self.body(np, x))
        return np.asarray(self.body(np, x.astype(self.inside))).astype(np.float64)

    def digits(self) -> float:
        """Decimal digits that the float64 run of a scalar function gets right at x."""
        with mpmath.workdps(DIGITS):
            exact = self.body(EXACT, np.array([mpmath.mpf(float(self.x[0]))]))[0]
            error = abs((mpmath.mpf(float(self.f(self.x)[0])) - exact) / exact)
            return float(-mpmath.log10(error)) if error else 16.0

    def truth(self) -> Any:
        """Derivative along v by a central difference in DIGITS digits, an object array of mpmath numbers."""
        with mpmath.workdps(DIGITS):
            x = np.frompyfunc(lambda e: mpmath.mpf(float(e)), 1, 1)(self.x)
            v = np.frompyfunc(lambda e: mpmath.mpf(float(e)), 1, 1)(self.v)
            h = mpmath.mpf(10) ** -45 * min(
                (abs(a / b) for a, b in zip(x.flat, v.flat, strict=True) if a and b), default=1
            )
            return np.asarray((self.body(EXACT, x + h * v) - self.body(EXACT, x - h * v)) / (2 * h))


SMOOTH: dict[str, Body] = {
    "sin": lambda m, x: m.sin(x),
    "cos": lambda m, x: m.cos(x),
    "exp": lambda m, x: m.exp(x),
    "tanh": lambda m, x: m.tanh(x),
    "arctan": lambda m, x: m.arctan(x),
    "sinh": lambda m, x: m.sinh(x),
    "arcsinh": lambda m, x: m.arcsinh(x),
    "sigmoid": lambda m, x: 1 / (1 + m.exp(-x)),
    "softplus": lambda m, x: m.log1p(m.exp(x)),
    "silu": lambda m, x: x / (1 + m.exp(-x)),
    "square": lambda m, x: x * x,
    "cube": lambda m, x: x * x * x - 2 * x,
    "quartic": lambda m, x: x**4 - 3 * x**2 + x,
    "rational": lambda m, x: (x + 2) / (x * x + 1),
    "gauss": lambda m, x: m.exp(-x * x),
    "sqrt of 1 + x²": lambda m, x: m.sqrt(1 + x * x),
    "log of 1 + x²": lambda m, x: m.log1p(x * x),
    "sin exp": lambda m, x: m.exp(m.sin(x)),
    "x sin x": lambda m, x: x * m.sin(x),
    "log": lambda m, x: m.log(m.abs(x)),
    "sqrt": lambda m, x: m.sqrt(m.abs(x)),
    "reciprocal": lambda m, x: 1 / x,
    "power -1.5": lambda m, x: m.abs(x) ** -1.5,
    "cbrt": lambda m, x: m.cbrt(m.abs(x)),
    "linear": lambda m, x: 3 * x - 1,
    "gelu": lambda m, x: 0.5 * x * (1 + m.tanh(0.7978845608028654 * (x + 0.044715 * x**3))),
}


def _scaled(body: Body, inner: float, outer: float) -> Body:
    return lambda m, x: outer * body(m, x / inner)


def _point(value: float, speed: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    return np.array([value]), np.array([speed])


def smooth(rng: np.random.Generator) -> Iterator[Case]:
    """Smooth functions, arguments and values scaled by 1e-12 to 1e12."""
    for name, body in SMOOTH.items():
        for power in range(-12, 13, 2):
            inner, outer = 10.0**power, 10.0 ** float(rng.integers(-12, 13))
            x = float(rng.uniform(0.3, 2.5) * rng.choice([-1, 1]))
            speed = inner * float(rng.uniform(0.5, 2)) if power % 4 else 1.0
            yield Case(
                "smooth",
                f"{outer:g} {name}(x / {inner:g}) at {x:.3g}",
                _scaled(body, inner, outer),
                *_point(x * inner, speed),
            )


def steep(rng: np.random.Generator) -> Iterator[Case]:
    """Large slopes and short length scales."""
    for k in range(1, 9):
        a = 10.0**k
        for name, body in {
            "tanh": lambda m, x, a=a: m.tanh(a * (x - 1)),
            "sigmoid": lambda m, x, a=a: 1 / (1 + m.exp(-a * (x - 1))),
            "gauss": lambda m, x, a=a: m.exp(-((a * (x - 1)) ** 2)),
            "arctan": lambda m, x, a=a: m.arctan(a * (x - 1)),
            "sqrt": lambda m, x, a=a: m.sqrt(1 + (a * (x - 1)) ** 2),
            "added": lambda m, x, a=a: x + m.tanh(a * (x - 1)) / a,
        }.items():
            yield Case("steep", f"{name} of width {1 / a:g}", body, *_point(1 + float(rng.normal()) / a))
    for power in (5, 10, 20, 50, 100, -20, 300):
        x = float(rng.uniform(0.8, 1.25))
        yield Case("steep", f"x^{power} at {x:.3g}", lambda m, x, p=power: x**p, *_point(x))
    for rate in (30.0, 100.0, 300.0):
        for x in (0.5, 1.0, 2.0):
            yield Case("steep", f"exp({rate:g} x) at {x}", lambda m, x, r=rate: m.exp(r * x), *_point(x))


def flat(rng: np.random.Generator) -> Iterator[Case]:
    """Derivatives that all but vanish next to the values."""
    for x in (3.0, 5.0, 8.0, 12.0, 16.0, 18.0):
        for sign in (-1, 1):
            yield Case("flat", f"tanh at {sign * x}", lambda m, x: m.tanh(x), *_point(sign * x))
            yield Case("flat", f"gauss at {sign * x}", lambda m, x: m.exp(-x * x), *_point(sign * x))
            yield Case("flat", f"sigmoid at {sign * x}", lambda m, x: 1 / (1 + m.exp(-x)), *_point(sign * x))
    for power in (2, 3, 4, 5, 7, 9):
        for at in (0.0, 1e-6, 1e-3, 0.1):
            yield Case("flat", f"x^{power} at {at:g}", lambda m, x, p=power: x**p, *_point(at))
            yield Case(
                "flat",
                f"1 + (x-1)^{power} at 1 + {at:g}",
                lambda m, x, p=power: 1 + (x - 1) ** p,
                *_point(1 + at),
            )
    for k in range(1, 13):
        a = 10.0**-k
        yield Case(
            "flat", f"1 + {a:g} sin x", lambda m, x, a=a: 1 + a * m.sin(x), *_point(float(rng.uniform(-2, 2)))
        )
        yield Case("flat", f"cos at {a:g}", lambda m, x: m.cos(x), *_point(a))


def oscillating(rng: np.random.Generator) -> Iterator[Case]:
    """Waves shorter than the first step, alone or as ripples."""
    for k in np.arange(0.5, 7.1, 0.5):
        w = float(np.round(10.0**k, 1))
        for _ in range(2):
            x = float(rng.uniform(0.5, 2))
            yield Case("oscillating", f"sin({w:g} x)", lambda m, x, w=w: m.sin(w * x), *_point(x))
            yield Case(
                "oscillating", f"x + sin({w:g} x)/{w:g}", lambda m, x, w=w: x + m.sin(w * x) / w, *_point(x)
            )
            yield Case(
                "oscillating", f"exp x · cos({w:g} x)", lambda m, x, w=w: m.exp(x) * m.cos(w * x), *_point(x)
            )
    for power in range(3, 9):
        w = 2.0**power * np.pi
        yield Case("oscillating", f"sin(2^{power} π x) at 1", lambda m, x, w=w: m.sin(w * x), *_point(1.0))
        yield Case("oscillating", f"x + sin(2^{power} π x)", lambda m, x, w=w: x + m.sin(w * x), *_point(1.0))
    for x in (0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4):
        yield Case("oscillating", f"sin(1/x) at {x:g}", lambda m, x: m.sin(1 / x), *_point(x))
        yield Case("oscillating", f"x² sin(1/x) at {x:g}", lambda m, x: x * x * m.sin(1 / x), *_point(x))


KINKED: dict[str, Body] = {
    "abs": lambda m, d: m.abs(d),
    "relu": lambda m, d: m.maximum(d, 0 * d),
    "leaky": lambda m, d: m.maximum(d, 0.01 * d),
    "hinge": lambda m, d: m.maximum(1 - 3 * d, 1 + 0 * d),
    "clip": lambda m, d: m.minimum(m.maximum(d, -1 + 0 * d), 0 * d),
    "huber-like": lambda m, d: m.abs(d) * d,
    "max of smooth": lambda m, d: m.maximum(m.sin(d), m.exp(d) - 1 - 0.5 * d),
    "elu": lambda m, d: m.maximum(d, 0 * d) + m.minimum(m.exp(d) - 1, 0 * d) * 0.5,
}


def near_kinks(rng: np.random.Generator) -> Iterator[Case]:
    """A kink at every distance from 1 down to 1e-13 of the point."""
    for name, body in KINKED.items():
        for power in range(14):
            for sign in (-1, 1):
                away = sign * 10.0**-power * float(rng.uniform(0.5, 2))
                yield Case(
                    "near kinks",
                    f"{name} {away:.2g} from its kink",
                    lambda m, x, b=body: b(m, x - 1),
                    *_point(1 + away),
                )
    for power in range(1, 9):
        yield Case(
            "near kinks", f"sin x + |x - 1| / 1e{power}",
            lambda m, x, c=10.0**-power: m.sin(x) + c * m.abs(x - 1), *_point(1 + 10.0 ** -float(rng.integers(2, 8))),
        )  # fmt: skip


def near_edges(rng: np.random.Generator) -> Iterator[Case]:
    """The end of the domain at every distance from 0.1 down to 1e-13."""
    bodies: dict[str, tuple[float, int, Body]] = {
        "log": (0.0, 1, lambda m, x: m.log(x)),
        "sqrt": (0.0, 1, lambda m, x: m.sqrt(x)),
        "power 1.5": (0.0, 1, lambda m, x: x * m.sqrt(x)),
        "x log x": (0.0, 1, lambda m, x: x * m.log(x)),
        "log of x - 1": (1.0, 1, lambda m, x: m.log(x - 1)),
        "sqrt of x - 1": (1.0, 1, lambda m, x: m.sqrt(x - 1)),
        "arcsin": (1.0, -1, lambda m, x: m.arcsin(x)),
        "arccos": (-1.0, 1, lambda m, x: m.arccos(x)),
        "arctanh": (1.0, -1, lambda m, x: m.arctanh(x)),
        "arccosh": (1.0, 1, lambda m, x: m.arccosh(x)),
        "log1p": (-1.0, 1, lambda m, x: m.log1p(x)),
        "sqrt of 1 - x²": (1.0, -1, lambda m, x: m.sqrt(1 - x * x)),
    }
    for name, (edge, side, body) in bodies.items():
        for power in range(1, 14):
            away = 10.0**-power * float(rng.uniform(0.5, 2))
            speed = 1.0 if edge else float(rng.choice([1.0, away]))
            yield Case(
                "near edges", f"{name} {away:.2g} from its edge", body, *_point(edge + side * away, speed)
            )


def near_poles(rng: np.random.Generator) -> Iterator[Case]:
    """A pole at every distance from 1 down to 1e-10."""
    bodies: dict[str, Body] = {
        "1/d": lambda m, d: 1 / d,
        "1/d²": lambda m, d: 1 / (d * d),
        "1 + d/(1+d) + 1e-3/d": lambda m, d: 1 + d / (2 + d) + 1e-3 / d,
        "cot": lambda m, d: m.cos(d) / m.sin(d),
        "log|d|": lambda m, d: m.log(m.abs(d)),
    }
    for name, body in bodies.items():
        for power in range(11):
            for sign in (-1, 1):
                away = sign * 10.0**-power * float(rng.uniform(0.5, 2))
                yield Case(
                    "near poles", f"{name} at {away:.2g}", lambda m, x, b=body: b(m, x - 1), *_point(1 + away)
                )


def cancelling(rng: np.random.Generator) -> Iterator[Case]:
    """Values that lose digits on the way; points at which fewer than 4 digits are left are no test and stay out."""
    bodies: dict[str, Body] = {
        "(1 - cos x)/x²": lambda m, x: (1 - m.cos(x)) / (x * x),
        "exp(x) - 1": lambda m, x: m.exp(x) - 1,
        "(exp(x) - 1)/x": lambda m, x: (m.exp(x) - 1) / x,
        "log(1 + x) - x": lambda m, x: m.log(1 + x) - x,
        "sqrt(1 + x) - 1": lambda m, x: m.sqrt(1 + x) - 1,
        "(1 + x)^3 - 1 - 3x": lambda m, x: (1 + x) ** 3 - 1 - 3 * x,
        "sin x - x": lambda m, x: m.sin(x) - x,
        "1e6 + x": lambda m, x: 1e6 + x,
        "(x + 1e8) - 1e8 + x²": lambda m, x: (x + 1e8) - 1e8 + x * x,
        "tan x - sin x": lambda m, x: m.tan(x) - m.sin(x),
    }
    for name, body in bodies.items():
        for power in np.arange(0, 9, 0.5):
            x = 10.0**-power * float(rng.uniform(0.3, 0.9))
            case = Case("cancelling", f"{name} at {x:.2g}", body, *_point(x, 1.0 if power % 1 else x))
            if case.digits() >= 4:
                yield case
    for n in (10, 100, 1000, 10000):
        for spread in (0, 3, 6):
            c = rng.standard_normal(n) * 10.0 ** rng.uniform(0, spread, n)
            x = rng.uniform(0.5, 1.5, n)
            yield Case(
                "cancelling", f"sum of {n} terms over {spread} decades",
                lambda m, x, c=c: m.sum(c * m.sin(x)) if len(c) <= 1000 else m.sum(c * x * x), x, x * np.sign(rng.normal(size=n)),
            )  # fmt: skip


def float32_inside(rng: np.random.Generator) -> Iterator[Case]:
    """Functions that compute in float32 whatever they are given; constants are exact in float32."""
    kept = {name: body for name, body in SMOOTH.items() if name != "gelu"}
    for name, body in kept.items():
        for _ in range(4):
            x = float(np.float32(rng.uniform(0.3, 2.5)))
            yield Case("float32 inside", f"{name} at {x:.4g}", body, *_point(x), inside=np.float32)
        n = int(rng.choice([10, 100]))
        x, c = rng.uniform(0.3, 2.5, n).astype(np.float32), rng.integers(-8, 9, n).astype(np.float32)
        v = x * np.sign(rng.normal(size=n))
        yield Case(
            "float32 inside", f"sum of {n} {name}",
            lambda m, x, b=body, c=c: m.sum(c.astype(object if x.dtype == object else c.dtype) * b(m, x)),
            x.astype(np.float64), v.astype(np.float64), inside=np.float32,
        )  # fmt: skip


def many(rng: np.random.Generator) -> Iterator[Case]:
    """Functions of many numbers, along random directions."""
    bodies: dict[str, Body] = {
        "logsumexp": lambda m, x: m.log(m.sum(m.exp(x))),
        "softmax": lambda m, x: m.exp(x) / m.sum(m.exp(x)),
        "norm": lambda m, x: m.sqrt(m.sum(x * x)),
        "layer norm": lambda m, x: (
            (x - m.sum(x) / len(x)) / m.sqrt(m.sum((x - m.sum(x) / len(x)) ** 2) / len(x) + 1e-5)
        ),
        "product": lambda m, x: np.prod(1 + x / len(x)),
        "sum of relu": lambda m, x: m.sum(m.maximum(x, 0 * x)),
        "sum of |x| / n": lambda m, x: m.sum(m.abs(x)) / len(x),
        "cumulative": lambda m, x: np.cumsum(x * x),
        "max": lambda m, x: np.max(x, keepdims=True),
        "relu of a mix": lambda m, x: m.maximum(x + np.roll(x, 1) / 2, 0 * x),
    }
    for name, body in bodies.items():
        for n in (2, 5, 30, 200):
            for scale in (1e-3, 1.0):
                x = scale * rng.standard_normal(n)
                v = x * rng.choice([-1, 1], n) if n % 2 else rng.standard_normal(n) * scale
                yield Case("many inputs", f"{name} of {n} at scale {scale:g}", body, x, v)


FAMILIES = (
    smooth, steep, flat, oscillating, near_kinks, near_edges, near_poles, cancelling, float32_inside, many,
)  # fmt: skip


def cases(seed: int = 0) -> list[Case]:
    """The whole battery, the same for the same seed."""
    return [
        case
        for number, family in enumerate(FAMILIES)
        for case in family(np.random.default_rng([seed, number]))
    ]
