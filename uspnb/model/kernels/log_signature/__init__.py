"""Kernel D: a linear functional of the log-signature of the recent path."""

from .kernel import (
    LogSignatureDiagnostics,
    LogSignatureState,
    init,
    step,
    truncate_depth,
)
from .signature import log_signature, log_signature_dimension, lyndon_words

__all__ = [
    "LogSignatureDiagnostics",
    "LogSignatureState",
    "init",
    "log_signature",
    "log_signature_dimension",
    "lyndon_words",
    "step",
    "truncate_depth",
]
