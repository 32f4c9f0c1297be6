"""Tensors of the Open Inference Protocol: nested lists there and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay.core.errors import InvalidInput
from interplay.core.models.tensors import Tensor, check, nested, to_tensor

ROWS = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(st.integers(-9, 9), min_size=width, max_size=width), min_size=1, max_size=5)
)


class TestTensors:
    @given(ROWS)
    def test_nested_lists_come_back_as_they_were(self, rows: list[list[int]]) -> None:
        tensor = to_tensor("x", rows)
        assert tensor.shape == [len(rows), len(rows[0])]
        assert nested(check(tensor)) == rows

    @pytest.mark.parametrize(
        ("value", "datatype", "shape"),
        [
            ([1, 2], "INT64", [2]), ([1, 2.5], "FP32", [2]), ([True], "BOOL", [1]), ([["a"], ["b"]], "BYTES", [2, 1]),
            (7, "INT64", []), ([], "FP32", [0]), ({"shape": [2], "datatype": "FP64", "data": [1, 2]}, "FP64", [2]),
            ({"shape": [1, 2], "datatype": "FP64", "data": [[1, 2]]}, "FP64", [1, 2]),
        ],
    )  # fmt: skip
    def test_the_data_type_follows_from_the_values(self, value: Any, datatype: str, shape: list[int]) -> None:
        tensor = to_tensor("x", value)
        assert (tensor.datatype, tensor.shape) == (datatype, shape)

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ([[1], [1, 2]], "different lengths"), ([1, "a"], "int, str"), ([[None]], "different lengths"),
            ({"shape": [3], "datatype": "FP32", "data": [1]}, "3 values, and there are 1"),
            ({"shape": [1], "datatype": "FLOAT", "data": [1]}, "no data type"), ({"data": [1]}, "shape"),
            ({"shape": [-1], "datatype": "FP32", "data": []}, "values"),
        ],
    )  # fmt: skip
    def test_what_is_no_tensor_says_why(self, value: Any, said: str) -> None:
        with pytest.raises(InvalidInput, match=said):
            to_tensor("x", value)

    def test_the_data_of_others_may_be_nested(self) -> None:
        assert check(Tensor("x", [2, 1], "FP32", [[1.0], [2.0]])).data == [1.0, 2.0]
