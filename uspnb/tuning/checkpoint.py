"""A campaign as one file of data: JSON with its checksum inside and beside it, so that loading one runs nothing.

Trials that are finished never change, so that their text is made once; a save then joins texts, hashes and writes.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from ..errors import DomainError, IntegrityError
from ..runtime.digest import sha256_bytes
from ..runtime.files import LOCK_TIMEOUT_S, lock_path, write_atomic
from .identity import check_version

FOLDER_LOCK = ".checkpoints.lock"
MAX_FILE_BYTES = 1 << 30
_LINES = b",\n"


class Image(NamedTuple):
    """A campaign at one moment; holding one costs nothing, as trials are never changed in place.

    Attributes:
        study_name: of the campaign.
        identity: see `identity_of`.
        trials: all of them, in the order of their numbers.
    """

    study_name: str
    identity: dict[str, Any]
    trials: Sequence[FrozenTrial]


class Texts:
    """The texts of trials; those that are finished are written out and joined once.  For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._head = _Head([], b"", {})

    def of(self, trials: Sequence[FrozenTrial]) -> tuple[dict[str, Any], bytes]:
        """What the parameters are drawn from, and all trials as canonical JSON, one a line."""
        with self._lock:
            head = self._head
        count = len(head.ends)
        if count > len(trials) or [one.datetime_complete for one in trials[:count]] != head.ends:
            count, head = 0, _Head([], b"", {})
        spaces = dict(head.spaces)
        rows = []
        for trial in trials[count:]:
            for name in trial.distributions.keys() - spaces.keys():
                spaces[name] = json.loads(distribution_to_json(trial.distributions[name]))
            rows.append(_canonical(_plain(trial)).encode())
        done = next((k for k, trial in enumerate(trials[count:]) if not trial.state.is_finished()), len(rows))
        ends = [*head.ends, *(trial.datetime_complete for trial in trials[count : count + done])]
        text = _LINES.join([head.text, *rows[:done]] if count else rows[:done])
        with self._lock:
            self._head = _Head(ends, text, spaces)
        return spaces, _LINES.join([text, *rows[done:]] if ends else rows)


class _Head(NamedTuple):
    """The finished trials at the beginning of a campaign: when each ended, their text, their distributions."""

    ends: list[datetime | None]
    text: bytes
    spaces: dict[str, Any]


def write_checkpoint(path: str | os.PathLike[str], image: Image, texts: Texts | None = None) -> Path:
    """Write a campaign to a file and its checksum to `path.sha256`, so that at no moment the two disagree.

    Args:
        path: the file; its folder is made if it is not there.
        image: of the campaign.
        texts: keeps what was made for an earlier save.

    Returns:
        The file.

    Raises:
        OSError: the file cannot be written; what was there stays.
        TimeoutError: another process writes checkpoints in this folder for longer than 30 s.
    """
    target = Path(path)
    body = _body(image, texts or Texts())
    data = b'{"sha256":"%s","study":%s}\n' % (sha256_bytes(body).encode(), body)
    line = f"{sha256_bytes(data)}  {target.name}\n"
    sidecar = _sidecar(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / FOLDER_LOCK, timeout=LOCK_TIMEOUT_S):
        # While the file is replaced the sidecar knows both contents.
        before = sidecar.read_text().splitlines()[:1] if sidecar.is_file() and target.is_file() else []
        write_atomic(sidecar, line + "".join(f"{one}\n" for one in before))
        write_atomic(target, data)
        if before:
            write_atomic(sidecar, line)
        for name in (target, sidecar):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(lock_path(name))  # the folder has a lock of its own
    return target


