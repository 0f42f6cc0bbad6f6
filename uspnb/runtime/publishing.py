"""The publisher thread: tells those who watch that something changed, about thirty times a second at the most."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

PERIOD_S = 1 / 30

Callback = Callable[[], object]


class Publisher:
    """Calls every subscriber after a change, from one thread of its own, never from the one that computes.

    Args:
        failed: told the reason when a subscriber raised and was dropped.
        name: of the thread.
    """

    def __init__(self, failed: Callable[[str], None], name: str = "uspnb-publisher") -> None:
        self._failed, self._name = failed, name
        self._callbacks: list[Callback] = []
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call `callback` after changes, and once soon after this.

        Returns:
            A function that ends the subscription; calling it twice does no harm.
        """
        with self._lock:
            self._callbacks.append(callback)
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._publish, name=self._name, daemon=True)
                self._thread.start()
        self._changed.set()

        def unsubscribe() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._callbacks.remove(callback)

        return unsubscribe

    def changed(self) -> None:
        """Something is new; costs next to nothing."""
        if not self._changed.is_set():
            self._changed.set()

    def close(self) -> None:
        """Tell everybody a last time, then end the thread."""
        self._closing = True
        self._changed.set()

    def join(self, timeout: float) -> None:
        """Wait for the thread's end, unless it is the one that asks."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _publish(self) -> None:
        while True:
            self._changed.wait()
            began = time.monotonic()
            self._changed.clear()
            closing = self._closing
            with self._lock:
                callbacks = list(self._callbacks)
            for callback in callbacks:
                self._call(callback)
            if closing:
                return
            time.sleep(max(0.0, PERIOD_S - (time.monotonic() - began)))

    def _call(self, callback: Callback) -> None:
        try:
            callback()
        except Exception as error:  # it is the subscriber's own code: whatever it raises must not stop the others
            with self._lock, contextlib.suppress(ValueError):
                self._callbacks.remove(callback)
            self._failed(f"a subscriber raised {type(error).__name__}: {error}; it is no longer called")
