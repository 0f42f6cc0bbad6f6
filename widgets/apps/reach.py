"""Who may reach a server, decided before anything heavy is imported."""

from __future__ import annotations

from uspnb.errors import DomainError
from uspnb.runtime.arguments import check_whole
from uspnb.runtime.credentials import is_loopback

LOOPBACK = "127.0.0.1"
APPS: dict[str, tuple[str, str]] = {
    "live": ("Live", "Watch one series being predicted, tick by tick."),
    "fleet": ("Fleet", "Many series at once; open the one that needs you."),
    "explore": ("Explore", "Look into a finished run, or compare two."),
    "tune": ("Tune", "Find the settings that predict a series best."),
}


def check_reach(app: str, address: str, port: int, password: str | None) -> None:
    """Refuse what must not or cannot be served.

    Raises:
        DomainError: see `serve`.
    """
    if app not in APPS:
        raise DomainError(f"there is no app {app!r}; choose among {', '.join(APPS)}")
    check_whole("port", port, 0, 65_535)
    if password == "":
        raise DomainError("the password is empty; choose another")
    if password is None and not is_loopback(address):
        raise DomainError(
            f"address {address} can be reached from other machines, and no password is set; name the environment "
            f"variable that holds one, --password-env NAME, or serve on this machine alone, --address {LOOPBACK}"
        )
