"""A campaign as one file of data, and what makes it that campaign, so that no two are mixed in one study.

The file is JSON with its checksum inside and beside it, so that loading one runs nothing.  Trials that are finished
never change, so that their text is made once; a save then joins texts, hashes and writes.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import math
import os
import threading
import types
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from ..config.load import config_hash
from ..config.meta_optimization import MetaOptimizationConfig
from ..config.schema import PredictorConfig
from ..errors import DomainError, IntegrityError
from ..runtime.digest import sha256_bytes
from ..runtime.files import LOCK_TIMEOUT_S, lock_path, write_atomic
from .batches import Rules
from .space import SearchSpace
from .status import best_of, finished, value_of

FORMAT = "uspnb campaign"
VERSION = 1
_SAMPLING = ("seed", "batch_size", "n_startup_trials", "multivariate")
_WORDS = {
    "tier": "tier",
    "metric": "objective",
    "fingerprint": "series, folds or base settings (fingerprint)",
    "base": "base configuration",
    **{name: name for name in _SAMPLING},
}
FOLDER_LOCK = ".checkpoints.lock"
MAX_FILE_BYTES = 1 << 30
_LINES = b",\n"


def identity_of(rules: Rules, tier: str, metric: str, fingerprint: str, base: PredictorConfig) -> dict[str, Any]:
    """A campaign's identity, as JSON holds it."""
    identity = {
        "format": FORMAT,
        "version": VERSION,
        "tier": tier,
        "metric": metric,
        "fingerprint": fingerprint,
        "base": config_hash(base),
        **{name: getattr(rules.meta, name) for name in _SAMPLING},
        "space": [
            [one.name, one.param_type, list(one.range), one.constraint, one.step] for one in rules.space.values()
        ],
    }
    return json.loads(json.dumps(identity))


def check_same(ours: dict[str, Any], theirs: Any, place: str) -> None:
    """Refuse what belongs to another campaign.

    Args:
        ours: identity of the campaign at hand.
        theirs: of the one that was found.
        place: where it was found.

    Raises:
        DomainError: they differ; the message says in what.
    """
    check_version(theirs, place)
    differences = [
        f"{word} {theirs.get(key)!r}, not {ours[key]!r}" for key, word in _WORDS.items() if theirs.get(key) != ours[key]
    ]
    if theirs.get("space") != ours["space"]:
        differences.append(f"search space: {_space_difference(ours['space'], theirs.get('space') or [])}")
    if differences:
        raise DomainError(
            f"{place} holds another campaign ({'; '.join(differences)}); give this one another study_name or storage"
        )


def check_version(theirs: Any, place: str) -> None:
    """Refuse what was not written by this version of the format.

    Raises:
        DomainError: it was not.
    """
    if not isinstance(theirs, dict) or theirs.get("format") != FORMAT:
        raise DomainError(f"{place} holds a study that no campaign of uspnb made; give another study_name or storage")
    if theirs.get("version") != VERSION:
        raise DomainError(
            f"{place} has version {theirs.get('version')!r} and this program reads version {VERSION}; go on with the "
            "program that wrote it, or give another study_name"
        )


def _space_difference(ours: list[Any], theirs: list[Any]) -> str:
    mine, other = ({row[0]: row[1:] for row in rows} for rows in (ours, theirs))
    names = [f"{name} is missing" for name in mine if name not in other]
    names += [f"{name} is there too" for name in other if name not in mine]
    names += [
        f"{name} ranges over {other[name][1]}, not {mine[name][1]}"
        for name in mine
        if mine[name] != other.get(name, mine[name])
    ]
    return ", ".join(names) or "the parameters stand in another order"


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


def settings_of(image: Image) -> dict[str, Any]:
    """The arguments of an optimizer that goes on with a campaign."""
    identity = image.identity
    space = {
        name: SearchSpace(name, kind, tuple(bounds), constraint=constraint, step=step)
        for name, kind, bounds, constraint, step in identity["space"]
    }
    meta = MetaOptimizationConfig(**{name: identity[name] for name in _SAMPLING})
    return {"search_space": space, "study_name": image.study_name, "tier": identity["tier"], "meta_config": meta}


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
    for name, what in ((target, "checkpoint"), (sidecar, "checksum of the checkpoint")):
        if not name.is_file():
            raise FileNotFoundError(f"there is no file {name} ({what})")
        if name.stat().st_size > MAX_FILE_BYTES:
            raise IntegrityError(f"{name} has {name.stat().st_size} bytes; at most {MAX_FILE_BYTES} are read")
    data, sums = target.read_bytes(), sidecar.read_text(errors="replace").splitlines()
    if sha256_bytes(data) not in [line.split()[0] for line in sums if line.strip()]:
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
    trial = create_trial(
        state=state,
        value=row["value"],
        params=row["params"],
        distributions={name: spaces[name] for name in row["params"]},
        user_attrs=attributes,
        intermediate_values={int(step): value for step, value in row["intermediate_values"].items()},
    )
    trial.number = row["number"]
    trial.datetime_start = datetime.fromisoformat(row["began"]) if row["began"] else trial.datetime_start
    if state.is_finished() and row["ended"]:
        trial.datetime_complete = datetime.fromisoformat(row["ended"])
    return trial


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


class OnEither:
    """A method that changes an instance, and on the class makes a new one (seeds 002 and 003)."""

    def __init__(self, on_instance: Callable[..., Any], on_class: Callable[..., Any]) -> None:
        self._on_instance, self._on_class = on_instance, on_class
        self.__doc__ = on_instance.__doc__

    def __get__(self, instance: Any, owner: type) -> Callable[..., Any]:
        if instance is None:
            return functools.partial(self._on_class, owner)
        return types.MethodType(self._on_instance, instance)


class Checkpoints:
    """Writes `NAME_iter{N}.json` and `NAME_best.json` (seed 002, section 21.1).

    The journal is what a campaign goes on from; a checkpoint that cannot be written is a warning, no end.

    Args:
        folder: of the files; made with the first of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.texts = Texts()
        self._trials, self._best = 0, math.inf

    def begin(self, image: Image) -> None:
        """What is there already needs no checkpoint."""
        self._trials, self._best = len(finished(image.trials)), _best(image)

    def after_batch(self, image: Image, interval: int) -> None:
        """Write the checkpoint of an interval that is over, and that of a new best value."""
        count, best = len(finished(image.trials)), _best(image)
        if count // interval > self._trials // interval:
            self.write(image)
        if best < self._best:
            self._write(image, "best")
        self._trials, self._best = count, best

    def write(self, image: Image) -> None:
        """Write a checkpoint now."""
        self._write(image, f"iter{len(finished(image.trials))}")

    def _write(self, image: Image, what: str) -> None:
        path = self.folder / f"{image.study_name}_{what}.json"
        try:
            write_checkpoint(path, image, self.texts)
        except (OSError, ValueError) as error:
            logging.getLogger(__name__).warning("the checkpoint %s was not written: %s", path, error)


def _best(image: Image) -> float:
    best = best_of(image.trials)
    return math.inf if best is None else value_of(best)
