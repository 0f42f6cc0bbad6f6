"""What an automatic change of the configuration may not touch, and how far one change may go.

Derived from the declarations: nothing of `[io]`, `[security]` and `[meta_optimization]`, no locked field; one level of
a discrete field, a share of everything else.  Source: seed 002, section 21.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .meta_schema import META_DECLARATIONS, META_SECTION, is_range_key
from .schema import DECLARATIONS, DEFAULTS, HOST_SECTIONS, Search, unknown_name

# A grid of more levels than these is a scale: the share of the value decides, as for any other number.
MOST_LEVELS = 10
HOUR_NS = 3600 * 10**9
# Sizes of networks, which go by powers of two (seed 003, V-CRIT-6): one doubling is one level.
DOUBLED = ("dgm_width_size",)


def refused_name(name: str) -> str | None:
    """Why a key may not be changed automatically, None where it may."""
    if name not in DECLARATIONS:
        if name in META_DECLARATIONS or is_range_key(name):
            return f"{name} stands in section [{META_SECTION}], which is never changed automatically"
        return unknown_name("configuration key", name, DECLARATIONS)
    about = DECLARATIONS[name]
    if about.section in HOST_SECTIONS:
        return f"{name} stands in section [{about.section}], which is never changed automatically"
    return f"{name} is locked" if about.locked else None


def too_far(name: str, old: Any, new: Any, share: float) -> str | None:
    """Why a change is too large for one step, None where it is not.

    - A choice moves to a neighbour in the order of its declaration; a truth value has only one.
    - A discrete number, whose search has at most `MOST_LEVELS` levels, moves by one step; a size of a network by one
      doubling.
    - A number that is searched on a logarithmic scale moves by `share` of the declared search range on that scale.
    - Every other number moves by `share` of its value.  At 0, of which there is no share, it is `share` of the
      declared search range; without one, of the default; and where that is 0 as well, nothing.  A whole number may
      always move by 1.

    Args:
        name: a field.
        old, new: valid values of it.
        share: the limit, 0.5 for half.
    """
    about, default = DECLARATIONS[name], DEFAULTS[name]
    if isinstance(default, (bool, str)):
        return _level_too_far(name, old, new, about.choices)
    search = about.search
    if search is not None and name in DOUBLED:
        fits, most = max(old, new) <= 2 * min(old, new), "one doubling"
    elif search is not None and search.step is not None and _levels(search) <= MOST_LEVELS:
        fits, most = abs(new - old) <= search.step * (1 + 1e-9), f"one step of {search.step:g}"
    elif search is not None and search.log and old > 0 and new > 0:
        width = math.log10(search.high / search.low)
        fits = abs(math.log10(new / old)) <= share * width * (1 + 1e-9)
        most = f"a factor of {10 ** (share * width):.4g}, {share:.0%} of its search range on a logarithmic scale"
    else:
        reach = share * _scale(old, default, search)
        reach = max(reach, 1) if isinstance(default, int) else reach
        fits, most = abs(new - old) <= reach * (1 + 1e-9), f"{reach:.6g}, {share:.0%}"
    return None if fits else f"{name} from {old!r} to {new!r} is more than {most} in one change"


def too_often(changed_ns: Iterable[int], now_ns: int, per_hour: int, ticks: int | None, stable_ticks: int) -> list[str]:
    """Why it is too early for another change; empty where it is not.

    Args:
        changed_ns: when there were changes before [ns].
        now_ns: the time of this one [ns].
        per_hour: changes in the last hour at the most.
        ticks: since the last change; None is not judged [ticks].
        stable_ticks: ticks that must lie between two changes [ticks].
    """
    problems = []
    recent = sum(then > now_ns - HOUR_NS for then in changed_ns)
    if recent >= per_hour:
        problems.append(f"{recent} changes in the last hour, at most {per_hour} are allowed; try again later")
    if ticks is not None and ticks < stable_ticks:
        problems.append(f"{ticks} ticks since the last change, at least {stable_ticks} must lie between two")
    return problems


def _level_too_far(name: str, old: Any, new: Any, choices: tuple[str, ...]) -> str | None:
    if not choices or abs(choices.index(new) - choices.index(old)) <= 1:
        return None
    return f"{name} from {old!r} to {new!r} is more than one level ({', '.join(choices)}) in one change"


def _levels(search: Search) -> float:
    return (search.high - search.low) / search.step + 1 if search.step else math.inf


def _scale(old: float, default: float, search: Search | None) -> float:
    if old:
        return abs(old)
    return search.high - search.low if search is not None else abs(default)
