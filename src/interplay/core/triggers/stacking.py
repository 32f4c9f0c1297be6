"""Inputs of several messages as one call of a classic model: rows under rows, and its outputs apart again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interplay.core.errors import InvalidInput
from interplay.core.models.tensors import Tensor, to_tensor

Shape = tuple[tuple[str, str, tuple[int, ...]], ...]


def shape_of_rows(inputs: Mapping[str, Any]) -> tuple[Shape, int] | None:
    """What inputs must have alike to go into one call, and how many rows these are; None: they go alone."""
    try:
        tensors = [to_tensor(name, value) for name, value in sorted(inputs.items())]
    except InvalidInput:
        return None
    rows = {tensor.shape[0] if tensor.shape else 0 for tensor in tensors}
    if len(rows) != 1 or not min(rows):
        return None
    return tuple((one.name, one.datatype, tuple(one.shape[1:])) for one in tensors), rows.pop()


def stacked(several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The inputs of one call, of inputs with the same shape of rows."""
    made: dict[str, Any] = {}
    for name in several[0]:
        tensors: list[Tensor] = [to_tensor(name, inputs[name]) for inputs in several]
        made[name] = {
            "shape": [sum(one.shape[0] for one in tensors), *tensors[0].shape[1:]],
            "datatype": tensors[0].datatype,
            "data": [value for one in tensors for value in one.data],
        }
    return made


def unstacked(outputs: Mapping[str, Any], rows: Sequence[int]) -> list[dict[str, Any]] | None:
    """The outputs of each; None where the model did not give a row for each row."""
    if any(not isinstance(value, list) or len(value) != sum(rows) for value in outputs.values()):
        return None
    found, start = [], 0
    for count in rows:
        found.append({name: value[start : start + count] for name, value in outputs.items()})
        start += count
    return found
