"""The settings of the numerical runtime, made once and before JAX allocates anything.

Importing this module sets double precision and, where the user has not chosen otherwise, one host thread for XLA's
CPU client.  The last is a correctness measure: jaxlib 0.10 on two cores can deadlock when a scan body holds several
independent batched triangular solves, and one thread is also the faster setting for graphs of small operations.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("PJRT_NPROC", "1")
if "xla_backend_extra_options" not in os.environ.get("XLA_FLAGS", ""):
    # A loop over a few small arrays, as the transport is one, becomes one kernel instead of one for each operation.
    small_loops = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=65536"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {small_loops}".strip()

import jax  # after the variable above, which must be set before the first import of jax
from jax._src import xla_bridge  # JAX tells nowhere else whether it has begun to compute

jax.config.update("jax_enable_x64", True)

# docs/determinism.md says what each of them does, and which variables have none of it any more.
DETERMINISTIC_FLAGS: dict[str, str] = {
    "xla_gpu_exclude_nondeterministic_ops": "true",
    "xla_gpu_deterministic_ops": "true",
    "xla_gpu_autotune_level": "0",
    "xla_cpu_multi_thread_eigen": "false",
    "xla_allow_excess_precision": "false",
}
DETERMINISTIC_SETTINGS: dict[str, str] = {
    "jax_default_prng_impl": "threefry2x32",
    "jax_default_matmul_precision": "highest",
}
# Of glibc's malloc.h, with the bytes that a process may keep for itself; a block of its own is 32 MB at the least.
TRIM_THRESHOLD, MMAP_THRESHOLD = (-1, 256 << 20), (-3, 32 << 20)
ALLOCATORS = ("default", "platform", "bfc", "cuda_async", "vmm")


class RuntimeSettings(NamedTuple):
    """What `configure` has put in force.

    Attributes:
        deterministic: whether equal inputs give equal bits in every process on this kind of machine.
        xla_flags: the flags that XLA reads when JAX begins to compute.
        threads: host threads of XLA's CPU client.
        allocator, memory_fraction: how memory of a GPU is taken; "" is JAX's own choice.
    """

    deterministic: bool
    xla_flags: str
    threads: str
    allocator: str
    memory_fraction: str


def has_computed() -> bool:
    """Whether JAX has begun to compute in this process, or in the one that it was forked from."""
    return xla_bridge.backends_are_initialized()


def configure(
    deterministic: bool = False,
    *,
    device: str = "auto",
    allocator: str | None = None,
    memory_fraction: float | None = None,
) -> RuntimeSettings:
    """Settle how XLA computes, before JAX computes anything.

    Args:
        deterministic: whether two processes must give the same bits: kernels without atomic additions or timed
            choices, one host thread, no precision beyond the declared one, and the counter-based random generator.
        device: "cpu" leaves a GPU alone; "auto" and "gpu" change nothing here, as a predictor asks for its device.
        allocator: of GPU memory, one of "default", "platform", "bfc", "cuda_async", "vmm"; left as it is where None.
        memory_fraction: share of a GPU's memory that an allocator with a pool takes, in (0, 1]; likewise.

    Returns:
        What is in force.

    Raises:
        RuntimeError: JAX has already begun to compute and the settings asked for differ from those that it read.
        ValueError: an unknown device or allocator, a fraction outside (0, 1], or a flag in `XLA_FLAGS` or a thread
            count in `PJRT_NPROC` that contradicts determinism.

    Source: seed 000, sections 5 and 17, in terms of current XLA.
    """
    if device not in ("auto", "cpu", "gpu"):
        raise ValueError(f"device = {device!r} is not one of auto, cpu, gpu")
    if allocator is not None and allocator not in ALLOCATORS:
        raise ValueError(f"allocator = {allocator!r} is not one of {', '.join(ALLOCATORS)}")
    if memory_fraction is not None and not 0.0 < memory_fraction <= 1.0:
        raise ValueError(f"memory_fraction = {memory_fraction!r} must be above 0 and at most 1")
    wanted: dict[str, str] = {}
    if deterministic:
        wanted["XLA_FLAGS"] = _flags_with(os.environ.get("XLA_FLAGS", ""))
        if os.environ["PJRT_NPROC"] != "1":
            raise ValueError(
                f"PJRT_NPROC = {os.environ['PJRT_NPROC']} lets reductions split by thread; unset it or set it to 1"
            )
    if allocator is not None:
        wanted["XLA_PYTHON_CLIENT_ALLOCATOR"] = allocator
    if memory_fraction is not None:
        wanted[_fraction_name()] = f"{memory_fraction:g}"
    changed = {name: value for name, value in wanted.items() if os.environ.get(name, "") != value}
    if changed and xla_bridge.backends_are_initialized():
        raise RuntimeError(
            f"configure() would change {', '.join(sorted(changed))}, but JAX has already begun to compute and read "
            "them; call uspnb.runtime.configure right after `import uspnb`, before any predictor is made"
        )
    os.environ.update(changed)
    if device == "cpu" and not xla_bridge.backends_are_initialized():
        jax.config.update("jax_platforms", "cpu")
    if deterministic:
        for name, value in DETERMINISTIC_SETTINGS.items():
            jax.config.update(name, value)
    return _in_force()


def _flag_values(flags: str) -> dict[str, str]:
    """Name and value of each flag; one without a value is switched on, and 1 and 0 are other words for it."""
    values: dict[str, str] = {}
    for flag in flags.split():
        name, sign, value = flag.lstrip("-").partition("=")
        value = value.lower() if sign else "true"
        on_off = DETERMINISTIC_FLAGS.get(name) in ("true", "false")
        values[name] = {"1": "true", "0": "false"}.get(value, value) if on_off else value
    return values


def _flags_with(present: str) -> str:
    """The flags of the user and those of determinism.

    Raises:
        ValueError: one of the user's flags contradicts them.
    """
    held = _flag_values(present)
    for name, value in DETERMINISTIC_FLAGS.items():
        if held.get(name, value) != value:
            raise ValueError(f"XLA_FLAGS holds --{name}={held[name]}, determinism needs {value}; take it out")
    missing = [f"--{name}={value}" for name, value in DETERMINISTIC_FLAGS.items() if name not in held]
    return " ".join([*present.split(), *missing])


def _fraction_name() -> str:
    """The variable of the memory fraction: JAX refuses both names at once, and the older one may be set outside."""
    old, new = "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION"
    return old if old in os.environ else new


def _in_force() -> RuntimeSettings:
    flags, threads = os.environ.get("XLA_FLAGS", ""), os.environ["PJRT_NPROC"]
    settings = all(jax.config.values[name] == value for name, value in DETERMINISTIC_SETTINGS.items())
    return RuntimeSettings(
        settings and threads == "1" and _flag_values(flags).items() >= DETERMINISTIC_FLAGS.items(),
        flags,
        threads,
        os.environ.get("XLA_PYTHON_CLIENT_ALLOCATOR", ""),
        os.environ.get(_fraction_name(), ""),
    )


def compilation_cache_dir() -> Path:
    """Folder of the persistent compilation cache: `USPNB_CACHE_DIR`, else `uspnb` in the user's cache folder."""
    chosen = os.environ.get("USPNB_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "uspnb" / "xla"


def enable_compilation_cache(directory: str | os.PathLike[str] | None = None) -> Path | None:
    """Keep compiled programs on disk, so that a second process starts without compiling.

    Args:
        directory: where to keep them; by default `compilation_cache_dir()`.

    Returns:
        The folder in use, or None where it cannot be written (the programs are then compiled anew each time) or where
        the user already named a cache by `JAX_COMPILATION_CACHE_DIR`.
    """
    named = jax.config.values["jax_compilation_cache_dir"]
    if directory is None and named:
        return Path(named)
    folder = Path(directory) if directory is not None else compilation_cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return folder


def platform() -> str:
    """Name of the platform that JAX computes on: "cpu", "gpu" or "tpu"."""
    return jax.default_backend()


def keep_freed_memory() -> bool:
    """Have this process keep up to 256 MB that it has freed, for the next tick; whether its C library can.

    Dask starts its workers so that they give back whatever exceeds 64 kB, and takes it anew at every tick: that is a
    third of a tick's time.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library than glibc
        return False
    return all([mallopt(*choice) == 1 for choice in (MMAP_THRESHOLD, TRIM_THRESHOLD)])
