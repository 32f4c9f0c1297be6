"""Trains a classifier on scikit-learn's digits and writes it as ONNX: `python -m examples.digits.train FOLDER`.

Put the file into `onnx/` below the models folder of a home, and the model server serves it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split


def train(folder: Path) -> tuple[list[list[float]], list[int]]:
    """Writes `digits.onnx`; gives the pictures that it has not seen, and what they are."""
    pictures, digits = load_digits(return_X_y=True)
    seen, unseen, answers, wanted = train_test_split(pictures, digits, test_size=0.25, random_state=7)
    model = LogisticRegression(max_iter=2000).fit(seen / 16.0, answers)
    model.coef_ = model.coef_ / 16.0  # so that callers send the grey values as they are
    exported = to_onnx(model, initial_types=[("pixels", FloatTensorType([None, 64]))], options={"zipmap": False})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "digits.onnx").write_bytes(exported.SerializeToString())
    return unseen.tolist(), wanted.tolist()


if __name__ == "__main__":
    unseen, _ = train(Path(sys.argv[1]))
    print(f"digits.onnx is in {sys.argv[1]}; {len(unseen)} pictures were kept apart.")
