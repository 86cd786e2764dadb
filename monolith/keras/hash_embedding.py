# SPDX-License-Identifier: Apache-2.0
"""A Keras layer that embeds one feature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.keras.features import HashFeature, HashSlice, LearningRate
from monolith.keras.hash_embedding_group import HashEmbeddingGroup
from monolith.native_training import entry
from monolith.native_training import fused_embedding

_KEY = "embedding"


@tf.keras.utils.register_keras_serializable("monolith")
class HashEmbedding(HashEmbeddingGroup):
  """Embeddings of any int64 ids: no vocabulary, no size, no collision. For several features use HashEmbeddingGroup.

  Args:
    dim: floats of an embedding; > 0.
    optimizer: of `monolith.native_training.entry`; None: Adagrad with an initial accumulator of 0.1.
    learning_rate: a number, or a function of the layer's step, such as a Keras schedule.
    initializer: of `monolith.native_training.entry`; None: uniform on [-0.05, 0.05).
    combiner: "sum", "mean" or "first_n".
    max_seq_length: positions of first_n; 0 for the others.
    mask_value: in dense ids `[B, L]`, the id that stands for none; None: all ids count.
    occurrence_threshold: as in HashEmbeddingGroup.
    filter_capacity: as in HashEmbeddingGroup.

  Input shape:
    Int ids `[B]`, `[B, L]`, or a RaggedTensor `[B, None]`.

  Output shape:
    `[B, dim]`, or `[B, max_seq_length, dim]` with first_n; a row without ids is zeros. With first_n, ids that are
    ragged or have a mask_value give a mask `[B, max_seq_length]` of the positions that have an id.

  Raises:
    ValueError: as HashSlice, HashFeature and HashEmbeddingGroup.
  """

  def __init__(
    self,
    dim: int,
    optimizer: entry.Optimizer | None = None,
    learning_rate: LearningRate = 0.05,
    initializer: entry.Initializer | None = None,
    combiner: str = "sum",
    max_seq_length: int = 0,
    mask_value: int | None = None,
    occurrence_threshold: int = 0,
    filter_capacity: int = 1_000_000,
    name: str | None = None,
    **kwargs: Any,
  ):
    part = HashSlice(dim, None, optimizer, learning_rate, initializer)
    self._feature = HashFeature(part, combiner, max_seq_length, mask_value=mask_value)
    super().__init__({_KEY: self._feature}, occurrence_threshold, filter_capacity, name=name, **kwargs)

  def call(self, inputs: fused_embedding.Ids) -> tf.Tensor:
    return super().call({_KEY: inputs})[_KEY]

  def compute_mask(self, inputs: fused_embedding.Ids, mask: Any = None) -> tf.Tensor | None:
    del mask
    ids = self._unmasked(_KEY, inputs)
    if not self._feature.max_seq_length or not isinstance(ids, tf.RaggedTensor):
      return None
    return tf.sequence_mask(ids.row_lengths(), self._feature.max_seq_length)

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    feature = config.pop("features")[_KEY]
    (part,) = feature.pop("slices")
    del part["output"], feature["table"]
    return {**config, **part, **feature}

  @classmethod
  def from_config(cls, config: Mapping[str, Any]) -> HashEmbedding:
    names = ("dim", "optimizer", "learning_rate", "initializer")
    part = HashSlice.from_config({**{name: config[name] for name in names}, "output": None})
    return cls(**{**config, **{name: getattr(part, name) for name in names}})