def read_checkpoint(path: str | os.PathLike[str]) -> Image:
    """Read a campaign, nothing before its checksum is verified.

    Raises:
        FileNotFoundError: the file or its sidecar is not there.
        IntegrityError: the bytes do not match the checksum, or are none of ours.
        DomainError: another version of the format.
    """
    target = Path(path)
    sidecar = _sidecar(target)
    for name, told in ((target, "checkpoint"), (sidecar, "checksum of the checkpoint")):
        if not name.is_file():
            raise FileNotFoundError(f"there is no file {name} ({told})")
        if name.stat().st_size > MAX_FILE_BYTES:
            raise IntegrityError(f"{name} has {name.stat().st_size} bytes; at most {MAX_FILE_BYTES} are read")
    data, known = target.read_bytes(), sidecar.read_text(errors="replace").splitlines()
    if sha256_bytes(data) not in [line.split()[0] for line in known if line.strip()]:
        raise IntegrityError(f"{target} does not match its checksum in {sidecar.name}: the file is damaged")
    try:
        outer = json.loads(data)
        body, inner = outer["study"], outer["sha256"]
    except (ValueError, TypeError, KeyError) as error:
        raise IntegrityError(f"{target} is no checkpoint of a campaign ({type(error).__name__}: {error})") from error
    check_version(body.get("campaign") if isinstance(body, dict) else None, str(target))
    if sha256_bytes(_rebuilt(body)) != inner:
        raise IntegrityError(f"{target} does not match the checksum that it holds: the file is damaged")
    try:
        spaces = {name: json_to_distribution(json.dumps(one)) for name, one in body["distributions"].items()}
        return Image(body["study_name"], body["campaign"], [_trial(row, spaces) for row in body["trials"]])
    except (ValueError, TypeError, KeyError) as error:
        raise IntegrityError(f"{target} cannot be read ({type(error).__name__}: {error})") from error


def check_agrees(image: Image, trials: Sequence[FrozenTrial], place: str) -> None:
    """Refuse a checkpoint that a storage contradicts: trials of one number must be the same trial.

    Raises:
        DomainError: they are not.
    """
    for ours, theirs in zip(trials, image.trials, strict=False):
        both = ours.state.is_finished() and theirs.state.is_finished()
        if ours.params != theirs.params or (both and (ours.state, ours.value) != (theirs.state, theirs.value)):
            raise DomainError(
                f"trial {ours.number} of the checkpoint is another than that in {place}; give another study_name or "
                "storage, or put that one aside"
            )


def _body(image: Image, texts: Texts) -> bytes:
    spaces, rows = texts.of(image.trials)
    head = {
        "campaign": image.identity,
        "distributions": spaces,
        "saved_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "study_name": image.study_name,
    }
    return _together(head, rows)


def _rebuilt(body: dict[str, Any]) -> bytes:
    """The text that was hashed."""
    head = {name: value for name, value in body.items() if name != "trials"}
    return _together(head, _LINES.join(_canonical(row).encode() for row in body.get("trials", [])))


def _together(head: dict[str, Any], rows: bytes) -> bytes:
    return b'%s,"trials":[\n%s\n]}' % (_canonical(head)[:-1].encode(), rows)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name,
        "value": trial.value,
        "params": trial.params,
        "user_attrs": {name: one for name, one in trial.user_attrs.items() if not _follows(trial, name, one)},
        "intermediate_values": {str(step): value for step, value in sorted(trial.intermediate_values.items())},
        "began": trial.datetime_start.isoformat() if trial.datetime_start else None,
        "ended": trial.datetime_complete.isoformat() if trial.datetime_complete else None,
    }


def _follows(trial: FrozenTrial, name: str, value: Any) -> bool:
    """Whether an attribute need not be written: settings as they were drawn, the owner of what is finished."""
    return (name == "params" and value == trial.params) or (name == "owner" and trial.state.is_finished())


def _trial(row: dict[str, Any], spaces: dict[str, Any]) -> FrozenTrial:
    state = TrialState[row["state"]]
    # Without an owner: who loads a checkpoint goes on with what was running.
    attributes = {"params": row["params"]} | row["user_attrs"] | {"owner": ""}
    made = create_trial(
        state=state,
        value=row["value"],
        params=row["params"],
        distributions={name: spaces[name] for name in row["params"]},
        user_attrs=attributes,
        intermediate_values={int(step): value for step, value in row["intermediate_values"].items()},
    )
    made.number = row["number"]
    made.datetime_start = datetime.fromisoformat(row["began"]) if row["began"] else made.datetime_start
    if state.is_finished() and row["ended"]:
        made.datetime_complete = datetime.fromisoformat(row["ended"])
    return made


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
