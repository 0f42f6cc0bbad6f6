"""A service in a thread of its own, and a client of its pages."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from waiting import PATIENCE_S, until

from uspnb.engine.service import Service


class Running:
    """A service in a thread of its own.

    Attributes:
        code: what `run` returned, None before.
        error: what it raised.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.code: int | None = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.code = self.service.run()
        except Exception as error:  # the test's thread looks at it
            self.error = error

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to come true while the service runs."""
        until(lambda: self.error is not None or condition())
        if self.error is not None:
            raise self.error

    def ready(self) -> Running:
        """Wait until ticks are taken."""
        self.until(lambda: self.service.phase == "running")
        return self

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of a page."""
        return fetched(f"{self.service.url}{path}")

    def status(self) -> dict[str, Any]:
        """The status page."""
        return json.loads(self.page("/status")[1])

    def metric(self, sample: str) -> float:
        """One sample of the metrics page."""
        for line in self.page("/metrics")[1].splitlines():
            if line.startswith(f"{sample} "):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"no sample {sample}")

    def end(self) -> int | None:
        """Stop it, and its exit code."""
        self.service.stop("the test ends")
        self._thread.join()
        if self.error is not None:
            raise self.error
        return self.code


def fetched(url: str, host: str | None = None) -> tuple[int, str]:
    """Status and text of a page."""
    request = urllib.request.Request(url, headers={} if host is None else {"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
