# SPDX-License-Identifier: Apache-2.0
"""A Keras layer that embeds many features by one op."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.keras._layer_tables import LayerTables
from monolith.keras.features import HashFeature, HashSlice
from monolith.native_training import entry
from monolith.native_training import fused_embedding
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

_STORED = ("table_names", "table_counts", "entry_lengths", "entry_bytes")


@tf.keras.utils.register_keras_serializable("monolith")
class HashEmbeddingGroup(tf.keras.layers.Layer):
  """Embeddings of any int64 ids for several features, looked up, combined and trained by one op each.

  Every id that is trained gets an entry of its own; there is no vocabulary, no size and no collision. An id without an
  entry embeds as zeros. The tables have their own optimizers, whose step is taken while the gradient of the loss is
  computed (see `fused_embedding`): the model's optimizer trains the dense weights only, and its clipping or
  regularization does not reach the embeddings. Every call of the layer takes a step of its own; a layer whose
  `trainable` is False takes none.

  Args:
    features: input name -> what is embedded.
    occurrence_threshold: the first so many training steps that see an id drop its gradient, after which it gets an
      entry; 0 to 15. Counts are not saved.
    filter_capacity: ids of which these counts are remembered, about.

  Input shape:
    A dict with int ids of every feature: `[B]`, `[B, L]`, or a RaggedTensor `[B, None]`.

  Output shape:
    A dict of outputs, `[B, width]`, or `[B, max_seq_length, width]` of features with first_n, in the layer's compute
    dtype. Width is the sum of the dims of the slices that go there.

  Saving: `.keras`, `.weights.h5`, TensorFlow checkpoints and SavedModels hold all entries, optimizer state included.
  `get_weights` does not see them, and the older `.h5` format is refused.

  Raises:
    ValueError: features do not fit together; the layer is built where it does not work, which the message names.
  """

  def __init__(
    self,
    features: Mapping[str, HashFeature],
    occurrence_threshold: int = 0,
    filter_capacity: int = 1_000_000,
    name: str | None = None,
    **kwargs: Any,
  ):
    super().__init__(name=name, **kwargs)
    if not features:
      raise ValueError(f"layer {self.name!r}: there are no features; give at least one HashFeature.")
    if not 0 <= occurrence_threshold <= 15:
      raise ValueError(f"layer {self.name!r}: occurrence_threshold is {occurrence_threshold}; it must be 0 to 15.")
    self._features = {key: features[key] for key in features}
    self._occurrence_threshold = occurrence_threshold
    self._filter_capacity = filter_capacity
    self._slices_of_table = self._find_tables()
    self._layout = fused_embedding.Layout(
      [
        fused_embedding.Feature(
          key,
          feature.table or key,
          [fused_embedding.Slice(part.output or key, part.dim) for part in feature.all_slices],
          feature.make_combiner(),
        )
        for key, feature in self._features.items()
      ]
    )

  def _find_tables(self) -> dict[str, list[HashSlice]]:
    tables: dict[str, list[HashSlice]] = {}
    for key, feature in self._features.items():
      table = feature.table or key
      slices = tables.setdefault(table, feature.all_slices)
      if [_without_output(part) for part in slices] != [_without_output(part) for part in feature.all_slices]:
        raise ValueError(
          f"layer {self.name!r}: feature {key!r} has other slices than an earlier feature of table {table!r}; give "
          "them the same dims, optimizers, rates and initializers, or tables of their own."
        )
    return tables

  # Building.

  def build(self, input_shape: Any) -> None:
    self._refuse_unsupported()
    self._anchor = self.add_weight(
      "anchor", shape=(), dtype=tf.float32, initializer="zeros", trainable=True, experimental_autocast=False
    )
    self._step = self.add_weight("step", shape=(), dtype=tf.int64, initializer="zeros", trainable=False)
    with tf.init_scope():
      configs = {table: self._table_config(slices) for table, slices in self._slices_of_table.items()}
      self._tables = LayerTables(configs, self._occurrence_threshold, self._filter_capacity)
    super().build(input_shape)

  def build_from_config(self, config: Mapping[str, Any]) -> None:
    del config
    if not self.built:
      self.build(None)

  def _refuse_unsupported(self) -> None:
    with tf.init_scope():
      if not tf.executing_eagerly():
        raise ValueError(
          f"layer {self.name!r}: TF1 graphs are not supported; use MultiHashTable with "
          "fused_embedding.combined_lookup there."
        )
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
      raise ValueError(
        f"layer {self.name!r}: tf.distribute strategies of several replicas are not supported; train on one."
      )
    if "mixed_float16" in (tf.keras.mixed_precision.global_policy().name, self._dtype_policy.name):
      raise ValueError(
        f"layer {self.name!r}: mixed_float16 scales the loss, and the tables would be trained with the scaled "
        "gradients; use mixed_bfloat16 or float32."
      )

  def _table_config(self, slices: list[HashSlice]) -> entry.HashTableConfigInstance:
    config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
    entry.CuckooHashTableConfig().mutate_table(config)
    config.entry_config.segments.extend(part.segment() for part in slices)
    return entry.HashTableConfigInstance(config, [self._rate_of(part) for part in slices])

  def _rate_of(self, part: HashSlice) -> float | Callable[[], tf.Tensor]:
    rate = part.learning_rate
    return (lambda: tf.cast(rate(self._step), tf.float32)) if callable(rate) else float(rate)

  # Calling.

  def call(self, inputs: Mapping[str, fused_embedding.Ids]) -> dict[str, tf.Tensor]:
    if not isinstance(inputs, Mapping):
      raise ValueError(
        f"layer {self.name!r}: inputs are {type(inputs).__name__}; pass a dict with ids of {', '.join(self._features)}."
      )
    ids = {key: self._unmasked(key, value) for key, value in inputs.items()}
    outputs = fused_embedding.combined_lookup(
      self._tables.table,
      self._layout,
      ids,
      anchor=self._counted_anchor() if self.trainable else None,
      global_step=self._step,
    )
    return {key: tf.cast(value, self.compute_dtype) for key, value in outputs.items()}

  def _unmasked(self, key: str, ids: fused_embedding.Ids) -> fused_embedding.Ids:
    feature = self._features.get(key)
    if feature is None or feature.mask_value is None or isinstance(ids, tf.RaggedTensor):
      return ids
    ids = tf.convert_to_tensor(ids)
    if ids.shape.rank != 2:
      raise ValueError(
        f"layer {self.name!r}: feature {key!r} has mask_value {feature.mask_value}, but ids {ids.shape}; pass [B, L]."
      )
    return tf.ragged.boolean_mask(ids, ids != tf.constant(feature.mask_value, ids.dtype))

  def _counted_anchor(self) -> tf.Tensor:
    """The anchor, whose gradient also counts the step."""

    @tf.custom_gradient
    def counted(anchor: tf.Tensor) -> Any:
      def gradient(upstream: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([upstream]):
          self._step.assign_add(1)
        return upstream

      return tf.identity(anchor), gradient

    return counted(tf.convert_to_tensor(self._anchor))

  # Saving.

  @property
  def trainable_weights(self) -> list[tf.Variable]:
    """The dense ones; raises NotImplementedError for Keras' older .h5 format, which would lose the tables."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
      if frame.f_code.co_name == "_legacy_weights":
        raise NotImplementedError(
          f"layer {self.name!r}: the older .h5 format has no place for tables; save as .keras, .weights.h5 or in "
          "TensorFlow's format (save_format='tf')."
        )
      frame = frame.f_back
    return super().trainable_weights

  def save_own_variables(self, store: Any) -> None:
    super().save_own_variables(store)
    if self.built:
      for key, array in self._tables.to_arrays().items():
        store[key] = array

  def load_own_variables(self, store: Any) -> None:
    missing = [key for key in _STORED if key not in store]
    if missing:
      raise ValueError(f"layer {self.name!r}: the file has no {', '.join(missing)}; load one that this layer saved.")
    super().load_own_variables({key: store[key] for key in store if key not in _STORED})
    self._tables.from_arrays(store)

  def get_config(self) -> dict[str, Any]:
    return {
      **super().get_config(),
      "features": {key: feature.get_config() for key, feature in self._features.items()},
      "occurrence_threshold": self._occurrence_threshold,
      "filter_capacity": self._filter_capacity,
    }

  @classmethod
  def from_config(cls, config: Mapping[str, Any]) -> HashEmbeddingGroup:
    features = {key: HashFeature.from_config(feature) for key, feature in config["features"].items()}
    return cls(**{**config, "features": features})

  # What tests and notebooks ask.

  @property
  def step(self) -> int:
    """Training steps that the tables have taken."""
    return int(self._step.numpy()) if self.built else 0

  def table_sizes(self) -> dict[str, int]:
    """Entries of every table; reads all of them."""
    if not self.built:
      return dict.fromkeys(self._slices_of_table, 0)
    names, counts, _ = self._tables.table.export_entries()
    return {name.decode(): int(count) for name, count in zip(names.numpy(), counts.numpy(), strict=True)}


def _without_output(part: HashSlice) -> dict[str, Any]:
  return {**part.get_config(), "output": None}
