"""How the state of one series becomes bytes of fixed places, for many series at once."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from ...config.schema import DECLARATIONS, PredictorConfig, written_fields
from ...errors import DomainError, IntegrityError
from ...model.state import PredictorState
from ...runtime.digest import sha256_bytes

PLAIN_KINDS = "biuf"
DIFFERENCES_SHOWN = 3


class StateLayout:
    """The places of a state's leaves in one row of bytes.

    Leaves stand one after another in the order of the tree, each in C order, little-endian, without gaps.  The layout
    is described by names, dtypes and shapes of the leaves, the schema version and the structural settings; its digest
    tells whether two programs mean the same by a row.

    Args:
        like: a state of one series (without a batch axis), cold for instance.
        config: the configuration that it belongs to.

    Attributes:
        text: the description, canonical JSON.
        digest: SHA-256 of `text`, 64 hexadecimal digits.
        row_bytes: length of a row [bytes].

    Raises:
        DomainError: `like` has a batch axis, or a leaf that is no array of numbers or booleans.
    """

    def __init__(self, like: PredictorState, config: PredictorConfig) -> None:
        if np.ndim(like.ticks):
            raise DomainError(f"the state has a batch axis of {np.shape(like.ticks)}; give the state of one series")
        leaves, self._tree = jax.tree_util.tree_flatten_with_path(like)
        self._names = [jax.tree_util.keystr(path) for path, _ in leaves]
        self._shapes = [tuple(np.shape(leaf)) for _, leaf in leaves]
        self._dtypes = [np.dtype(leaf.dtype).newbyteorder("<") for _, leaf in leaves]
        odd = [name for name, dtype in zip(self._names, self._dtypes, strict=True) if dtype.kind not in PLAIN_KINDS]
        if odd:
            raise DomainError(f"the leaf {odd[0]} of the state is no array of numbers or booleans")
        sizes = [math.prod(shape) * dtype.itemsize for shape, dtype in zip(self._shapes, self._dtypes, strict=True)]
        edges = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        self._places = [slice(a, b) for a, b in itertools.pairwise(edges)]
        self.row_bytes: int = edges[-1]
        self.text = _canonical(
            {
                "schema_version": config.schema_version,
                "structural": {
                    name: getattr(config, name)
                    for name in written_fields(config)
                    if DECLARATIONS[name].section == "structural"
                },
                "leaves": {
                    name: f"{dtype.name}{list(shape)}"
                    for name, dtype, shape in zip(self._names, self._dtypes, self._shapes, strict=True)
                },
                "order": self._names,
            }
        )
        self.digest = sha256_bytes(self.text)

    def pack(self, states: PredictorState) -> UInt8[np.ndarray, "asset row"]:
        """Stacked states as rows; a device hands all leaves over at once.

        Args:
            states: states of A series along a leading axis, on a device or NumPy.

        Raises:
            DomainError: another tree, or a leaf of another shape or dtype.
        """
        leaves, tree = jax.tree.flatten(states)
        if tree != self._tree:
            raise DomainError("the states have other leaves than the state that the store was opened for")
        host = [np.asarray(leaf) for leaf in jax.device_get(leaves)]
        assets = host[0].shape[:1]
        for name, leaf, shape, dtype in zip(self._names, host, self._shapes, self._dtypes, strict=True):
            if leaf.shape != (*assets, *shape) or len(assets) != 1 or leaf.dtype != dtype:
                raise DomainError(
                    f"the leaf {name} is {leaf.dtype.name}{list(leaf.shape)}; it must be {dtype.name} with the axes "
                    f"{['asset', *shape]}"
                )
        rows = np.empty((*assets, self.row_bytes), np.uint8)
        for leaf, dtype, place in zip(host, self._dtypes, self._places, strict=True):
            flat = np.ascontiguousarray(leaf, dtype).reshape(*assets, -1)
            rows[:, place] = flat.view(np.uint8)
        return rows

    def unpack(self, rows: UInt8[np.ndarray, "asset row"]) -> PredictorState:
        """The stacked states that `pack` made rows of, in NumPy, bit for bit.

        Raises:
            IntegrityError: a boolean is neither 0 nor 1.
        """
        leaves = []
        for name, shape, dtype, place in zip(self._names, self._shapes, self._dtypes, self._places, strict=True):
            raw = np.ascontiguousarray(rows[:, place])
            if dtype.kind == "b" and raw.size and raw.max() > 1:
                raise IntegrityError(f"the leaf {name} holds a boolean that is neither 0 nor 1")
            leaves.append(raw.view(dtype).reshape(len(rows), *shape).astype(dtype.newbyteorder("="), copy=False))
        return jax.tree.unflatten(self._tree, leaves)

    def differences(self, text: bytes) -> str:
        """What another layout's description says otherwise than this one: the first few settings or leaves."""
        try:
            other, own = json.loads(text), json.loads(self.text)
            pairs = [
                f"{name} = {theirs.get(name, 'nothing')} there and {ours.get(name, 'nothing')} here"
                for theirs, ours in [
                    ({"schema_version": d["schema_version"], **d["structural"], **d["leaves"]} for d in (other, own))
                ]
                for name in sorted({*theirs, *ours})
                if theirs.get(name) != ours.get(name)
            ]
        except (ValueError, TypeError, KeyError, AttributeError):
            return "its description cannot be read"
        more = len(pairs) - DIFFERENCES_SHOWN
        return ", ".join(pairs[:DIFFERENCES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _canonical(description: dict[str, Any]) -> bytes:
    return json.dumps(description, sort_keys=True, separators=(",", ":")).encode()
