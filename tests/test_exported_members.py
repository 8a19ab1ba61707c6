from types import ModuleType

import protocol


def test_what_is_importable_is_exported_and_sorted() -> None:
    members = {name for name, value in vars(protocol).items() if not name.startswith("_")}
    modules = {name for name in members if isinstance(getattr(protocol, name), ModuleType)}
    assert members - modules == set(protocol.__all__)
    # As ruff sorts them: constants, classes, functions.
    assert protocol.__all__ == sorted(
        protocol.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )
