"""Memory of NVIDIA GPUs, read through NVML; a machine without one is told of once."""

from __future__ import annotations

import logging
import threading
from typing import NamedTuple

_log = logging.getLogger(__name__)
_reported = threading.Event()


class GpuReading(NamedTuple):
    """Memory of one GPU.

    Attributes:
        index: its number.
        name: what it is called.
        used, total: memory [bytes].
    """

    index: int
    name: str
    used: int
    total: int


class GpuMemory:
    """Reads the memory of every GPU that NVML sees.

    Attributes:
        absence: why nothing is to be read here, a sentence; None where there is a GPU.  It is logged once in a process.
    """

    def __init__(self) -> None:
        # Imported here: the binding is large, and most machines have no use for it.
        import pynvml

        self._nvml = pynvml
        self.absence: str | None = None
        try:
            pynvml.nvmlInit()
            if not pynvml.nvmlDeviceGetCount():
                self._is_absent("NVML sees no GPU")
        except pynvml.NVMLError as error:
            self._is_absent(str(error))

    def read(self) -> tuple[GpuReading, ...]:
        """Memory of each GPU now; empty where there is none, or where NVML stopped answering."""
        if self.absence is not None:
            return ()
        nvml = self._nvml
        try:
            return tuple(self._one(index) for index in range(nvml.nvmlDeviceGetCount()))
        except nvml.NVMLError as error:
            self._is_absent(str(error))
            return ()

    def _one(self, index: int) -> GpuReading:
        nvml = self._nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        name = nvml.nvmlDeviceGetName(handle)
        return GpuReading(index, str(name), int(memory.used), int(memory.total))

    def _is_absent(self, reason: str) -> None:
        self.absence = f"GPU memory is not measured: {reason}"
        if not _reported.is_set():
            _reported.set()
            _log.info(self.absence)
