"""What a deployed service endures: `python benchmarks/endurance.py [--stages restart drip soak] [--minutes 60]`.

The service is `uspnb run` in a process of its own on a free port of this machine.

restart: SIGTERM and SIGKILL alternately, and each time a start at once on the same port with the same snapshots, while
a scraper reads /metrics every second; how long from the start until /readyz says 200, and whether all rows of the
source are in the last snapshot.
drip: connections that each send a byte of a request a second, and are opened anew at once where the server closes
them, while /healthz is asked every 50 ms.
soak: three series, from a CSV file that grows, a WebSocket and an HTTP server, with telemetry, snapshots, a scraper,
and a page server that follows the file and has a visitor every 30 s (Chromium where there is one); memory, open files
and threads every 10 s, and whether every tick that was sent is in the last snapshot.  The process varies: its noise is
three times as strong in every second ten minutes.

Settings and their defaults:

    --restarts 20      signals of the restart stage
    --connections 200  of the drip stage
    --seconds 30.0     of the drip stage
    --minutes 60.0     of the soak stage
    --rate 20.0        ticks a second of each source
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import http.server
import itertools
import json
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tables import parser, show_stages
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from uspnb.persistence.snapshots import SnapshotFolder, progress_from, read_snapshot

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = {"stage": "", "what": "", "value": ",.3f", "unit": ""}
SEED = 9300
HOST = "127.0.0.1"
BACK_WITHIN_S = 10.0  # bar of the restart stage
PATIENCE_S = 300.0
LOOK_S = 0.02
SCRAPE_S, SAMPLE_S, VISIT_S, TOLD_S = 1.0, 10.0, 30.0, 60.0
POLL_S = 0.05
ROUGH_S = 600.0  # between two changes of the process
HISTORY = 50  # rows that a file holds before anybody reads it
LATE_S = 2.0
STAYS_MS = 5_000  # how long a visitor looks
AGE = re.compile(r'^predictor_last_tick_age_seconds\{asset="([^"]+)"\} (\S+)$', re.MULTILINE)
MEGABYTE = 1e6
Rows = list[list[Any]]


def note(text: str) -> None:
    """Tell how it goes, beside the table."""
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def free_port() -> int:
    """One that nobody has at present."""
    with socket.create_server((HOST, 0)) as probe:
        return probe.getsockname()[1]


def asked(port: int, path: str, timeout_s: float = PATIENCE_S) -> tuple[int, str]:
    """Status and text of a page; status 0 where nobody answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""


class Deployed:
    """`uspnb run` below a folder, on one port, started again and again.

    Args:
        folder: for its settings, its log and what it writes.
        interval: ticks between two snapshots.
        sources: what it reads, `NAME=WHAT`.
    """

    def __init__(self, folder: Path, interval: int, sources: list[str]) -> None:
        self.folder, self.port, self.log = folder, free_port(), folder / "service.log"
        settings = folder / "c.toml"
        settings.write_text(f"[io]\nmetrics_port = {self.port}\nsnapshot_interval_steps = {interval}\n")
        given = [part for source in sources for part in ("--source", source)]
        self._line = [sys.executable, "-m", "uspnb", "run", "--config", str(settings), *given, "--follow"]
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self.log.open("a") as log:
            return subprocess.Popen(self._line, cwd=self.folder, stdout=log, stderr=log)

    def start(self) -> None:
        """Start it again, after it ended."""
        self.process = self._started()

    def ready(self) -> int:
        """Wait until /readyz says 200; how many starts ended by themselves and were made again.

        Raises:
            RuntimeError: it does not come.
        """
        refused, last = 0, time.monotonic() + PATIENCE_S
        while asked(self.port, "/readyz")[0] != 200:
            if self.process.poll() is not None:
                refused += 1
                self.start()
            if time.monotonic() > last or refused > 20:
                self.end(signal.SIGKILL)
                raise RuntimeError(self.log.read_text()[-3000:])
            time.sleep(LOOK_S)
        return refused

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def ticks_kept(self, name: str) -> int:
        """Ticks of a series in its newest snapshot, those included that it keeps for the next start."""
        payload = read_snapshot(SnapshotFolder(self.folder / "io" / "snapshots" / name).paths()[-1])
        progress, backlog = progress_from(payload), payload.get("backlog", {"values": ()})
        return (0 if progress is None else progress.ticks) + len(backlog["values"])


