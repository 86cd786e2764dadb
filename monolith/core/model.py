# SPDX-License-Identifier: Apache-2.0
"""Model: embeddings in tables of a fixed vocabulary, configured by what a model reads.

It makes the configuration of such tables and the input pipeline; a runtime that keeps them is not part of this library.
New models derive from `native_training.native_model.MonolithModel`, whose tables grow with the ids they see.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from absl import logging
import tensorflow as tf

from monolith.core import keras_versions
from monolith.core.feature import Env, FeatureColumnV1, FeatureSlot, read_param

# Floats of optimizer state beside each weight, the weight included, by how the optimizer's class name starts.
_SLOT_NUMBERS = {"Ftrl": 3, "Adagrad": 2, "Adam": 3, "StochasticGradientDescent": 1}


@dataclasses.dataclass(frozen=True)
class TableConfig:
  """A table: `vocabulary_size` rows of `dimension` floats."""

  vocabulary_size: int
  dimension: int
  initializer: Any
  combiner: str = "sum"
  optimization_parameters: Any = None


@dataclasses.dataclass(frozen=True)
class FeatureConfig:
  """Which table a feature reads."""

  table_id: str


def _gib(num_floats: int) -> float:
  return num_floats * 4 / 2**30


class Model:
  """A model over slots with vocabularies; subclasses say what it reads and what it makes of it.

  Making one reads the vocabulary file and runs `logits_fn` once, to learn the slots and widths; so a subclass sets what
  `logits_fn` needs before it calls `super().__init__`.

  Args:
    params: a mapping or Params with `vocab_file_path`, and if wanted `vocab_size_per_slot` (one size for all slots),
      `use_gradient_accumulation` and `merge_vector` (see `Env`).
  """

  def __init__(self, params: Any):
    self._params = params
    self._vocab_size_per_slot: int | None = read_param(params, "vocab_size_per_slot", None)
    if self._vocab_size_per_slot is not None:
      logging.info("Every slot has a vocabulary of %d ids", self._vocab_size_per_slot)
    vocab_size_dict = self._create_vocab_dict(params["vocab_file_path"], self._vocab_size_per_slot)
    self._env = Env(vocab_size_dict, params)
    self.init_slot_to_dims()

  @property
  def env(self) -> Env:
    """The slots."""
    return self._env

  # What a subclass says.

  def _get_feature_map(self) -> dict[str, Any]:
    """Returns what `tf.io.parse_example` takes; the ids of slot s are under `slot_<s>_0`."""
    raise NotImplementedError(f"{type(self).__name__} does not define _get_feature_map.")

  def logits_fn(self) -> Any:
    """Returns the logits, of embeddings that columns on `self.env` look up; runs twice."""
    raise NotImplementedError(f"{type(self).__name__} does not define logits_fn.")

  def create_model_fn(self) -> Any:
    """Returns the model function."""
    raise NotImplementedError(f"{type(self).__name__} does not define create_model_fn.")

  # Vocabularies.

  def _create_vocab_dict(self, file_path: str, vocab_size_per_slot: int | None = None) -> dict[int, int]:
    """Reads lines `slot<TAB>number of ids`; lines whose slot is no number are skipped.

    Raises:
      ValueError: a line of a slot has no number behind it.
    """
    sizes = {}
    with tf.io.gfile.GFile(file_path) as file:
      for number, line in enumerate(file, 1):
        fields = line.rstrip("\n").split("\t")
        if not fields[0].isdigit():
          continue
        if len(fields) < 2 or not fields[1].strip().isdigit():
          raise ValueError(f"{file_path}:{number}: {line.rstrip()!r} is not a slot, a tab and a number of ids.")
        sizes[int(fields[0])] = vocab_size_per_slot or int(fields[1])
    return sizes

  def init_slot_to_dims(self) -> None:
    """Runs `logits_fn` in a graph that is thrown away, and finalizes the env."""
    with keras_versions.keep_eager_layers(), tf.Graph().as_default():
      self.logits_fn()
    self._env.finalize()
    for slot, dims in self._env.slot_to_dims.items():
      logging.info("Slot %d has tables of widths %s", slot, dims)

  # Input.

  def _post_process_example(self, example: dict[str, Any]) -> dict[str, Any]:
    """Copies the ids of each slot to all its tables; with a fixed vocabulary size, their remainders."""
    for slot, dims in self._env.slot_to_dims.items():
      key = f"slot_{slot}_0"
      if key not in example:
        raise KeyError(f"{key} is not among the parsed features; _get_feature_map must name the ids of every slot.")
      if self._vocab_size_per_slot is not None:
        example[key] = _map_values(example[key], lambda ids: tf.math.floormod(ids, self._vocab_size_per_slot))
      for i in range(1, len(dims)):
        example[f"slot_{slot}_{i}"] = example[key]
    return example

  def create_input_fn(self, file_pattern: str, repeat: bool = True) -> Callable[[Any], tf.data.Dataset]:
    """Returns `input_fn(params)`, which makes a dataset of batches of parsed examples from TFRecord files.

    Its params: `batch_size`, `cycle_length`, `num_parallel_calls`, `compression_type` (None for none); `context`, whose
    `current_input_fn_deployment()` says at 1 and 2 which of how many shards to read; and `shard_skip_file_number`, how
    many files each shard leaves out.
    """

    def parse(serialized: tf.Tensor) -> dict[str, Any]:
      return self._post_process_example(tf.io.parse_example(serialized, self._get_feature_map()))

    def input_fn(params: Any) -> tf.data.Dataset:
      files = _shard(tf.data.Dataset.list_files(file_pattern, shuffle=False), params)
      compression_type = read_param(params, "compression_type", None)
      num_parallel_calls = read_param(params, "num_parallel_calls", None)
      dataset = files.interleave(
        lambda name: tf.data.TFRecordDataset(name, compression_type=compression_type),
        cycle_length=read_param(params, "cycle_length", None),
        num_parallel_calls=num_parallel_calls,
        deterministic=None if num_parallel_calls is None else False,
      )
      dataset = dataset.batch(params["batch_size"], drop_remainder=True)
      dataset = dataset.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
      return (dataset.repeat() if repeat else dataset).prefetch(tf.data.AUTOTUNE)

    return input_fn

  # Tables.

  def _padding_8(self, dim: int) -> int:
    """Rounds up to a multiple of 8."""
    return -(-dim // 8) * 8

  def _get_slot_number(self, optimizer: Any, use_gradient_accumulation: bool) -> int:
    """Returns how many floats a weight takes with its optimizer's state.

    Raises:
      ValueError: the optimizer is unknown.
    """
    name = type(optimizer).__name__
    for prefix, number in _SLOT_NUMBERS.items():
      if name.startswith(prefix):
        return number + bool(use_gradient_accumulation)
    raise ValueError(f"optimizer {name} is not known here; use one whose name starts with {', '.join(_SLOT_NUMBERS)}.")

  def _optimizer_and_initializer(self, slot: FeatureSlot, table: int) -> tuple[Any, Any]:
    if table == 0 and slot.use_bias():
      return slot.bias_optimizer, slot.bias_initializer
    # A table of merged slices has what its slices have in common, that of a single slice its own.
    feature_slice = slot.feature_slices[table]
    return feature_slice.optimizer, feature_slice.initializer

  def _get_max_slot_number(self) -> int:
    """Returns the most floats that a weight of any table takes; 0 without tables."""
    accumulate = read_param(self._params, "use_gradient_accumulation", False)
    return max(
      (
        self._get_slot_number(self._optimizer_and_initializer(self._env.slot_to_config[slot], i)[0], accumulate)
        for slot, dims in self._env.slot_to_dims.items()
        for i in range(len(dims))
      ),
      default=0,
    )

  def create_feature_and_table_config_dict(self) -> tuple[dict[str, FeatureConfig], dict[str, TableConfig]]:
    """Returns the features `slot_<slot>_<i>` and their tables `table_<slot>_<i>`, and logs how large these are.

    Raises:
      ValueError: the env is not finalized.
    """
    if not self._env.is_finalized():
      raise ValueError("The slots are not known yet; call init_slot_to_dims() first.")
    features, tables = {}, {}
    for slot, dims in self._env.slot_to_dims.items():
      for i, dim in enumerate(dims):
        optimizer, initializer = self._optimizer_and_initializer(self._env.slot_to_config[slot], i)
        tables[f"table_{slot}_{i}"] = TableConfig(
          vocabulary_size=self._env.vocab_size_dict[slot],
          dimension=dim,
          initializer=initializer,
          optimization_parameters=optimizer,
        )
        features[f"slot_{slot}_{i}"] = FeatureConfig(table_id=f"table_{slot}_{i}")
    self._log_sizes(tables.values())
    return features, tables

  def _log_sizes(self, tables: Iterable[TableConfig]) -> None:
    tables = list(tables)
    raw = sum(t.vocabulary_size * t.dimension for t in tables)
    padded = sum(t.vocabulary_size * self._padding_8(t.dimension) for t in tables)
    logging.info(
      "Embedding tables: %.3f GiB, %.3f GiB with widths rounded up to 8, %.3f GiB with optimizer state",
      _gib(raw),
      _gib(padded),
      _gib(padded * self._get_max_slot_number()),
    )

  def sum_pooling(
    self,
    fc_dict: dict[int, FeatureColumnV1],
    input_map: dict[str, tf.Tensor],
    features: Iterable[int],
    dim: int,
    total_embeddings: list[tf.Tensor],
    add_into_embeddings: bool = True,
  ) -> tf.Tensor:
    """Adds up a vector of each of some slots.

    Args:
      fc_dict: slot -> its column.
      input_map: takes every vector under a name of its own, `slot_<slot>_<dim>` or that with a number behind it.
      features: slots, at least one.
      dim: width of the vectors; each slot gets another slice for it.
      total_embeddings: takes every vector, too.
      add_into_embeddings: whether it does.

    Returns:
      float `[B, dim]`.

    Raises:
      ValueError: there are no slots.
    """
    embeddings = []
    for slot in features:
      embedding = fc_dict[slot].add_vector(dim)
      embeddings.append(embedding)
      input_map[_unique_key(input_map, f"slot_{slot}_{dim}")] = embedding
    if not embeddings:
      raise ValueError("sum_pooling: features is empty; name at least one slot.")
    if add_into_embeddings:
      total_embeddings.extend(embeddings)
    return embeddings[0] if len(embeddings) == 1 else tf.add_n(embeddings)


def _unique_key(taken: dict[str, Any], key: str) -> str:
  if key not in taken:
    return key
  return next(k for k in (f"{key}_{i}" for i in range(1, len(taken) + 1)) if k not in taken)


def _map_values(ids: Any, function: Callable[[tf.Tensor], tf.Tensor]) -> Any:
  """Applies a function to the values of a dense, sparse or ragged tensor."""
  if isinstance(ids, tf.SparseTensor):
    return ids.with_values(function(ids.values))
  if isinstance(ids, tf.RaggedTensor):
    return ids.with_flat_values(function(ids.flat_values))
  return function(ids)


def _shard(files: tf.data.Dataset, params: Any) -> tf.data.Dataset:
  """The files of this shard, less those that it leaves out."""
  context = read_param(params, "context", None)
  index, count = context.current_input_fn_deployment()[1:3] if context is not None else (0, 1)
  skip = read_param(params, "shard_skip_file_number", None)
  files = files.shard(count, index)
  return files if skip is None else files.skip(skip[index])
