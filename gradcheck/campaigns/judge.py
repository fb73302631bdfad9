"""Run one check in this process; the result as plain data."""

from __future__ import annotations

import json
import math
import traceback
from typing import TYPE_CHECKING, Any

from gradcheck.campaigns.check import Check, seed_of
from gradcheck.campaigns.marks import marks_of
from gradcheck.campaigns.target import loaded
from gradcheck.errors import CallError
from gradcheck.report.page import verification_weaknesses, weaknesses

if TYPE_CHECKING:
    from gradcheck.verification.tally import Tally

TEXT = 4_000
"""Most characters of a text in a result."""

FOREVER = 1e9
"""Seconds that `verify` has: a campaign has a limit of its own, and what is tried must not depend on how fast a machine is."""


def judged(check: Check, seed: int, drawn: bool = False) -> dict[str, Any]:
    """A result, see `gradcheck.campaigns.results`. drawn: with pictures. It raises nothing but what ends the process."""
    own = seed_of(check.id, seed)
    result = {"check": check.id, "kind": check.kind, "seed": own}
    try:
        return result | (_marked if check.kind == "marked" else _registered)(check, own, drawn)
    except CallError as error:
        return result | no_verdict("error", f"{check.id}: {error}")
    except SystemExit as error:
        words = f"the code under check ended the program (SystemExit: {error.code})"
        return result | no_verdict("error", f"{check.id}: {words}; it has to return or to raise an error")
    except BaseException as error:  # noqa: BLE001 - of ours or of the code under check
        lines = "".join(traceback.format_exception(error))[-TEXT:]
        return result | no_verdict("error", f"{check.id}: {type(error).__name__}: {error}"[:TEXT], lines)


def no_verdict(verdict: str, text: str, output: str = "") -> dict[str, Any]:
    """The part of a result that says why there is none."""
    return {
        "verdict": verdict,
        "text": text,
        "examples": 0,
        "verdicts": {},
        "sensitivity": None,
        "weak": [],
        "report": None,
        "output": output,
    }


def _marked(check: Check, seed: int, drawn: bool) -> dict[str, Any]:
    from gradcheck.backends import has_gradient
    from gradcheck.explore.verify import verify
    from gradcheck.report.failure import GradientError

    known = marks_of(loaded(check.module, check.file))
    if check.name not in known:
        raise CallError(f"there is no mark named {check.name!r} in {check.module} here: is it the same file?")
    mark = known[check.name]
    options: dict[str, Any] = {"max_seconds": FOREVER, **mark.options}
    if check.examples:
        options["max_examples"] = check.examples
    like = mark.example()
    reference = "reference" in options
    if not reference and not has_gradient(mark.function, options.get("vjp"), like):
        raise CallError(
            "a function without a rule, and the mark does not say whose gradient is to be checked: write "
            "@gradcheck.checked(like=..., vjp=rule), or give Tensors in like= to check gradcore's own derivative"
        )
    if like is None and "domain" not in options and not hasattr(mark.function, "spec"):
        raise CallError("the mark has no example: write @gradcheck.checked(like=(x, ...))")
    result: Any
    try:
        result = verify(mark.function, like=like, seed=seed, raise_exception=False, **options)
    except GradientError as error:  # of the example itself, which no other can be drawn around
        result = error.report
    plain = json.loads(result.to_json())
    notable = plain["verdict"] != "pass" or bool(plain.get("edges"))
    return {
        "verdict": plain["verdict"],
        "text": _cut(str(result)) if notable else "",
        "examples": plain.get("examples", 1),
        "verdicts": plain.get("verdicts", {plain["verdict"]: 1}),
        "sensitivity": plain["sensitivity"],
        "weak": _weak(plain),
        "report": plain if notable else None,
        **({"pictures": result.drawn()} if drawn and notable else {}),
        "output": "",
    }


def _weak(plain: dict[str, Any]) -> list[str]:
    """What the verdict on a mark leaves open, a sentence each; not what is never tried without being requested."""
    found = verification_weaknesses(plain) if "examples" in plain else weaknesses(plain)
    return [_cut(text) for text in found if not text.startswith(("Not tried", "Set aside"))]


def _registered(check: Check, seed: int, drawn: bool) -> dict[str, Any]:
    from gradcheck.campaigns.registered import EXAMPLES, judged
    from gradcheck.report.failure import GradientError
    from gradcheck.verification import VerificationError

    loaded(check.module, check.file)
    try:
        tally, error = judged(
            check.kind, check.module, check.name, check.what, check.examples or EXAMPLES, seed
        )
    except LookupError as found:
        raise CallError(f"{found.args[0]} here: is it the same version?") from found
    verdict, text, report = "pass", "", None
    pictures: list[Any] = []
    if error is not None:
        verdict, text = "fail", str(error)
        if isinstance(error, GradientError):
            report = json.loads(error.report.to_json())
            pictures = error.report.drawn() if drawn else []
    else:
        try:
            tally.conclude(everything=False)
        except VerificationError as unclear:
            verdict, text = "inconclusive", str(unclear)
    size = tally.sensitivity
    return {
        "verdict": verdict,
        "text": _cut(text),
        "examples": tally.examples,
        "verdicts": dict(tally.counts),
        "sensitivity": size if size is not None and math.isfinite(size) else None,
        "weak": _weak_of(tally) if error is None else [],
        "report": report,
        **({"pictures": pictures} if pictures else {}),
        "output": "",
    }


def _weak_of(tally: Tally) -> list[str]:
    """The same of examples that were drawn."""
    n = tally.examples
    found = []
    if tally.vacuous:
        found.append(f"Vacuous: {tally.vacuous} of {n} examples had a gradient of zero.")
    if tally.inconclusive:
        first = tally.reasons[0].partition("\n")[0]
        found.append(f"Inconclusive: {tally.inconclusive} of {n} examples. The first one: {_cut(first)}.")
    if tally.hidden:
        found.append(
            f"Out of sight: {tally.hidden:,} entries, over all examples that passed, are too small to be judged."
        )
    return found


def _cut(text: str) -> str:
    return text if len(text) <= TEXT else f"{text[:TEXT]} [{len(text) - TEXT:,} more characters]"