class Repeated:
    """Something done again and again in a thread, until the block ends.

    Args:
        act: what is done.
        every_s: from one beginning to the next [s].
        last: what is done in that thread at the end.
    """

    def __init__(self, act: Callable[[], object], every_s: float, last: Callable[[], object] = lambda: None) -> None:
        self._act, self._every_s, self._last, self._ended = act, every_s, last, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ended.wait(max(due - time.monotonic(), 0.0)):
            self._act()
            due = max(due + self._every_s, time.monotonic())
        self._last()

    def __enter__(self) -> Repeated:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


class Feed:
    """Ticks of one source at a set rate, until they are ended; an autoregression whose noise comes and goes.

    Args:
        rate: ticks a second.
        seed: of the noise.

    Attributes:
        sent: ticks that were given away.
        connections: how often somebody asked for them.
    """

    def __init__(self, rate: float, seed: int) -> None:
        self.sent = self.connections = 0
        self._rate, self._ended = rate, threading.Event()
        self._generator, self._value, self._began = np.random.default_rng(seed), 0.0, time.monotonic()

    def ticks(self) -> Iterator[tuple[str, float]]:
        """Time and value of each tick when it is due; what was given away is counted when the next is asked for."""
        self.connections += 1
        began = time.monotonic()
        for number in itertools.count():
            if self._ended.wait(max(began + number / self._rate - time.monotonic(), 0.0)):
                return
            rough = (time.monotonic() - self._began) // ROUGH_S % 2 == 1
            self._value = 0.9 * self._value + self._generator.standard_normal() * (3.0 if rough else 1.0)
            yield datetime.datetime.now(datetime.UTC).isoformat(), self._value
            self.sent += 1

    def close(self) -> None:
        """End it after the tick that is under way."""
        self._ended.set()


class GrowingFile(Feed):
    """Rows that are appended to a CSV file."""

    def __init__(self, path: Path, rate: float, seed: int) -> None:
        super().__init__(rate, seed)
        self.source = str(path)
        now = datetime.datetime.now(datetime.UTC)
        ages = (datetime.timedelta(seconds=(HISTORY - k) / rate) for k in range(HISTORY))
        path.write_text("time,value\n" + "".join(f"{(now - age).isoformat()},{age.total_seconds()}\n" for age in ages))
        self.sent, self._path = HISTORY, path
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._path.open("a") as file:
            for stamp, value in self.ticks():
                file.write(f"{stamp},{value!r}\n")
                file.flush()

    def close(self) -> None:
        super().close()
        self._thread.join()


class WebSocketFeed(Feed):
    """Messages of a WebSocket, each an object of time and value."""

    def __init__(self, rate: float, seed: int) -> None:
        super().__init__(rate, seed)
        self._server = serve(self._send, HOST, 0)
        self.source = f"ws://{HOST}:{self._server.socket.getsockname()[1]}/ticks"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _send(self, connection: Any) -> None:
        with contextlib.suppress(ConnectionClosed):
            for stamp, value in self.ticks():
                connection.send(json.dumps({"time": stamp, "value": value}))
            connection.recv()  # the service closes it

    def down(self) -> None:
        """Serve no more."""
        self._server.shutdown()


class HttpFeed(Feed):
    """Lines of an HTTP response that does not end, each an object of time and value."""

    def __init__(self, rate: float, seed: int) -> None:
        super().__init__(rate, seed)
        feed, self._over = self, threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/x-ndjson")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                with contextlib.suppress(OSError):
                    for stamp, value in feed.ticks():
                        line = json.dumps({"time": stamp, "value": value}).encode() + b"\n"
                        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                    feed._over.wait()
                self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.source = f"http://{HOST}:{self._server.server_port}/ticks"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def down(self) -> None:
        """Serve no more."""
        self._over.set()
        self._server.shutdown()


