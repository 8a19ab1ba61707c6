"""The command line by which a run of ``protocol fuzz`` can be had again."""

import pytest

from protocol.cli.fuzz import _command


def test_the_command_to_have_a_run_again_says_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["protocol", "fuzz", "ws://a", "--token", "eyJ.a", "--token=eyJ.b", "--clients", "2"]
    monkeypatch.setattr("sys.argv", given)
    assert _command(7) == "protocol fuzz ws://a --token '…' '--token=…' --clients 2 --seed 7"


@pytest.mark.parametrize("given", [["--opening", "{}"], ["--opening={}"]])
def test_the_command_to_have_a_run_again_says_no_secret_of_an_opening(
    given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [one.replace("{}", '{"type":"auth","access_token":"eyJ.a"}') for one in given]
    monkeypatch.setattr("sys.argv", ["protocol", "fuzz", "ws://a", *arguments, "--seed", "7"])
    assert '{"type":"auth","access_token":"<redacted>"}' in _command(7)
    monkeypatch.setattr("sys.argv", ["protocol", "fuzz", "ws://a", "--opening", "app:token_of"])
    assert _command(7) == "protocol fuzz ws://a --opening app:token_of --seed 7"


def test_the_command_to_have_a_run_again_writes_no_test(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["protocol", "fuzz", "--write-test", "a.py", "app:make", "--write-test=b.py", "--seed", "7"]
    monkeypatch.setattr("sys.argv", given)
    assert _command(7) == "protocol fuzz app:make --seed 7"
