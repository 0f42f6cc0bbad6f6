"""The kernels that a configuration may name, each with how it is shown and with the roles that it can fill.

The four of the seeds are registered here.  A kernel of one's own is one call and one setting:

    uspnb.register_kernel("mine", module)
    uspnb.PredictorConfig(kernels=("hilbert", "mine"))

An installed package brings one by an entry point of its name in the group `uspnb.kernels`, which is loaded when a
configuration first names it.  To other processes a kernel goes by the name of the module that it is imported from.

Roles are asked for, never names: which kernel gets all weight in an emergency (`robust`), which one's slow forecast the
alarm charts read (`reference`), whose diagnostics fill which field of the telemetry (`telemetry`).
"""

from __future__ import annotations

import base64
import colorsys
import dataclasses
import functools
import hashlib
import importlib
import io
import pickle
import re
import types
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

import jax

from ...array_types import Array, Scalar
from ...config.load import add_check
from ...config.schema import DEFAULTS, PredictorConfig
from ...errors import ConfigError, DomainError
from . import common_movement, deep_galerkin, hilbert, ito_levy, log_signature
from .base import Kernel, KernelOutput

ENTRY_POINTS = "uspnb.kernels"
IMPORTABLE = "put it into a module that can be imported and register that"


@dataclasses.dataclass(frozen=True, eq=False)
class KernelEntry:
    """A registered kernel.

    Attributes:
        name: what the configuration, the Dataset and snapshots call it.
        kernel: its `init` and `step`.
        label: what figures and views call it.
        colour: its colour there, "#rrggbb".
        letter: what snapshots call it instead of its name; the four of the seeds have one.
        robust: whether an emergency may give it all weight.
        reference: the attribute of its diagnostics that holds a forecast which follows a change only slowly [s_t].
        telemetry: fields of the telemetry that its diagnostics fill, with the attribute that fills each.
        meaning: settings that change what its state means without changing a shape.
        sheds: whether load shedding may lower its depth; then it has `truncate_depth(config, state, depth) -> state`.
        check: raises ConfigError where a configuration asks this kernel for what does not exist.
        across: whether it looks at the other series of its batch, which is then stepped as a whole.
        training: module whose `train_trunk` trains the kernel's network anew; "" where it has none.
    """

    name: str
    kernel: Kernel
    label: str
    colour: str
    letter: str = ""
    robust: bool = False
    reference: str = ""
    telemetry: Mapping[str, str] = dataclasses.field(default_factory=dict)
    meaning: tuple[str, ...] = ()
    sheds: bool = False
    check: Callable[[PredictorConfig], None] | None = None
    across: bool = False
    training: str = ""


_SEEDS = (
    KernelEntry(
        "hilbert",
        hilbert,
        "hilbert",
        "#2f86c8",
        "A",
        reference="reference",
        telemetry={"season_weight": "season_weight", "covariate_effect": "effect"},
    ),
    KernelEntry(
        "deep_galerkin",
        deep_galerkin,
        "deep galerkin",
        "#e69f00",
        "B",
        telemetry={
            "dgm_entropy": "mean_entropy",
            "dgm_expected_entropy": "expected_entropy",
            "entropy_ratio": "entropy_ratio",
            "pde_residual": "residual",
        },
        check=deep_galerkin.check,
        training=f"{deep_galerkin.__name__}.training",
    ),
    KernelEntry(
        "ito_levy",
        ito_levy,
        "ito levy",
        "#14a37f",
        "C",
        telemetry={"stiffness": "stiffness", "solver": "solver", "jump_intensity": "jump_intensity"},
    ),
    KernelEntry(
        "log_signature",
        log_signature,
        "log signature",
        "#cc79a7",
        "D",
        robust=True,
        meaning=("log_sig_window",),
        sheds=True,
    ),
)
# What a fleet of `shared=True` adds to them.
COMMON = "common_movement"
_OURS = (*_SEEDS, KernelEntry(COMMON, common_movement, "common movement", "#8c6bb1", across=True))
_entries: dict[str, KernelEntry] = {entry.name: entry for entry in _OURS}


