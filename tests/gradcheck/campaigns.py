"""Results as a campaign has them."""

from gradcheck.campaigns.campaign import Campaign
from gradcheck.campaigns.judge import no_verdict
from gradcheck.campaigns.page import campaign_page
from gradcheck.campaigns.plan import Plan

VERSIONS = {"python": "3.12.0", "numpy": "2.1.0", "source": "ab12"}


def result(name, verdict="pass", **more):
    found = {"check": name, "kind": "marked", "seed": 1, **no_verdict(verdict, "")}
    return found | {"seconds": 0.5, "worker": "here:1", "tries": 1, **more}


def of(results, unchecked=(), target="mine.py"):
    """A campaign with these results."""
    return Campaign(Plan(target, (), tuple(unchecked), VERSIONS), 7, tuple(results))


def page_of(results, unchecked=(), target="mine.py"):
    """Its page, of a fixed date."""
    return campaign_page(of(results, unchecked, target)._plain(), "2026-01-01 12:00 UTC")
