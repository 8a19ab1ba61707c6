"""How many examples property tests try, on each occasion."""

import os
from datetime import timedelta
from typing import Any, Final

from hypothesis import HealthCheck, settings

ORDINARY: Final = 100
"""What a test tries in an ordinary run if it says nothing else."""

# A machine that is busy makes everything slow, which says nothing about a test.
quick = settings(deadline=None, max_examples=ORDINARY, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", quick)
settings.register_profile("ci", quick, derandomize=True, print_blob=True)
settings.register_profile(
    "long",
    deadline=timedelta(seconds=60),
    max_examples=50 * ORDINARY,
    suppress_health_check=list(HealthCheck),
)


def load() -> None:
    """Load the profile that the environment asks for; the option ``--hypothesis-profile`` comes after it."""
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))


def examples(number: int, **options: Any) -> settings:
    """Settings of a test that tries ``number`` examples in an ordinary run, and as many times more in a longer one.

    ``@settings(max_examples=…)`` would hold the long run to the same number.
    """
    return settings(max_examples=number * settings().max_examples // ORDINARY, **options)
