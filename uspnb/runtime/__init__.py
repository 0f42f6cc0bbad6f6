"""The machine below everything else: precision and threads, files, processes, clusters, words.

Importing it sets double precision before JAX allocates anything; see `uspnb.runtime.machine`.
"""

from .machine import (
    ALLOCATORS,
    DETERMINISTIC_FLAGS,
    DETERMINISTIC_SETTINGS,
    RuntimeSettings,
    compilation_cache_dir,
    configure,
    enable_compilation_cache,
    keep_freed_memory,
    platform,
)

__all__ = [
    "ALLOCATORS",
    "DETERMINISTIC_FLAGS",
    "DETERMINISTIC_SETTINGS",
    "RuntimeSettings",
    "compilation_cache_dir",
    "configure",
    "enable_compilation_cache",
    "keep_freed_memory",
    "platform",
]