def register_kernel(
    name: str, kernel: Any, *, label: str | None = None, colour: str | None = None, robust: bool = False
) -> None:
    """Make a kernel known under a name, for `PredictorConfig(kernels=(..., name))`.

    Registered anew under the same name, as when a cell is run again, it takes the place of the one before; predictors
    that exist go on with it from their next tick.

    Args:
        name: letters, digits and underscores.
        kernel: a module, a class or an object with `init(config, key) -> state` and
            `step(config, state, inputs, key) -> (state, output)`; see `uspnb.model.kernels.base`, and
            `uspnb.testing.check_kernel` for what they must do.  With a function `check(config)` too it may refuse a
            configuration by a `ConfigError`.
        label: what figures call it; the name with spaces where left out.
        colour: "#rrggbb"; one made from the name where left out.
        robust: whether an emergency may give it all weight.

    Raises:
        DomainError: no name, one of the package's own, a colour of another form, or no `init` and `step`.
    """
    if not (isinstance(name, str) and name.isidentifier() and name.isascii()):
        raise DomainError(f"name = {name!r} is no name of letters, digits and underscores")
    if any(name == entry.name for entry in _OURS):
        raise DomainError(f"{name!r} is one of the package's own kernels; give yours another name")
    if colour is not None and not re.fullmatch("#[0-9a-fA-F]{6}", colour):
        raise DomainError(f"colour = {colour!r} is not of the form '#rrggbb'")
    kernel = kernel() if isinstance(kernel, type) else kernel
    missing = [part for part in ("init", "step") if not callable(getattr(kernel, part, None))]
    if missing:
        raise DomainError(f"the kernel {name!r} has no function {' and no function '.join(missing)}")
    label = name.replace("_", " ") if label is None else label
    check = getattr(kernel, "check", None)
    register_entry(KernelEntry(name, kernel, label, colour or _colour_of(name), robust=robust, check=check))


def register_entry(entry: KernelEntry) -> None:
    """Register what `register_kernel` has checked, for example in another process."""
    if entry.name in _entries:
        jax.clear_caches()  # compiled programs hold the kernel that was registered under this name
    _entries[entry.name] = entry
    robust_place.cache_clear()


def kernel_entry(name: str) -> KernelEntry:
    """What is registered under a name; an installed package's entry point is loaded where nothing is yet.

    Raises:
        ConfigError: nothing is, or what the entry point names cannot be loaded.
    """
    if name not in _entries:
        for point in metadata.entry_points(group=ENTRY_POINTS, name=name):
            _load(point)
    if name not in _entries:
        known = dict.fromkeys([*_entries, *sorted(metadata.entry_points(group=ENTRY_POINTS).names)])
        raise ConfigError(
            f"kernels names {name!r}, which is not registered; known are {', '.join(known)}.  "
            f"Call uspnb.register_kernel({name!r}, kernel) first, or import the module that does (on the command line "
            "--plugin MODULE).  A kernel of a notebook's cell is known to that notebook alone: " + IMPORTABLE
        )
    return _entries[name]


def _load(point: metadata.EntryPoint) -> None:
    try:
        kernel = point.load()
        if point.name not in _entries:  # a module may have registered itself
            register_kernel(point.name, kernel)
    except (ImportError, AttributeError, DomainError) as error:
        raise ConfigError(
            f"kernels names {point.name!r}, whose entry point {point.value!r} cannot be loaded ({error}); install the "
            "package that brings it anew"
        ) from error


def kernel_entries(config: PredictorConfig) -> tuple[KernelEntry, ...]:
    """The kernels of a configuration, in its order.

    Raises:
        ConfigError: one is not registered.
    """
    return tuple(kernel_entry(name) for name in config.kernels)


def added_kernels(kernels: Sequence[str]) -> tuple[str, ...]:
    """Those that are not of the seeds: another process knows them only once they are registered there."""
    return tuple(name for name in kernels if name not in KERNEL_NAMES)


