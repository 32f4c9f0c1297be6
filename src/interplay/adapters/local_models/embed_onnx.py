"""all-MiniLM-L6-v2 (int8 ONNX): embeddings, late-interaction reranking and zero-shot classification.

Embedding: mean of the token states over the attention mask, then L2 (as the model card says).
Reranking: MaxSim over normalised token states (Khattab and Zaharia, ColBERT, SIGIR 2020); this model was
not trained for it. Zero-shot: softmax over the cosine of a text with a sentence about each label.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

LONGEST: Final = 256  # tokens, as the model was trained
BATCH: Final = 32
_SHARPNESS: Final = 20.0  # softmax over cosines, which lie close together
_LABEL: Final = "This text is about {}."


class MiniLM:
    """Loaded weights and tokenizer. Methods block: call from a thread."""

    def __init__(self, model: Path, tokenizer: Path) -> None:
        import numpy
        import onnxruntime
        from tokenizers import Tokenizer

        self._numpy = numpy
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, os.cpu_count() or 1)
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._inputs = {entry.name for entry in self._session.get_inputs()}
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(LONGEST)
        self._tokenizer.enable_padding()

    def _states(self, texts: list[str]) -> tuple[Any, Any]:
        """Token states and attention mask of a batch."""
        numpy = self._numpy
        encoded = self._tokenizer.encode_batch(texts)
        ids = numpy.array([entry.ids for entry in encoded], dtype=numpy.int64)
        mask = numpy.array([entry.attention_mask for entry in encoded], dtype=numpy.int64)
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
        states = self._session.run(None, {name: feeds[name] for name in self._inputs})[0]
        return states, mask

    def _unit(self, vectors: Any) -> Any:
        norm = self._numpy.linalg.norm(vectors, axis=-1, keepdims=True)
        return vectors / self._numpy.maximum(norm, 1e-12)

    def _embed_batch(self, texts: list[str]) -> tuple[Any, int]:
        states, mask = self._states(texts)
        weights = mask[..., None].astype(states.dtype)
        pooled = (states * weights).sum(axis=1) / self._numpy.maximum(weights.sum(axis=1), 1e-9)
        return self._unit(pooled), int(mask.sum())

    def embed(self, texts: list[str]) -> tuple[list[list[float]], int]:
        vectors: list[list[float]] = []
        tokens = 0
        for start in range(0, len(texts), BATCH):
            batch, count = self._embed_batch(texts[start : start + BATCH])
            vectors += batch.tolist()
            tokens += count
        return vectors, tokens

    def rerank(self, query: str, documents: list[str]) -> list[float]:
        """Mean over the query's tokens of the best match among the document's: -1 to 1."""
        states, mask = self._states([query])
        asked = self._unit(states[0][mask[0].astype(bool)])
        scores: list[float] = []
        for start in range(0, len(documents), BATCH):
            batch, masks = self._states(documents[start : start + BATCH])
            for tokens, present in zip(self._unit(batch), masks.astype(bool), strict=True):
                scores.append(float((asked @ tokens[present].T).max(axis=1).mean()))
        return scores

    def classify(self, texts: list[str], labels: list[str]) -> list[dict[str, float]]:
        anchors = self._numpy.array(self.embed([_LABEL.format(label) for label in labels])[0])
        rows = self._numpy.array(self.embed(texts)[0]) @ anchors.T * _SHARPNESS
        powers = self._numpy.exp(rows - rows.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
        return [dict(zip(labels, map(float, row), strict=True)) for row in shares]
