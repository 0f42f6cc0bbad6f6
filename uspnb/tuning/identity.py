"""What makes a campaign that campaign: two that differ in any of it are never mixed in one study."""

from __future__ import annotations

import json
from typing import Any

from ..config.load import config_hash
from ..config.schema import PredictorConfig
from ..errors import DomainError
from .sampling import Rules
from .space import SearchSpace

FORMAT = "uspnb campaign"
VERSION = 1
_WORDS = {
    "tier": "tier",
    "metric": "objective",
    "fingerprint": "series, folds or base settings (fingerprint)",
    "base": "base configuration",
    "seed": "seed",
    "batch_size": "batch_size",
    "n_startup_trials": "n_startup_trials",
    "multivariate": "multivariate",
}


def identity_of(rules: Rules, tier: str, metric: str, fingerprint: str, base: PredictorConfig) -> dict[str, Any]:
    """A campaign's identity, as JSON holds it."""
    made = {
        "format": FORMAT,
        "version": VERSION,
        "tier": tier,
        "metric": metric,
        "fingerprint": fingerprint,
        "base": config_hash(base),
        "seed": rules.seed,
        "batch_size": rules.batch_size,
        "n_startup_trials": rules.n_startup_trials,
        "multivariate": rules.multivariate,
        "space": [
            [one.name, one.param_type, list(one.range), one.constraint, one.step] for one in rules.space.values()
        ],
    }
    return json.loads(json.dumps(made))


def space_of(identity: dict[str, Any]) -> dict[str, SearchSpace]:
    """The search space that an identity describes."""
    return {
        name: SearchSpace(name, kind, tuple(bounds), constraint=constraint, step=step)
        for name, kind, bounds, constraint, step in identity["space"]
    }


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
    told = [
        f"{word} {theirs.get(key)!r}, not {ours[key]!r}" for key, word in _WORDS.items() if theirs.get(key) != ours[key]
    ]
    if theirs.get("space") != ours["space"]:
        told.append(f"search space: {_space_difference(ours['space'], theirs.get('space') or [])}")
    if told:
        raise DomainError(
            f"{place} holds another campaign ({'; '.join(told)}); give this one another study_name or storage"
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