class _KernelPickler(pickle.Pickler):
    """Pickles modules by their names, and refuses what another process cannot import."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.ModuleType):
            return importlib.import_module, (obj.__name__,)
        if getattr(obj, "__module__", "") == "__main__":
            name = getattr(obj, "__qualname__", type(obj).__qualname__)
            raise pickle.PicklingError(f"{name} stands in a notebook's cell or a script")
        return NotImplemented


def _packed(entry: KernelEntry) -> bytes:
    buffer = io.BytesIO()
    _KernelPickler(buffer).dump(entry)
    return buffer.getvalue()


def packed_kernels(kernels: Sequence[str], who: str, otherwise: str) -> str:
    """The kernels of a user's own among these, for a process in which nobody has registered them.

    Args:
        kernels: names.
        who: the process, for the message.
        otherwise: what can be done without it, likewise.

    Returns:
        Text for `register_packed`, "" where there are none.

    Raises:
        DomainError: one that another process cannot import.
    """
    packed = []
    for name in added_kernels(kernels):
        try:
            packed.append(_packed(kernel_entry(name)))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise DomainError(
                f"{who} cannot import the registered kernel {name} ({error}); {IMPORTABLE}, or {otherwise}"
            ) from error
    return base64.b64encode(pickle.dumps(packed)).decode() if packed else ""


def register_packed(text: str) -> None:
    """Register what `packed_kernels` packed and is not known here as the same.

    Args:
        text: from a process of the same user: to read it is to run what it says.

    Raises:
        DomainError: a kernel cannot be imported here.
    """
    for packed in pickle.loads(base64.b64decode(text)) if text else ():
        try:
            entry: KernelEntry = pickle.loads(packed)
        except (ImportError, AttributeError) as error:
            raise DomainError(
                f"this process cannot import a registered kernel ({error}); {IMPORTABLE}, where its module is installed"
            ) from error
        if entry.name not in _entries or _packed(_entries[entry.name]) != packed:
            register_entry(entry)


def kernel_label(name: str) -> str:
    """What figures call a kernel, registered here or not."""
    return _entries[name].label if name in _entries else name.replace("_", " ")


def kernel_colour(name: str) -> str:
    """The colour of a kernel, registered here or not."""
    return _entries[name].colour if name in _entries else _colour_of(name)


@functools.cache
def robust_place(kernels: tuple[str, ...]) -> int | None:
    """Place of the kernel that an emergency gives all weight, None where none of them is registered as robust."""
    return next((k for k, name in enumerate(kernels) if name in _entries and _entries[name].robust), None)


def shedding_kernel(config: PredictorConfig) -> KernelEntry | None:
    """The kernel whose depth follows the load, None where the configuration has none that can."""
    return next((entry for entry in kernel_entries(config) if entry.sheds), None)


def trained_kernel() -> KernelEntry:
    """The kernel whose network `uspnb train-trunk` trains."""
    return next(entry for entry in _entries.values() if entry.training)


def reference_of(config: PredictorConfig, outputs: Mapping[str, KernelOutput]) -> Scalar | None:
    """The slow forecast that the alarm charts read [s_t], None where no kernel gives one."""
    for entry in kernel_entries(config):
        if entry.reference:
            return getattr(outputs[entry.name].diagnostics, entry.reference)
    return None


def telemetry_of(config: PredictorConfig, outputs: Mapping[str, KernelOutput]) -> dict[str, Array]:
    """What the kernels' diagnostics say for the telemetry, by its field; without a kernel its fields are missing."""
    return {
        field: getattr(outputs[entry.name].diagnostics, attribute)
        for entry in kernel_entries(config)
        for field, attribute in entry.telemetry.items()
    }


@functools.cache
def snapshot_key(name: str) -> str:
    """What a snapshot calls a kernel: the letter of one of the seeds', the name of any other."""
    return next((entry.letter for entry in _SEEDS if entry.name == name), name)


def check_exists(config: PredictorConfig) -> None:
    """Refuse a configuration that asks for what does not exist: a kernel that is not registered, a trunk not trained.

    Raises:
        ConfigError: the message names the setting, the value and what there is.
    """
    for entry in kernel_entries(config):
        if entry.check is not None:
            entry.check(config)


def trunk_sizes() -> tuple[tuple[int, int], ...]:
    """`dgm_width_size` and `dgm_depth` of the trained trunks, by growing capacity."""
    return deep_galerkin.trunk.shipped_sizes()


def _colour_of(name: str) -> str:
    """A colour of medium lightness that stays the same for a name."""
    hue = hashlib.sha256(name.encode()).digest()[0] / 256
    return "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue, 0.45, 0.55))


KERNEL_NAMES: tuple[str, ...] = DEFAULTS["kernels"]
add_check(check_exists)