class Scraper:
    """Reads pages of a service and keeps what they said.

    Args:
        port: of the service.
        paths: of the pages.
        late_s: age of a tick that is worth a note [s].

    Attributes:
        answers: how often each status came; 0 is no answer.
        oldest_s: the largest age of a tick by series [s].
        not_ready: what /readyz said when it was not 200, and how often.
    """

    def __init__(self, port: int, *paths: str, late_s: float = np.inf) -> None:
        self._port, self._paths, self._late_s = port, paths, late_s
        self.answers: Counter[int] = Counter()
        self.not_ready: Counter[str] = Counter()
        self.oldest_s: dict[str, float] = {}

    def __call__(self) -> None:
        for path in self._paths:
            status, text = asked(self._port, path)
            if path == "/readyz":
                self.not_ready.update([] if status == 200 else text.splitlines() or ["no answer"])
                continue
            self.answers[status] += 1
            for name, age in AGE.findall(text):
                self.oldest_s[name] = max(self.oldest_s.get(name, 0.0), float(age))
                if float(age) > self._late_s:
                    note(f"{name}: no tick for {age} s")


def restart_stage(options: Any) -> Rows:
    """Signals, and starts on the same port."""
    moments = random.Random(SEED)
    kinds = [(signal.SIGTERM, signal.SIGKILL)[k % 2] for k in range(options.restarts)]
    back_s: dict[signal.Signals, list[float]] = {signal.SIGTERM: [], signal.SIGKILL: []}
    ending_s, unclean, refused = [], 0, 0
    with tempfile.TemporaryDirectory() as root:
        feed = GrowingFile(Path(root) / "ticks.csv", options.rate, SEED)
        service = Deployed(Path(root), 100, [f"a={feed.source}"])
        scraper = Scraper(service.port, "/metrics")
        with Repeated(scraper, SCRAPE_S):
            service.ready()
            for kind in kinds:
                time.sleep(moments.uniform(1.0, 6.0))  # snapshots are 5 s apart
                began = time.monotonic()
                code = service.end(kind)
                if kind is signal.SIGTERM:
                    ending_s.append(time.monotonic() - began)
                    unclean += code != 0
                began = time.monotonic()
                service.start()
                refused += service.ready()
                back_s[kind].append(time.monotonic() - began)
            feed.close()
            time.sleep(2.0)
            code = service.end()
        lost = feed.sent - service.ticks_kept("a")
    rows: Rows = []
    for kind, seconds in back_s.items():
        if seconds:
            rows += [
                ["restart", f"starts after {kind.name}", float(len(seconds)), ""],
                ["restart", f"ready again after {kind.name}, median", statistics.median(seconds), "s"],
                ["restart", f"ready again after {kind.name}, longest", max(seconds), "s"],
                ["restart", f"after {kind.name} later than 10 s", float(sum(s > BACK_WITHIN_S for s in seconds)), ""],
            ]
    return [
        *rows,
        ["restart", "starts that ended by themselves", float(refused), ""],
        ["restart", "from SIGTERM to the end, longest", max(ending_s, default=0.0), "s"],
        ["restart", "SIGTERMs that did not end with code 0", float(unclean + (code != 0)), ""],
        ["restart", "scrapes that were answered", float(scraper.answers[200]), ""],
        ["restart", "scrapes while nobody listened", float(scraper.answers[0]), ""],
        ["restart", "rows of the source", float(feed.sent), ""],
        ["restart", "of them not in the last snapshot", float(lost), ""],
    ]


def drip_stage(options: Any) -> Rows:
    """Health under connections that drip."""
    sys.path.append(str(ROOT / "tests" / "support"))
    from dripping import Drip

    seconds, failures = [], 0
    with tempfile.TemporaryDirectory() as root:
        feed = GrowingFile(Path(root) / "ticks.csv", options.rate, SEED)
        service = Deployed(Path(root), 1000, [f"a={feed.source}"])
        service.ready()
        with Drip(service.port, options.connections) as drip:
            last = time.monotonic() + options.seconds
            while (began := time.monotonic()) < last:
                failures += asked(service.port, "/healthz")[0] != 200
                seconds.append(time.monotonic() - began)
                time.sleep(max(POLL_S - seconds[-1], 0.0))
        opened = drip.opened
        feed.close()
        code = service.end()
    return [
        ["drip", "connections that drip", float(options.connections), ""],
        ["drip", "opened in all", float(opened), ""],
        ["drip", "polls of /healthz", float(len(seconds)), ""],
        ["drip", "polls that failed", float(failures), ""],
        ["drip", "answer to a poll, median", float(np.quantile(seconds, 0.5)) * 1e3, "ms"],
        ["drip", "answer to a poll, p99", float(np.quantile(seconds, 0.99)) * 1e3, "ms"],
        ["drip", "answer to a poll, longest", max(seconds) * 1e3, "ms"],
        ["drip", "exit code after it", float(code), ""],
    ]


