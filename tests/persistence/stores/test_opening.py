"""What names a store, and what does not; no message repeats what may be a password."""

from __future__ import annotations

import inspect
import subprocess
from pathlib import Path

import pytest

import uspnb.persistence.stores
from uspnb.errors import DomainError
from uspnb.persistence.stores import MemoryStore, RedisStore, SqliteStore, open_store, register_store
from uspnb.persistence.stores.redis_store import PASSWORD, USER, redis_address

from .user_store import NamedStore

SECRET = "hunter2"


def test_a_name_tells_the_kind(tmp_path: Path) -> None:
    assert type(open_store("memory:")) is MemoryStore
    for url in (f"sqlite:{tmp_path / 'a.sqlite'}", str(tmp_path / "b.db"), tmp_path / "c.db"):
        store = open_store(url, timeout_s=1.0)
        assert isinstance(store, SqliteStore) and store.path.is_file()
        store.close()
    for url in ("redis://localhost", "REDIS://127.0.0.1:7000/3", "rediss://db.example/0", "unix:///run/redis.sock"):
        store = open_store(url, namespace="tenant", timeout_s=0.5, retries=0)
        assert isinstance(store, RedisStore) and store.namespace == "tenant"
        store.close()


@pytest.mark.parametrize("bad", ["", "memory", "sqlite:", "states", "http://host/x.db", f"redis:{SECRET}", "redis.db:"])
def test_what_names_no_store(bad: str) -> None:
    with pytest.raises(DomainError, match=r"memory:, sqlite:PATH, a path that ends in .db, or a redis://") as refusal:
        open_store(bad)
    assert SECRET not in str(refusal.value)


def test_an_option_of_another_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="MemoryStore has no option 'namespace'; it takes no options"):
        open_store("memory:", namespace="x")
    with pytest.raises(DomainError, match="SqliteStore has no option 'retries'; its options are timeout_s"):
        open_store(tmp_path / "a.db", retries=3)


def test_a_users_scheme_is_opened_with_its_own_options() -> None:
    register_store("named", NamedStore)
    with open_store("named:a") as first, open_store("NAMED:a", room=5) as second:
        assert isinstance(second, NamedStore) and second.room == 5
        version = first.put("key", b"x")
        assert second.compare_and_set("key", b"y", version) > version
    with pytest.raises(DomainError, match="this store has no option 'timeout_s'; its options are room"):
        open_store("named:a", timeout_s=1.0)
    lines = Path(inspect.getfile(NamedStore)).read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) < 40


@pytest.mark.parametrize(
    ("scheme", "reason"),
    [("redis", "one of the package's own"), ("c", "two or more small letters"), ("a b", "two or more small letters")],
)
def test_schemes_that_cannot_be_registered(scheme: str, reason: str) -> None:
    with pytest.raises(DomainError, match=reason):
        register_store(scheme, NamedStore)


def test_an_opener_that_gives_no_store_is_told_of() -> None:
    register_store("nothing", lambda address: address)  # type: ignore[arg-type, return-value]
    with pytest.raises(DomainError, match="what opens nothing: gave a str, which is no store"):
        open_store("nothing:a")


def test_every_public_name_is_there() -> None:
    assert all(hasattr(uspnb.persistence.stores, name) for name in uspnb.persistence.stores.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = uspnb.persistence.stores.nothing


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"redis://:{SECRET}@localhost", "set USPNB_STORE_PASSWORD"),
        (f"redis://user:{SECRET}@localhost:99999", "set USPNB_STORE_PASSWORD|cannot be read"),
        (f"redis://user:{SECRET}/x@localhost", "cannot be read|holds a user"),
        (f"redis://localhost?password={SECRET}", "an option that is not one of db, ssl_ca_certs"),
        (f"redis://localhost/0#{SECRET}", "option"),
        (f"redis://localhost/{SECRET}", "no number of a database"),
        (f"redis://localhost:{SECRET}", "cannot be read"),
        ("redis://", "names no host"),
        ("redis://localhost:0", "names no host"),
        ("unix://run/redis.sock", "three slashes"),
        ("http://localhost", "begins with redis://"),
    ],
)
def test_addresses_that_are_refused(url: str, reason: str) -> None:
    with pytest.raises(DomainError, match=reason) as refusal:
        redis_address(url, {})
    assert SECRET not in str(refusal.value) and refusal.value.__cause__ is None


def test_credentials_come_from_the_environment() -> None:
    address = redis_address("redis://localhost:7000", {USER: "me", PASSWORD: SECRET})
    assert (address.user, address.password, address.name) == ("me", SECRET, "redis://localhost:7000/0")
    assert SECRET not in repr(address) and address.hide(f"AUTH {SECRET} failed") == "AUTH [hidden] failed"
    assert redis_address("rediss://db.example", {PASSWORD: SECRET}).user == ""
    assert redis_address("unix:///run/redis.sock?db=2", {PASSWORD: SECRET}).name == "unix:///run/redis.sock"
    with pytest.raises(DomainError, match=r"unencrypted to db\.example; use rediss://"):
        redis_address("redis://db.example", {PASSWORD: SECRET})
    with pytest.raises(DomainError, match=f"{USER} is set and {PASSWORD} is not"):
        redis_address("redis://localhost", {USER: "me"})
    with pytest.raises(DomainError, match="not a int"):
        redis_address(3, {})


@pytest.mark.parametrize(
    "options", [{"namespace": ""}, {"namespace": "a:b"}, {"namespace": "x" * 101}, {"timeout_s": 0.0}, {"retries": -1}]
)
def test_options_of_redis_that_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(DomainError, match=next(iter(options))):
        open_store("redis://localhost", **options)


def test_the_script_that_installs_the_server_finds_one(project_root: Path) -> None:
    done = subprocess.run([project_root / ".ci" / "redis.sh"], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).name == "redis-server"
