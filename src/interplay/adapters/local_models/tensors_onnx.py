"""Any ONNX model that takes tensors: what it takes and gives is read from its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from interplay.core.errors import InvalidInput, near_names
from interplay.core.models.tensors import Tensor

_DATATYPES: Final = {
    "tensor(float)": ("FP32", "float32"),
    "tensor(float16)": ("FP16", "float16"),
    "tensor(double)": ("FP64", "float64"),
    "tensor(int8)": ("INT8", "int8"),
    "tensor(int16)": ("INT16", "int16"),
    "tensor(int32)": ("INT32", "int32"),
    "tensor(int64)": ("INT64", "int64"),
    "tensor(uint8)": ("UINT8", "uint8"),
    "tensor(uint16)": ("UINT16", "uint16"),
    "tensor(uint32)": ("UINT32", "uint32"),
    "tensor(uint64)": ("UINT64", "uint64"),
    "tensor(bool)": ("BOOL", "bool"),
    "tensor(string)": ("BYTES", "object"),
}
_BACK: Final = {
    "float16": "FP16", "float32": "FP32", "float64": "FP64", "bool": "BOOL", "object": "BYTES",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
}  # fmt: skip


class OnnxTensors:
    """One loaded model. Raises InvalidInput for inputs that it does not take."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # several requests at once share the cores
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = {one.name: one for one in self._session.get_inputs()}

    def describe(self) -> dict[str, Any]:
        """Names, data types and shapes; -1 where any size will do."""
        return {
            "platform": "onnxruntime_onnx",
            "inputs": [_described(one) for one in self._session.get_inputs()],
            "outputs": [_described(one) for one in self._session.get_outputs()],
        }

    def infer(self, tensors: list[Tensor]) -> list[Tensor]:
        import numpy

        given = {tensor.name: tensor for tensor in tensors}
        for name in given:
            if name not in self._inputs:
                near = near_names(name, self._inputs) or list(self._inputs)
                raise InvalidInput(f"The model has no input {name!r}.", where=name, advice=f"It has {', '.join(near)}.")
        feed = {}
        for name, wanted in self._inputs.items():
            if name not in given:
                raise InvalidInput(f"The input {name!r} is missing.", where="inputs")
            tensor = given[name]
            datatype = _DATATYPES.get(wanted.type, ("", ""))[1]
            try:
                feed[name] = numpy.array(tensor.data, dtype=datatype).reshape(tensor.shape)
            except (ValueError, TypeError, OverflowError) as wrong:
                raise InvalidInput(f"It takes {wanted.type}: {wrong}.", where=name) from None
            _fits(name, wanted.shape, tensor.shape)
        names = [one.name for one in self._session.get_outputs()]
        return [_tensor(name, value) for name, value in zip(names, self._session.run(None, feed), strict=True)]


def _described(one: Any) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else -1 for size in one.shape]
    return {"name": one.name, "datatype": _DATATYPES.get(one.type, (one.type, ""))[0], "shape": shape}


def _fits(name: str, wanted: list[Any], found: list[int]) -> None:
    same = len(wanted) == len(found) and all(
        not isinstance(size, int) or size == given for size, given in zip(wanted, found, strict=True)
    )
    if not same:
        shown = [size if isinstance(size, int) else "any" for size in wanted]
        raise InvalidInput(f"It has the shape {found}, and the model takes {shown}.", where=name)


def _tensor(name: str, value: Any) -> Tensor:
    import numpy

    array = numpy.asarray(value)
    datatype = _BACK.get(array.dtype.name)
    if datatype is None:
        raise InvalidInput(f"The output {name!r} is no tensor.", advice="Export the model without maps (ZipMap).")
    return Tensor(name, list(array.shape), datatype, array.ravel().tolist())
