"""The token: where it may come from, which contents are refused, and that nothing shows it."""

from __future__ import annotations

import os
import subprocess
import traceback
from pathlib import Path

import pytest

from collagebench.config import Config, as_json
from collagebench.errors import UsageError
from collagebench.fleet.bearer import MOST_BYTES, VARIABLE, Token, take_token
from collagebench.read_profile import read_profile

SECRET = "tok-77c1e0"


def test_it_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file wins over the variable, which is removed in any case, so that no child inherits it."""
    file = tmp_path / "token"
    file.write_text(f" {SECRET}\n")
    for chosen, expected in ((file, SECRET), (None, "tok-other")):
        monkeypatch.setenv(VARIABLE, "tok-other")
        assert take_token(chosen, wanted=True) == Token(expected)
        assert VARIABLE not in os.environ
    monkeypatch.setenv(VARIABLE, "tok-other")
    assert take_token(None, wanted=False) is None
    assert VARIABLE not in os.environ
    assert take_token(None, wanted=True) is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "holds no token"),
        (b" \n", "holds no token"),
        (f"{SECRET}\n{SECRET}".encode(), "holds no token"),
        (f"{SECRET}\x00".encode(), "holds no token"),
        (f"{SECRET} é".encode("latin-1"), "holds no token"),
        (b"x" * (MOST_BYTES + 1), "is not a token"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_token(content: bytes | None, why: str, tmp_path: Path) -> None:
    """A file without a valid token raises a UsageError that names the file and shows none of its contents."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=why) as caught:
        take_token(file, wanted=True)
    assert str(file) in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_directory_is_no_token_and_is_closed_again(tmp_path: Path) -> None:
    """A directory in place of the file is refused, and no descriptor stays open."""
    before = os.listdir("/proc/self/fd")
    with pytest.raises(UsageError, match="cannot be read"):
        take_token(tmp_path, wanted=True)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_it_may_come_through_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that a program writes to is read to its end, and one that nobody opens is refused."""
    reading, writing = os.pipe()
    os.write(writing, SECRET.encode())
    os.close(writing)
    assert take_token(Path(f"/dev/fd/{reading}"), wanted=True) == Token(SECRET)
    os.close(reading)
    named = tmp_path / "pipe"
    os.mkfifo(named)
    monkeypatch.setattr("collagebench.fleet.bearer.PATIENCE", 0.01)
    with pytest.raises(UsageError, match="holds no token"):
        take_token(named, wanted=True)
    monkeypatch.setattr("collagebench.fleet.bearer.PATIENCE", 60.0)
    with subprocess.Popen(["sh", "-c", f"echo {SECRET} > pipe"], cwd=tmp_path):
        assert take_token(named, wanted=True) == Token(SECRET)


def test_it_does_not_show_itself() -> None:
    """A token does not show when it is printed, and is hidden in what a server quotes."""
    token = Token(SECRET)
    assert SECRET not in f"{token} {token!r} {[token]}"
    assert token.hidden_in(f"Bearer {SECRET}: no such user") == "Bearer …: no such user"
    assert dict(token.metadata) == {"authorization": f"Bearer {SECRET}"}


def test_no_config_holds_it(tmp_path: Path) -> None:
    """No config and so no run directory has the token, and no profile, which others may write, may name its file."""
    assert not [name for name in as_json(Config()) if "token" in name]
    profile = tmp_path / "p.toml"
    for key in ("token-file", "token_file"):
        profile.write_text(f'fleet = "endpoint"\n{key} = "/etc/passwd"\n')
        with pytest.raises(UsageError, match=r"line 2.*use --token-file"):
            read_profile(profile)
