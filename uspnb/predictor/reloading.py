"""`ConfigReloadablePredictor`: a predictor that follows its configuration file and keeps what it can."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..array_types import Array, Float
from ..config.load import load_config
from ..config.schema import HOST_FIELDS, STATIC_FIELDS, PredictorConfig
from ..errors import ConfigError, ReloadWarning
from ..model.kernels.registry import kernel_entry
from ..model.state import KernelStates, PredictorState
from ..runtime.digest import sha256_file
from .functional import FunctionalPredictor
from .universal import UniversalPredictor

log = logging.getLogger("uspnb.reload")

# Settings that change what a block of the state means without changing its shape; of the kernels the registry knows.
_MEANING = {"input_kind": "roughness"}


class Reload(NamedTuple):
    """What a changed file has changed.

    Attributes:
        changed: old and new value of every setting that differs.
        compiled_anew: whether a program must be compiled for the new settings.
        kept: blocks of the state that go on as they were.
        fitted: blocks that go on cut or extended to a new length.
        renewed: blocks that begin anew.
    """

    changed: dict[str, tuple[Any, Any]]
    compiled_anew: bool
    kept: tuple[str, ...]
    fitted: tuple[str, ...]
    renewed: tuple[str, ...]

    def text(self) -> str:
        """The same as a sentence."""
        changes = ", ".join(f"{name} = {new!r} (was {old!r})" for name, (old, new) in self.changed.items())
        parts = [
            f"{what}: {', '.join(names)}"
            for what, names in (("kept", self.kept), ("fitted", self.fitted), ("begun anew", self.renewed))
            if names
        ]
        return f"{changes}; {'; '.join(parts)}"


class ConfigReloadablePredictor(UniversalPredictor):
    """A `UniversalPredictor` that follows its configuration file (seed 002, section 21.4).

    A change of traced fields acts on the next tick and keeps the whole state.  A change of static fields compiles the
    new program at once and carries over every block of the state that still fits; `last_reload` says which.  A file
    that cannot be used leaves the settings in force and warns, once for each content.

    Args:
        config_path: the TOML file.
        rest: further arguments of `UniversalPredictor`.

    Raises:
        ConfigError: the file cannot be used at the start.
    """

    def __init__(self, config_path: str | Path = "config.toml", **rest: Any) -> None:
        self.config_path = Path(config_path)
        self.last_reload: Reload | None = None
        self._stamp, self._digest = _stamp(self.config_path), _digest(self.config_path)
        super().__init__(load_config(self.config_path), **rest)

    def check_and_reload_config(self) -> bool:
        """Read the file again if its time, size or place on disk has changed, and its content with them.

        Returns:
            Whether the settings changed.

        Raises:
            DomainError: something holds this predictor.

        Warns:
            ReloadWarning: the changed file cannot be used; nothing else changes.
        """
        self._refuse_while_held("check_and_reload_config")
        stamp = _stamp(self.config_path)
        if stamp == self._stamp:
            return False
        digest = _digest(self.config_path)
        try:
            new = load_config(self.config_path)
        except ConfigError as error:
            if digest != self._digest:
                warnings.warn(f"{error}; the settings in force stay", ReloadWarning, stacklevel=2)
            self._stamp, self._digest = stamp, digest
            return False
        if _stamp(self.config_path) != stamp:
            return False  # it is being written; the next look finds it whole
        self._stamp, self._digest = stamp, digest
        if new == self.config:
            return False
        self._adopt(new)
        return True

    def _adopt(self, new: PredictorConfig) -> None:
        old, state = self.config, self.state
        names = list(old.__dataclass_fields__)
        changed = {n: (getattr(old, n), getattr(new, n)) for n in names if getattr(old, n) != getattr(new, n)}
        functional = FunctionalPredictor(new)
        if changed.keys() & set(STATIC_FIELDS):
            state, kept, fitted, renewed = carried(state, functional.init_state(), changed.keys())
            functional.warm(state)
            reload = Reload(changed, True, kept, fitted, renewed)
        else:
            reload = Reload(changed, False, () if changed.keys() <= set(HOST_FIELDS) else ("the whole state",), (), ())
        self.change_settings(functional, state)
        self.last_reload = reload
        log.info("%s: %s", self.config_path, reload.text())


def carried(
    old: PredictorState, fresh: PredictorState, changed: Any
) -> tuple[PredictorState, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """A state of the shapes of `fresh` with everything of `old` that still fits.

    The window and the ring of residuals are cut to their newest ticks or extended; every other block goes on where
    the shapes of all its leaves are those of before and no changed setting gives them another meaning.

    Args:
        old: the state under the settings so far.
        fresh: the state before the first tick under the new ones.
        changed: names of the settings that differ.

    Returns:
        The state, and the names of the blocks kept, fitted and begun anew.
    """
    remeant = {_MEANING[name] for name in changed if name in _MEANING}
    remeant |= {name for name in fresh.kernels if set(kernel_entry(name).meaning) & set(changed)}
    if tuple(old.kernels) != tuple(fresh.kernels):
        remeant |= {"weight", "forecast", "score"}  # one entry for each kernel, in their order
    unchanged, fitted, renewed = [], [], []
    blocks: dict[str, Any] = {}
    for name in PredictorState._fields:
        if name in ("frame", "kernels") or (name == "score" and name not in remeant):
            continue
        same = _shapes(getattr(old, name)) == _shapes(getattr(fresh, name)) and name not in remeant
        (unchanged if same else renewed).append(name)
        blocks[name] = getattr(old if same else fresh, name)
    window, residuals = len(fresh.frame.window), len(fresh.score.residuals)
    (unchanged if window == len(old.frame.window) else fitted).append("window")
    if "score" not in remeant:
        (unchanged if residuals == len(old.score.residuals) else fitted).append("residual statistics")
    # A longer window knows no more ticks than the shorter one held.
    held = len(old.frame.window)
    count = old.frame.count if window <= held else jnp.minimum(old.frame.count, held)
    blocks["frame"] = old.frame._replace(window=_resized(old.frame.window, window, old.frame.window[0]), count=count)
    if "score" not in remeant:
        blocks["score"] = old.score._replace(residuals=_resized(old.score.residuals, residuals, jnp.nan))
    kernels = {}
    for name, after in fresh.kernels.items():
        before = old.kernels.get(name)
        same = before is not None and _shapes(before) == _shapes(after) and name not in remeant
        (unchanged if same else renewed).append(name)
        kernels[name] = before if same else after
    blocks["kernels"] = KernelStates(kernels)
    # No two leaves may share an array, because a caller may donate them.
    state = jax.tree.map(jnp.array, PredictorState(**blocks))
    return state, tuple(unchanged), tuple(fitted), tuple(renewed)


def _resized(ring: Float[Array, "old"], length: int, filling: Any) -> Float[Array, "new"]:
    """The newest `length` ticks of a window whose newest stands last; what is missing in front is the filling."""
    missing = max(length - len(ring), 0)
    return jnp.concatenate([jnp.full(missing, filling, ring.dtype), ring[len(ring) - (length - missing) :]])


def _shapes(tree: Any) -> list[tuple[tuple[int, ...], str]]:
    return [(np.shape(leaf), str(leaf.dtype)) for leaf in jax.tree.leaves(tree)]


def _stamp(path: Path) -> tuple[int, int, int]:
    """What tells cheaply that a file is not the one from before; zeros where there is none."""
    try:
        about = path.stat()
    except OSError:
        return (0, 0, 0)
    return (about.st_mtime_ns, about.st_size, about.st_ino)


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError:
        return ""
