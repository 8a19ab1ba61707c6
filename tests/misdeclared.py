"""How the tests hear of a misdeclaration."""

from collections.abc import Callable

import pytest

from protocol import ConfigurationError


def refusal(declare: Callable[[], object]) -> str:
    """What is said of a declaration that is refused."""
    with pytest.raises(ConfigurationError) as caught:
        declare()
    return str(caught.value)
