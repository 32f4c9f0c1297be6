"""Tensors as the Open Inference Protocol v2 writes them, from nested lists and back.

Source of the names and data types: the protocol's `rest_predict_v2` specification.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from interplay.core.errors import InvalidInput

INTEGERS: Final = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
FLOATS: Final = frozenset({"FP16", "FP32", "FP64"})
DATATYPES: Final = INTEGERS | FLOATS | {"BOOL", "BYTES"}
MOST_DIMENSIONS: Final = 16


class Tensor(msgspec.Struct, frozen=True, omit_defaults=True):
    """`data` is flat, row by row; `shape` says how many numbers there are in each dimension."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] = {}


def to_tensor(name: str, value: Any) -> Tensor:
    """A tensor from nested lists, a single value, or `{shape, datatype, data}`. Raises InvalidInput that says where.

    Whole numbers become INT64, others FP32, texts BYTES.
    """
    if isinstance(value, dict):
        return _given(name, value)
    shape = _shape(name, value)
    flat = list(_flat(value))
    if len(flat) != _size(shape):
        raise InvalidInput("Its lists are of different lengths.", where=name, advice="Send a rectangular list.")
    return Tensor(name, shape, _datatype(name, flat), flat)


def check(tensor: Tensor) -> Tensor:
    """The tensor, its data flat. Raises InvalidInput where its parts do not fit together."""
    flat = list(_flat(tensor.data))
    if tensor.datatype not in DATATYPES:
        raise InvalidInput(
            f"{tensor.datatype!r} is no data type.",
            where=f"{tensor.name}.datatype",
            advice=f"There are {', '.join(sorted(DATATYPES))}.",
        )
    if any(size < 0 for size in tensor.shape) or _size(tensor.shape) != len(flat):
        found = f"A shape of {tensor.shape} has {_size(tensor.shape):,} values, and there are {len(flat):,}."
        raise InvalidInput(found, where=f"{tensor.name}.data")
    return msgspec.structs.replace(tensor, data=flat)


def nested(tensor: Tensor) -> Any:
    """Nested lists of the tensor's shape; the value itself for one without dimensions."""
    flat = list(_flat(tensor.data))
    if not tensor.shape:
        return flat[0] if flat else None
    for size in reversed(tensor.shape[1:]):
        flat = [flat[start : start + size] for start in range(0, len(flat), size)] if size else []
    return flat


def _given(name: str, value: dict[str, Any]) -> Tensor:
    try:
        return check(msgspec.convert({**value, "name": name}, Tensor))
    except msgspec.ValidationError as wrong:
        raise InvalidInput(f"{wrong}.", where=name, advice="Send nested lists, or {shape, datatype, data}.") from None


def _shape(name: str, value: Any) -> list[int]:
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > MOST_DIMENSIONS:
            raise InvalidInput(f"It has more than {MOST_DIMENSIONS} dimensions.", where=name)
        value = value[0] if value else None
    return shape


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    elif value is not None:
        yield value


def _size(shape: list[int]) -> int:
    size = 1
    for one in shape:
        size *= one
    return size


def _datatype(name: str, flat: list[Any]) -> str:
    kinds = {type(item) for item in flat}
    if kinds <= {bool}:
        return "BOOL" if kinds else "FP32"
    if kinds <= {int}:
        return "INT64"
    if kinds <= {int, float}:
        return "FP32"
    if kinds <= {str}:
        return "BYTES"
    found = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise InvalidInput(f"A tensor holds numbers, or texts, or booleans; here are {found}.", where=name)
