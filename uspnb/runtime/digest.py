"""SHA-256 of bytes, of files and of pytrees, the same on every machine.

The digest of a pytree answers one question: are these two states bit for bit the same?  It therefore does not
forgive: 0.0 and -0.0 differ, and so do float32 and float64 of one value.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_PLAIN_KINDS = "biufcmMSU"


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256 of some bytes (FIPS 180-4)."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's content, read in pieces so that its size does not matter.

    Raises:
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_pytree(tree: Any) -> str:
    """Hexadecimal SHA-256 of a pytree's leaves in a canonical form.

    Each leaf contributes its path in the tree (as `jax.tree_util.keystr` writes it), its dtype, its shape and its
    elements in C order and little-endian byte order; every part is preceded by its length, and leaves are taken in the
    order of their paths.  So the digest depends neither on the machine's byte order nor on the order in which a
    container lists its members.

    Args:
        tree: any pytree of arrays, typed random keys, numbers and strings.

    Returns:
        64 hexadecimal digits.

    Raises:
        TypeError: a leaf is a Python object without a fixed byte layout; the message names its path.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    named = sorted(((jax.tree_util.keystr(path), leaf) for path, leaf in leaves), key=lambda pair: pair[0])
    digest = hashlib.sha256()
    for name, leaf in named:
        for part in (name.encode(), *_leaf_parts(name, leaf)):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.hexdigest()


def _leaf_parts(name: str, leaf: Any) -> tuple[bytes, bytes, bytes]:
    """The dtype, shape and little-endian elements of one leaf."""
    kind = ""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        kind, leaf = f"{leaf.dtype}:", jax.random.key_data(leaf)
    array = np.asarray(leaf)
    # Extension floats (bfloat16 and its kin) have kind "V" like structured records, but no fields and a name.
    extension = array.dtype.kind == "V" and array.dtype.names is None and not array.dtype.name.startswith("void")
    if array.dtype.kind not in _PLAIN_KINDS and not extension:
        raise TypeError(
            f"leaf {name or 'at the root'} of type {type(leaf).__name__} has dtype {array.dtype}, which has no fixed "
            "byte layout; turn it into an array of numbers or a string first"
        )
    if array.dtype.kind in _PLAIN_KINDS:
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return (kind + array.dtype.name).encode(), repr(array.shape).encode(), array.tobytes(order="C")
