"""The credentials vault: what it lets in, and that no value ever gets out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from uspnb.engine.service.vault import MOST_BYTES, unlock
from uspnb.errors import DomainError

SECRET = "planted-secret-7731"


def vault(folder: Path, text: str | bytes, mode: int = 0o600) -> Path:
    """A vault file."""
    path = folder / "vault.env"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def test_assignments_reach_the_environment(tmp_path: Path) -> None:
    text = f"""
# of the exchange
USPNB_SOURCE_TOKEN={SECRET}
export USPNB_SOURCE_USER = "two words"
USPNB_SOURCE_PASSWORD='a=b#c'
USPNB_EMPTY=
"""
    environment = {"USPNB_SOURCE_USER": "from outside"}
    assert unlock(vault(tmp_path, text), environment) == (
        ("USPNB_SOURCE_TOKEN", "USPNB_SOURCE_PASSWORD", "USPNB_EMPTY"),
        ("USPNB_SOURCE_USER",),
    )
    assert environment == {
        "USPNB_SOURCE_USER": "from outside",
        "USPNB_SOURCE_TOKEN": SECRET,
        "USPNB_SOURCE_PASSWORD": "a=b#c",
        "USPNB_EMPTY": "",
    }


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o700, 0o602])
def test_vault_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(DomainError, match=rf"mode {mode:04o}.*chmod 600"):
        unlock(vault(tmp_path, f"USPNB_SOURCE_TOKEN={SECRET}", mode), {})


def test_vault_that_its_owner_may_only_read_is_taken(tmp_path: Path) -> None:
    assert unlock(vault(tmp_path, "USPNB_SOURCE_TOKEN=x", 0o400), {})[0] == ("USPNB_SOURCE_TOKEN",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"USPNB_A=1\n{SECRET}", "line 2 is no assignment"),
        (f"LD_PRELOAD={SECRET}", "sets LD_PRELOAD; a vault holds names that begin with USPNB_"),
        (f"USPNB_A={SECRET}\nUSPNB_A={SECRET}", "line 2 sets USPNB_A a second time"),
        (f"USPNB_A={SECRET}\0", "a character that no environment carries"),
        (b"USPNB_A=\xff" + SECRET.encode(), "not UTF-8 text, at byte 8"),
        (f"# {SECRET}\n" * MOST_BYTES, "exceeds 65536 bytes"),
    ],
)
def test_refusals_name_the_line_and_never_the_value(tmp_path: Path, text: str | bytes, reason: str) -> None:
    environment: dict[str, str] = {}
    with pytest.raises(DomainError, match=reason) as refused:
        unlock(vault(tmp_path, text), environment)
    assert SECRET not in str(refused.value) and environment == {}
    chain = refused.value.__cause__ or (None if refused.value.__suppress_context__ else refused.value.__context__)
    assert chain is None  # a traceback shows it too, and a UnicodeDecodeError holds the whole file


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="cannot be read: No such file"):
        unlock(tmp_path / "none", {})
    with pytest.raises(DomainError, match="no regular file"):
        unlock(tmp_path, {})
    os.mkfifo(tmp_path / "pipe", 0o600)  # would be waited for without end
    with pytest.raises(DomainError, match="no regular file"):
        unlock(tmp_path / "pipe", {})
