"""What a view and what it watches say to one another, whichever host the view lives in.

One protocol for every view; the front end's half is js/shared/link.js.  It says `hello` with its client and is sent
everything; it acknowledges a frame once it has drawn it, and no more than `CREDITS` are out before that, so that a slow
page slows itself down, never what it watches.  What came in the meantime travels together in the next frame.  A command
carries its client, a number that grows, and the commands before it, because a host may merge messages: each is carried
out once.  The status follows at most ten times a second, and the last one always.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from uspnb.errors import DomainError, UspnbError
from uspnb.runtime.arguments import check_text, check_whole, read_json_number

CREDITS = 2
STATUS_PERIOD_S = 0.1
MOST_CLIENTS = 64

Post = Callable[[str, Any], None]


class Throttle:
    """Calls something at most once in `interval` seconds, and always once more after the last request.

    Args:
        action: what is called, one call at a time, in the requester's thread or in a timer's.
        interval: least time between two calls [s].
        clock: seconds that only grow.
    """

    def __init__(
        self, action: Callable[[], None], interval: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._action, self._interval, self._clock = action, interval, clock
        self._lock, self._acting = threading.Lock(), threading.RLock()
        self._last = -math.inf
        self._timer: threading.Timer | None = None
        self._closed = False

    def __call__(self, at_once: bool = False) -> None:
        """Ask for a call; `at_once` makes it now, whatever the interval."""
        with self._lock:
            if self._closed or (self._timer is not None and not at_once):
                return
            left = self._last + self._interval - self._clock()
            if left > 0 and not at_once:
                self._timer = threading.Timer(left, self._late)
                self._timer.daemon = True
                self._timer.start()
                return
            self._last = self._clock()
        self._act()

    def close(self) -> None:
        """No call begins after this."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()

    def _late(self) -> None:
        with self._lock:
            self._timer, self._last = None, self._clock()
            if self._closed:
                return
        self._act()

    def _act(self) -> None:
        with self._acting:
            self._action()


class Frames:
    """Numbered frames for one front end, at most `credits` of them unacknowledged; any thread may call any method.

    Args:
        make: the next frame by its number and whether the front end starts afresh; None where there is nothing new.
        send: takes a frame to the front end; called locked, so it must not wait for another thread that uses this.
        credits: frames that may be under way unacknowledged.

    Raises:
        DomainError: no credit at all.
    """

    def __init__(
        self, make: Callable[[int, bool], bytes | None], send: Callable[[bytes], None], credits: int = CREDITS
    ) -> None:
        self._make, self._send, self._credits = make, send, check_whole("credits", credits, 1)
        self._lock = threading.RLock()
        self._in_flight: set[int] = set()
        self._seq, self._reset, self._closed = 0, True, False
        #: the front end that last said hello, None before
        self.client: str | None = None

    @property
    def in_flight(self) -> int:
        """Frames sent and not yet acknowledged."""
        return len(self._in_flight)

    def hello(self, client: str) -> None:
        """A front end has (re)appeared: whatever was under way counts no more and it is sent everything."""
        with self._lock:
            self.client, self._reset = client, True
            self._in_flight.clear()
            self.pump()

    def acknowledge(self, seq: int) -> None:
        """The front end has drawn frame `seq`, and with it all before."""
        with self._lock:
            self._in_flight = {number for number in self._in_flight if number > seq}
            self.pump()

    def pump(self) -> None:
        """Send what is new, while there is something, a front end to see it and a credit to spend."""
        with self._lock:
            while self.client is not None and not self._closed and len(self._in_flight) < self._credits:
                frame = self._make(self._seq + 1, self._reset)
                if frame is None:
                    return
                self._seq += 1
                self._reset = False
                self._in_flight.add(self._seq)
                self._send(frame)

    def send_aside(self, make: Callable[[int], bytes]) -> None:
        """Send a frame that was asked for; it takes a number and no credit."""
        with self._lock:
            if not self._closed and self.client is not None:
                self._seq += 1
                self._send(make(self._seq))

    def close(self) -> None:
        """Send no more."""
        with self._lock:
            self._closed = True
            self._in_flight.clear()


@dataclasses.dataclass(frozen=True)
class Command:
    """One command of a front end.

    Attributes:
        number: grows with each command of a client.
        name, value: what to do, and with what.
    """

    number: int
    name: str
    value: Any = None

    @classmethod
    def read(cls, message: Any) -> Command:
        """A command as a message holds it.

        Raises:
            DomainError: no dict, or one without a number and a name.
        """
        fields = read_fields(message)
        number = check_whole("id", read_json_number(fields.get("id")), 1, remedy="number the commands of a client")
        return cls(number, check_text("name", fields.get("name")), fields.get("value"))


class Commands:
    """Which commands of each front end are new; one counter a client, the clients of longest ago are let go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: dict[str, int] = {}

    def take_new(self, client: str, commands: list[Command]) -> list[Command]:
        """Those of a client's `commands` that were not taken before, in their order."""
        with self._lock:
            done = self._done.pop(client, 0)
            new = [command for command in commands if command.number > done]
            self._done[client] = max([done, *(command.number for command in new)])
            while len(self._done) > MOST_CLIENTS:
                del self._done[next(iter(self._done))]
        return new


