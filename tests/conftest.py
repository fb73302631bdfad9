"""Settings for all tests."""

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

# One of these is chosen by --hypothesis-profile, or by HYPOTHESIS_PROFILE.
_COMMON = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=10, **_COMMON)
settings.register_profile("ci", max_examples=20, derandomize=True, **_COMMON)
settings.register_profile("nightly", max_examples=2000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
