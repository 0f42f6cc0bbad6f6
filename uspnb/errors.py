"""Exceptions and warnings of uspnb, one hierarchy under `UspnbError`.

An error names the value that was refused, the bound that it broke and what to do about it.  Inside jit nothing
raises: there the result's flags speak.
"""

from __future__ import annotations


class UspnbError(Exception):
    """Base of every exception that uspnb raises on purpose."""


class DomainError(UspnbError, ValueError):
    """A value outside the domain of the operation: a tick beyond the outlier bound, a series of the wrong shape."""


class ConfigError(UspnbError, ValueError):
    """A configuration value, key, type or file that cannot be used."""


class ConfigMutationError(ConfigError):
    """A change of the configuration that the mutation policy refuses."""


class IntegrityError(UspnbError):
    """Stored bytes do not match their checksum."""


class StalenessWarning(UserWarning):
    """A tick is older than its time to live; the weights are held until fresh ticks come."""


class FrequencyWarning(UserWarning):
    """Ticks are further apart than the sampling limit; the roughness estimate may alias."""


class ReloadWarning(UserWarning):
    """A changed configuration file cannot be used; the settings in force stay."""
