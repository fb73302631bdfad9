"""What must hold of a function and its gradient beyond the value: small functions, each one property with a name.

`CONTRACTS` has them by name, in the order in which they are tried; those in `ON_REQUEST` are tried where they are named only.
"""

from gradcheck.contracts import effects, algebra, layouts, recorded, mixed, second  # noqa: I001 - this is the order in which they are tried
from gradcheck.contracts.base import (
    CONTRACTS,
    ON_REQUEST,
    Contract,
    Skip,
    contract,
    examine,
    of_every_subject,
)

__all__ = [
    "CONTRACTS",
    "ON_REQUEST",
    "Contract",
    "Skip",
    "algebra",
    "contract",
    "effects",
    "examine",
    "layouts",
    "mixed",
    "of_every_subject",
    "recorded",
    "second",
]
