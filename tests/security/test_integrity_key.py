"""What a checksum cannot promise and a key can: snapshots and audit lines that nobody without it could have written."""

from __future__ import annotations

import hmac
from pathlib import Path

import pytest

from uspnb import FunctionalPredictor, PredictorConfig
from uspnb.cli import main
from uspnb.config.audit import AuditLog, AuditRecord, iso_time, verify_audit
from uspnb.errors import DomainError, IntegrityError
from uspnb.persistence.snapshots import inspect_file, read_snapshot, snapshot_of, write_snapshot
from uspnb.persistence.snapshots.payload import Payload
from uspnb.runtime.credentials import INTEGRITY_KEY, integrity_key
from uspnb.runtime.files import START, chained

KEY, OTHER = "a key of more than sixteen bytes", "another key of more than that"
NOW = 1_771_664_400_000_000_000
CONFIG = PredictorConfig()


@pytest.fixture(scope="module")
def payload() -> Payload:
    """Of a cold state."""
    return snapshot_of(FunctionalPredictor(CONFIG).init_state(), CONFIG, timestamp_ns=NOW)


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The key is in the environment."""
    monkeypatch.setenv(INTEGRITY_KEY, KEY)
    return monkeypatch


def record(number: int) -> AuditRecord:
    return AuditRecord(iso_time(NOW + number), NOW + number, "config.toml", "test", "watching")


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "mutations.log")


def test_a_key_that_is_no_secret_is_refused() -> None:
    assert integrity_key({}) is None and integrity_key({INTEGRITY_KEY: ""}) is None
    with pytest.raises(DomainError, match="has 5 bytes and needs 16 or more; make one: openssl"):
        integrity_key({INTEGRITY_KEY: "short"})


def test_a_sealed_snapshot_is_read_with_its_key_only(
    keyed: pytest.MonkeyPatch, payload: Payload, tmp_path: Path
) -> None:
    path = tmp_path / "one.snapshot"
    write_snapshot(path, payload)
    data = path.read_bytes()
    # RFC 2104 by the standard library, over everything but the seal itself.
    assert data[-64:].decode() == hmac.digest(KEY.encode(), data[:-64], "sha256").hex()
    assert read_snapshot(path)["config"] == payload["config"] and inspect_file(path).valid
    keyed.setenv(INTEGRITY_KEY, OTHER)
    with pytest.raises(IntegrityError, match="sealed with another key than USPNB_INTEGRITY_KEY"):
        read_snapshot(path)
    keyed.delenv(INTEGRITY_KEY)
    with pytest.raises(IntegrityError, match="sealed with a key; put the key into USPNB_INTEGRITY_KEY"):
        read_snapshot(path)


def test_who_asks_for_seals_takes_no_checksum(
    monkeypatch: pytest.MonkeyPatch, payload: Payload, tmp_path: Path
) -> None:
    """Else whoever can write the file writes one with a checksum."""
    path = tmp_path / "one.snapshot"
    write_snapshot(path, payload)
    monkeypatch.setenv(INTEGRITY_KEY, KEY)
    with pytest.raises(IntegrityError, match="a checksum but no seal"):
        read_snapshot(path)
    # Nor does the version of a seal over a checksum help.
    data = bytearray(path.read_bytes())
    data[8] = 2
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="does not match"):
        read_snapshot(path)


@pytest.mark.parametrize("cut", [1, 2, 4])
@pytest.mark.parametrize("with_key", [False, True])
def test_an_audit_log_without_its_end_does_not_verify(
    log: AuditLog, cut: int, with_key: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if with_key:
        monkeypatch.setenv(INTEGRITY_KEY, KEY)
    for number in range(5):
        log.append(record(number))
    assert verify_audit(log.path).text() == "5 lines, chain intact" + ", 5 sealed with the key" * with_key
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:-cut]))
    check = verify_audit(log.path)
    assert not check.ok and "its end was cut off" in check.reason
    with pytest.raises(IntegrityError, match="to begin a new log, move both away"):
        log.append(record(9))


def test_a_seal_that_is_late_is_a_seal_all_the_same(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between the line and the seal, or a disk that was full for the seal."""
    log.append(record(0))
    before = log.seal_path.read_bytes()
    for number in (1, 2, 3):
        log.append(record(number))
    log.seal_path.write_bytes(before)
    assert verify_audit(log.path).ok
    log.append(record(4))
    assert verify_audit(log.path).ok and log.seal_path.read_bytes() != before


def test_a_log_that_was_moved_away_begins_anew(log: AuditLog) -> None:
    log.append(record(0))
    log.path.unlink()
    log.append(record(1))
    assert verify_audit(log.path).text() == "1 lines, chain intact"


def test_who_has_no_key_cannot_write_a_sealed_log_anew(log: AuditLog, keyed: pytest.MonkeyPatch) -> None:
    for number in range(3):
        log.append(record(number))
    whole = log.path.read_bytes()
    lines = whole.splitlines(keepends=True)

    def seal_without_key(head: str) -> None:
        log.seal_path.write_bytes(chained({"head": head, "version": 1}, START)[0])

    # The end cut off, with a seal of their own making for what is left.
    heads = [one.hash for one in log.read()[0]]
    log.path.write_bytes(b"".join(lines[:2]))
    seal_without_key(heads[1])
    assert "missing or has no seal" in verify_audit(log.path).reason
    log.seal_path.unlink()
    assert "missing or has no seal" in verify_audit(log.path).reason
    # A line changed, bound by a plain hash.
    keyed.delenv(INTEGRITY_KEY)
    other = AuditLog(log.path.with_name("other.log"))
    other.append(record(7))
    log.path.write_bytes(whole + other.path.read_bytes())
    keyed.setenv(INTEGRITY_KEY, KEY)
    assert verify_audit(log.path).first_bad_line == 4
    # The whole log of plain hashes: it is intact, and says that no line has a seal.
    log.path.write_bytes(other.path.read_bytes())
    log.seal_path.write_bytes(other.seal_path.read_bytes())
    assert verify_audit(log.path).text() == "1 lines, chain intact, none sealed with the key"


def test_a_log_that_began_without_a_key_goes_on_with_one(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append(record(0))
    monkeypatch.setenv(INTEGRITY_KEY, KEY)
    log.append(record(1))
    assert verify_audit(log.path).text() == "2 lines, chain intact, 1 sealed with the key"
    monkeypatch.delenv(INTEGRITY_KEY)
    assert "put the key into USPNB_INTEGRITY_KEY" in verify_audit(log.path).reason
    with pytest.raises(IntegrityError, match="put the key into"):
        log.append(record(2))


def test_a_service_that_must_seal_does_not_start_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text('[security]\nsnapshot_integrity_hash_algorithm = "hmac-sha256"\n')
    Path("data.csv").write_text("value\n1\n2\n")
    assert main(["run", "--config", "config.toml", "--source", "data.csv", "--once"]) == 2
    assert "needs a key: put it into USPNB_INTEGRITY_KEY" in capsys.readouterr().err
