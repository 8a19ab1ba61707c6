"""The command line by which a run of ``protocol fuzz`` can be had again."""

import pytest

from protocol.cli.fuzz import _command


def test_the_command_to_have_a_run_again_says_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["protocol", "fuzz", "ws://a", "--token", "eyJ.a", "--token=eyJ.b", "--clients", "2"]
    monkeypatch.setattr("sys.argv", given)
    assert _command(7) == "protocol fuzz ws://a --token '…' '--token=…' --clients 2 --seed 7"
