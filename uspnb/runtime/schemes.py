"""Addresses by their scheme, `scheme:rest`: what opens them, shipped with the package or brought by a user."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

from ..errors import DomainError
from .arguments import check_function

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+")  # two characters at least: one names a drive


class SchemeRegistry:
    """Functions that open addresses, by scheme; a user's opener is called with the whole address and the options.

    An installed package brings a scheme by an entry point of its name, which is loaded when the scheme is first met.

    Args:
        what: what is opened, for messages: "source".
        group: of the entry points, "uspnb.sources".
        shipped: schemes of the package itself, which nobody replaces.
    """

    def __init__(self, what: str, group: str, shipped: tuple[str, ...]) -> None:
        self._what, self._group, self._shipped = what, group, shipped
        self._openers: dict[str, Callable[..., Any]] = {}

    def register(self, scheme: str, opener: Callable[..., Any]) -> None:
        """Have addresses of a scheme opened by a function; a second one replaces the first.

        Args:
            scheme: small letters, digits, "+", "-" and ".", two characters or more.
            opener: (address, **options) -> what is opened.

        Raises:
            DomainError: no scheme, one of the package's own, or no function.
        """
        if not isinstance(scheme, str) or not _SCHEME.fullmatch(scheme):
            raise DomainError(
                f"scheme = {scheme!r:.80} must be two or more small letters, digits, '+', '-' or '.', a letter first"
            )
        if scheme in self._shipped:
            raise DomainError(f"the scheme {scheme!r} is one of the package's own; choose another name")
        self._openers[scheme] = check_function("opener", opener, "give a function of the address and its options")

    def find(self, address: str) -> Callable[..., Any] | None:
        """The opener of an address of a registered scheme, None where there is none."""
        scheme, colon, _ = address.partition(":")
        scheme = scheme.lower()
        if not colon or scheme in self._shipped or not _SCHEME.fullmatch(scheme):
            return None
        if scheme not in self._openers:
            for point in metadata.entry_points(group=self._group, name=scheme):
                self.register(scheme, point.load())
        return self._openers.get(scheme)

    def schemes(self) -> tuple[str, ...]:
        """The schemes that can be opened, the package's own first."""
        brought = {*self._openers, *metadata.entry_points(group=self._group).names}
        return (*self._shipped, *sorted(brought - {*self._shipped}))

    def open(self, opener: Callable[..., Any], address: str, options: Mapping[str, Any], kind: type) -> Any:
        """What a user's opener makes of an address.

        Raises:
            DomainError: an option that it does not have, or what it returns is none of the kind.
        """
        opened = call_with_options(opener, (address,), options, f"this {self._what}")
        if not isinstance(opened, kind):
            raise DomainError(
                f"what opens {address.partition(':')[0]}: gave a {type(opened).__name__}, which is no {self._what}"
            )
        return opened


def call_with_options(make: Callable[..., Any], arguments: Sequence[Any], options: Mapping[str, Any], what: str) -> Any:
    """Call a function with its first arguments and with options that a user named.

    Args:
        make: the function.
        given: its first arguments, in their order.
        options: further arguments, by name.
        what: whose options they are, for the message.

    Raises:
        DomainError: an option that the function does not take; the message lists those that it takes.
    """
    parameters = list(inspect.signature(make).parameters.values())[len(arguments) :]
    names = [one.name for one in parameters if one.kind is not inspect.Parameter.VAR_KEYWORD]
    odd = [name for name in options if name not in names]
    if odd and len(names) == len(parameters):
        remedy = f"its options are {', '.join(names)}" if names else "it takes no options"
        raise DomainError(f"{what} has no option {odd[0]!r}; {remedy}")
    return make(*arguments, **options)