class Link(ABC):
    """Carries frames and a status from what is watched to one widget, and commands back.

    A link of its own kind says what the meta is.  Any thread may call any method.

    Args:
        watched: has `subscribe(callback)`, which returns what ends that, `status` and `command(name, value)`.
        post: sets a trait of the widget by name.
        next_frame: everything since the last frame by the number of the next one, all there is where the front end
            starts afresh; None where there is nothing new.
    """

    #: traits that the front end sets and the link takes
    inbound: ClassVar[tuple[str, ...]] = ("acknowledged", "hello", "command")
    #: fields of the status whose change alone is no news
    clocks: ClassVar[tuple[str, ...]] = ()

    def __init__(self, watched: Any, post: Post, next_frame: Callable[[int, bool], bytes | None]) -> None:
        self.watched, self._set_trait = watched, post
        self.frames = Frames(next_frame, lambda frame: self.post("frame", frame))
        self._commands = Commands()
        self._throttle = Throttle(self._post_status, STATUS_PERIOD_S)
        self._posted: dict[str, Any] = {}
        self._phase: Any = None
        self._notice: dict[str, Any] | None = None
        self._notices = itertools.count(1)
        self._pong: list[Any] | None = None
        self._unsubscribe: Callable[[], None] | None = None
        #: whether nothing is sent any more
        self.closed = False
        #: why the last command was refused, "" where it was not
        self.refused = ""
        self.meta = self.read_meta()

    # -- what a link of its own kind says ---------------------------------------------------------------------------

    @abstractmethod
    def read_meta(self) -> dict[str, Any]:
        """What the front end must know beside frames and status, as JSON can hold it."""

    @property
    def phase(self) -> str:
        """What of the status the front end hears of at once when it changes."""
        return self.watched.status.phase

    def read_status(self) -> dict[str, Any]:
        """The status of what is watched, as JSON can hold it but for infinities and NaN."""
        return self.watched.status.as_dict()

    def carry_out(self, name: str, value: Any) -> str | None:
        """Do what a reader commands; a string is shown in the view.

        Raises:
            UspnbError: it is refused; the sentence is shown.
        """
        self.watched.command(name, value)

    def take(self, name: str, value: dict[str, Any]) -> None:
        """Take one of `inbound` that not every link has.

        Raises:
            DomainError: it cannot be read.
        """
        raise DomainError(f"{name!r} is not one of {', '.join(map(repr, self.inbound))}")

    # -- what every link does ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to listen."""
        if self._unsubscribe is None and not self.closed:
            self._unsubscribe = self.watched.subscribe(self.changed)

    def close(self) -> None:
        """Send no more; what is watched goes on."""
        self.closed = True
        unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()
        self._throttle.close()
        self.frames.close()

    def changed(self) -> None:
        """What is watched has something new."""
        self.frames.pump()
        self.tell()

    def post(self, name: str, value: Any) -> None:
        """Set a trait of the widget, unless the link is closed."""
        if not self.closed:
            self._set_trait(name, value)

    def tell(self, at_once: bool = False) -> None:
        """Post the status if it has changed: a new phase at once, other news at most ten times a second."""
        self._throttle(at_once or self.phase != self._phase)

    def notice(self, text: str, client: str | None = None, refused: bool = False) -> None:
        """Have the view show a sentence for some seconds.

        Args:
            text: the sentence.
            client: whom it answers, None for everybody.
            refused: whether it says why something was not done.
        """
        self._notice = {"id": next(self._notices), "text": text, "client": client, "refused": refused}
        self.tell(at_once=True)

    def receive(self, name: str, value: Any) -> None:
        """Take a trait that the front end has set: one of `inbound`."""
        if self.closed or not value:
            return
        try:
            if name == "acknowledged":
                self.frames.acknowledge(check_whole("acknowledged", read_json_number(value), 0))
            elif name == "hello":
                self.greet(check_text("client", read_fields(value).get("client")))
            elif name == "command":
                self._take_commands(read_fields(value))
            else:
                self.take(name, read_fields(value))
        except DomainError as error:
            self.notice(f"A message of the page was not understood: {error}", refused=True)

    def greet(self, client: str) -> None:
        """A front end has (re)appeared: it is sent the status, then all frames."""
        self.tell(at_once=True)
        self.frames.hello(client)

    def _take_commands(self, message: dict[str, Any]) -> None:
        client = check_text("client", message.get("client"))
        recent = message.get("recent") or [message]
        if not isinstance(recent, list):
            raise DomainError(f"recent = {recent!r:.80} must be a list of commands")
        for command in self._commands.take_new(client, [Command.read(one) for one in recent]):
            self._carry_out(client, command)

    def _carry_out(self, client: str, command: Command) -> None:
        if command.name == "ping":
            self._pong = [command.number, time.time()]
            self.tell(at_once=True)
            return
        try:
            answer, self.refused = self.carry_out(command.name, command.value), ""
        except (UspnbError, OSError) as error:
            answer = self.refused = str(error)
        if answer:
            self.notice(answer, client, refused=bool(self.refused))
        else:
            self.tell(at_once=True)

    def _post_status(self) -> None:
        phase = self.phase
        status = {name: _plain(value) for name, value in self.read_status().items()}
        status |= {"notice": self._notice, "pong": self._pong}
        clocks = dict.fromkeys(self.clocks)
        if self.closed or status | clocks == self._posted | clocks:
            return
        self._posted, self._phase = status, phase
        meta = self.read_meta()
        if meta != self.meta:
            self.meta = meta
            self.post("meta", meta)
        self.post("status", status)


def read_fields(message: Any) -> dict[str, Any]:
    """A message of a front end.

    Raises:
        DomainError: it is no dict.
    """
    if not isinstance(message, dict):
        raise DomainError(f"{message!r:.80} must be a dict of fields")
    return message


def _plain(value: Any) -> Any:
    # JSON has no word for infinity or NaN, and a browser refuses a message that contains one.
    return None if isinstance(value, float) and not math.isfinite(value) else value
