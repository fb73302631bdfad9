"""Results as a campaign has them."""

from gradcheck.campaigns.judge import no_verdict


def result(name, verdict="pass", **more):
    found = {"check": name, "kind": "marked", "seed": 1, **no_verdict(verdict, "")}
    return found | {"seconds": 0.5, "worker": "here:1", "tries": 1, **more}
