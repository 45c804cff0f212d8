"""Addresses of servers: which are valid, why others are refused, and the names of models there."""

from __future__ import annotations

import pytest

from collagebench.addresses import address, check_endpoints
from collagebench.errors import UsageError


@pytest.mark.parametrize(
    ("text", "target", "secure", "path"),
    [
        ("grpc://localhost:8001", "localhost:8001", False, ""),
        ("grpcs://triton.example.org:443/resnet", "triton.example.org:443", True, "resnet"),
        ("grpc://10.0.0.7:8001/", "10.0.0.7:8001", False, ""),
        ("grpc://[::1]:8001/a%20b", "[::1]:8001", False, "a b"),
        ("grpcs://[2001:db8::7]:1/v1/x", "[2001:db8::7]:1", True, "v1/x"),
    ],
)
def test_what_an_address_says(text: str, target: str, secure: bool, path: str) -> None:
    """An address gives host and port, whether TLS is used, and a model's name."""
    found = address(text)
    assert (found.target, found.secure, found.path) == (target, secure, path)
    assert str(found) == f"{'grpcs' if secure else 'grpc'}://{target}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("localhost:8001", "must begin with grpc://"),
        ("http://localhost:8001", "must begin with grpc://"),
        ("grpc://localhost", "needs a port"),
        ("grpc://localhost:0", "needs a port"),
        ("grpc://localhost:99999", "is not an address"),
        ("grpc://localhost:x", "is not an address"),
        ("grpc://:8001", "has no valid host"),
        ("grpc://-x:8001", "has no valid host"),
        ("grpc://[::1%25eth0]:8001", "has no valid host"),
        ("grpc://a b:8001", "has no valid host"),
        ("grpc://unix%3A:8001/etc", "has no valid host"),
        ("grpc://localhost:8001?x=1", "after ? or #"),
        ("grpc://localhost:8001/a#b", "after ? or #"),
        ("grpc://localhost:8001/{rule}", "{rule}"),
        ("grpc://localhost:8001/a%1b", "unprintable"),
    ],
)
def test_what_is_no_address(text: str, why: str) -> None:
    """An invalid address raises a UsageError that names --endpoint and says why."""
    with pytest.raises(UsageError, match=f"(?s)--endpoint.*{why.replace('?', '[?]').replace('{', '[{]')}"):
        address(text)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    """An address with a password is refused without repeating it, since it would be in records and process lists."""
    with pytest.raises(UsageError, match="--token-file") as caught:
        address("grpcs://me:hunter2@host:1/x")
    assert "hunter2" not in str(caught.value)


def test_what_models_are_called() -> None:
    """The path is the single's name, or a pattern for all models; without one, the manifest's names are used."""
    plain, named, by_role, by_name = (
        address(f"grpc://h:1{path}") for path in ("", "/resnet", "/photos-{role}", "/{model}-v2")
    )
    assert [plain.model(role, "m") for role in ("single", "collage")] == ["m", "m"]
    assert [named.model(role, "m") for role in ("single", "collage")] == ["resnet", "m"]
    assert [by_role.model(role, "m") for role in ("single", "collage")] == ["photos-single", "photos-collage"]
    assert by_name.model("single", "{role}") == "{role}-v2"


@pytest.mark.parametrize(
    ("host", "stays"),
    [("localhost", True), ("127.0.0.9", True), ("[::1]", True), ("localhost.example.org", False), ("10.0.0.1", False)],
)
def test_what_stays_on_this_machine(host: str, stays: bool) -> None:
    """Only addresses of the loopback interface count as this machine."""
    assert address(f"grpc://{host}:1").is_loopback is stays


def test_every_server_needs_a_worker() -> None:
    """There must be at least one server, and a worker for each server."""
    check_endpoints(["grpc://a:1", "grpc://a:1"], 2)
    with pytest.raises(UsageError, match="needs servers"):
        check_endpoints([], 10)
    with pytest.raises(UsageError, match="grpc://b:1 would have nothing to do"):
        check_endpoints(["grpc://a:1", "grpc://b:1"], 1)