class Gauges:
    """Memory, open files and threads of processes, taken again and again.

    Args:
        processes: by the name that the table gives them.
    """

    def __init__(self, processes: dict[str, psutil.Process]) -> None:
        self._processes, self._began, self._told_s = processes, time.monotonic(), 0.0
        self.samples: dict[str, list[tuple[float, float, int, int]]] = {name: [] for name in processes}

    def __call__(self) -> None:
        at_s = time.monotonic() - self._began
        for name, process in self._processes.items():
            with contextlib.suppress(psutil.NoSuchProcess), process.oneshot():
                size = process.memory_info().rss / MEGABYTE
                self.samples[name].append((at_s, size, process.num_fds(), process.num_threads()))
        if at_s >= self._told_s:
            self._told_s = at_s + TOLD_S
            newest = {name: samples[-1][1:] for name, samples in self.samples.items() if samples}
            note(f"{at_s:,.0f} s: " + ", ".join(f"{k} {mb:.1f} MB {f} {t}" for k, (mb, f, t) in newest.items()))

    def rows(self) -> Rows:
        """Of each process, after a fifth of the time and at the end; medians over about a minute."""
        rows: Rows = []
        for name, samples in self.samples.items():
            fifth = max(len(samples) // 5, 1)
            around = min(fifth, 6)
            early, late = (np.median(np.array(part), axis=0) for part in (samples[fifth:][:around], samples[-around:]))
            at_s, sizes = np.array(samples[fifth:])[:, :2].T
            slope = float(np.polyfit(at_s, sizes, 1)[0])
            rows += [
                ["soak", f"{name}: memory after a fifth", early[1], "MB"],
                ["soak", f"{name}: memory at the end", late[1], "MB"],
                ["soak", f"{name}: end over fifth", late[1] / early[1], ""],
                ["soak", f"{name}: slope over the last four fifths", slope * 3600.0, "MB/h"],
                ["soak", f"{name}: open files after a fifth", early[2], ""],
                ["soak", f"{name}: open files at the end", late[2], ""],
                ["soak", f"{name}: threads after a fifth", early[3], ""],
                ["soak", f"{name}: threads at the end", late[3], ""],
            ]
        return rows


class Visitor:
    """Opens the live page, looks at it for a while and leaves; without Chromium it only fetches the page.

    Attributes:
        seen: pages that showed ticks, or that were fetched where there is no browser.
        failed: those that did not.
    """

    def __init__(self, server: Any, chromium: str | None) -> None:
        self._server, self._chromium, self.seen, self.failed = server, chromium, 0, 0
        self._browser: Any = None
        self._playwright: Any = None

    def __call__(self) -> None:
        try:
            good = self._look() if self._chromium else self._fetch()
        except Exception as error:  # whatever a browser raises is one failed visit
            note(f"a visit failed: {str(error)[:500]}")
            good = False
        self.seen, self.failed = self.seen + good, self.failed + (not good)

    def _fetch(self) -> bool:
        return asked(int(self._server.address.rpartition(":")[2]), "/live")[0] == 200

    def _look(self) -> bool:
        from browser import FLAGS, Watched
        from playwright.sync_api import sync_playwright

        if self._browser is None:  # Playwright wants all calls from one thread, the one that visits
            self._playwright = sync_playwright().start()
            self._browser = self._playwright.chromium.launch(executable_path=self._chromium, args=FLAGS)
        watched = Watched(self._browser)
        watched.page.goto(f"{self._server.address}/live", timeout=PATIENCE_S * 1e3)
        watched.page.locator("canvas").first.wait_for(timeout=PATIENCE_S * 1e3)
        watched.page.wait_for_timeout(STAYS_MS)
        watched.close()
        return True

    def close(self) -> None:
        """End the browser; in the thread that visits."""
        if self._browser is not None:
            self._browser.close()
            self._playwright.stop()


def soak_stage(options: Any) -> Rows:
    """Three sources, a scraper and a visitor, for long."""
    sys.path.append(str(ROOT / "tests" / "support"))
    from browser import chromium_path, served

    with tempfile.TemporaryDirectory() as root, contextlib.ExitStack() as opened:
        feeds = {
            "file": GrowingFile(Path(root) / "ticks.csv", options.rate, SEED),
            "websocket": WebSocketFeed(options.rate, SEED + 1),
            "http": HttpFeed(options.rate, SEED + 2),
        }
        service = Deployed(Path(root), 1000, [f"{name}={feed.source}" for name, feed in feeds.items()])
        service.ready()
        pages = opened.enter_context(served("live", "--source", feeds["file"].source, "--follow"))
        pages.wait_until_warm()
        own = psutil.Process(service.process.pid)
        writing = psutil.Process(json.loads(asked(service.port, "/status")[1])["telemetry"]["pid"])
        gauges = Gauges({"service": own, "its telemetry": writing, "pages": psutil.Process(pages.process.pid)})
        scraper, readiness = (
            Scraper(service.port, "/metrics", "/status", late_s=LATE_S),
            Scraper(service.port, "/readyz"),
        )
        visitor = Visitor(pages, chromium_path())
        try:
            # Those that stop at once stop first, the visitor's last visit takes some seconds.
            watching = [Repeated(gauges, SAMPLE_S), Repeated(scraper, SCRAPE_S), Repeated(readiness, SAMPLE_S)]
            with Repeated(visitor, VISIT_S, visitor.close), watching[0], watching[1], watching[2]:
                time.sleep(60.0 * options.minutes)
            for feed in feeds.values():
                feed.close()
            time.sleep(2.0)  # what is under way in a socket has been sent, and not accepted yet
            told = json.loads(asked(service.port, "/status")[1])
        finally:
            began = time.monotonic()
            code = service.end()
            ending_s = time.monotonic() - began
        note(f"not ready: {dict(readiness.not_ready)}; alarms: {[one['alarms'] for one in told['series'].values()]}")
        kept = {name: service.ticks_kept(name) for name in feeds}
        for feed in feeds.values():
            if not isinstance(feed, GrowingFile):
                feed.down()
    rows = gauges.rows()
    for name, feed in feeds.items():
        rows += [
            ["soak", f"{name}: ticks sent", float(feed.sent), ""],
            ["soak", f"{name}: ticks in the last snapshot", float(kept[name]), ""],
            ["soak", f"{name}: largest tick age", scraper.oldest_s.get(name, np.nan), "s"],
        ]
    return [
        *rows,
        [
            "soak",
            "times that somebody connected, both servers",
            float(feeds["websocket"].connections + feeds["http"].connections),
            "",
        ],
        ["soak", "telemetry records dropped", float(told["telemetry"]["dropped"]), ""],
        ["soak", "scrapes", float(sum(scraper.answers.values())), ""],
        ["soak", "scrapes that failed", float(sum(scraper.answers.values()) - scraper.answers[200]), ""],
        ["soak", "looks at /readyz that found it not ready", float(sum(readiness.not_ready.values())), ""],
        ["soak", "visits of the page", float(visitor.seen), ""],
        ["soak", "visits that failed", float(visitor.failed), ""],
        ["soak", "from SIGTERM to the end", ending_s, "s"],
        ["soak", "exit code after it", float(code), ""],
    ]


STAGES = {"restart": restart_stage, "drip": drip_stage, "soak": soak_stage}


def main() -> None:
    """Run the stages that were asked for."""
    options = parser(__doc__, STAGES).parse_args()
    show_stages("A deployed service", COLUMNS, STAGES, options)


if __name__ == "__main__":
    main()
