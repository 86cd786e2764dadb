# SPDX-License-Identifier: Apache-2.0
"""The collect pass: a factory that records which tables a model needs while lookups return placeholders."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import ContextManager, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import tensorflow as tf
from absl import logging

from monolith.native_training import embedding_combiners, entry, learning_rate_functions
from monolith.native_training._feature_slots import (
  FeatureColumn,
  FeatureEmbTable,
  FeatureFactory,
  FeatureSlice,
  FeatureSlot,
  FeatureSlotConfig,
  LearningRateFn,
  Segment,
)

__all__ = ["DummyFeatureEmbTable", "DummyFeatureFactory", "RecordedLookups", "SliceConfig", "TableConfig"]

Part = Tuple[str, int, int]
"""Columns [start, end) of a feature's embedding."""


@dataclasses.dataclass
class RecordedLookups:
  """What a model looks up, and how.

  Attributes:
    outputs: the parts of each lookup, side by side, in order; each lookup once.
    trained: features that gradients were asked of.
    uncombined: why the model needs embeddings of single fids, if it does.
    outside: why layouts would not hold all lookups, if so.
  """

  outputs: List[Tuple[Part, ...]] = dataclasses.field(default_factory=list)
  trained: List[str] = dataclasses.field(default_factory=list)
  uncombined: List[str] = dataclasses.field(default_factory=list)
  outside: List[str] = dataclasses.field(default_factory=list)
  _laid_out: bool = False

  @contextlib.contextmanager
  def laid_out(self) -> Iterator[None]:
    """Lookups inside of the block are such that a layout can hold them."""
    self._laid_out = True
    try:
      yield
    finally:
      self._laid_out = False

  def add_output(self, *parts: Part) -> None:
    """Records a lookup."""
    if not self._laid_out:
      self.outside.append(f"model_fn looks feature {parts[0][0]!r} up otherwise than by lookup_embedding_slice")
    if parts not in self.outputs:
      self.outputs.append(parts)

  def add_trained(self, features: Iterable[str], per_fid: bool) -> None:
    """Records that gradients are asked of features, of their single fids if `per_fid`."""
    self.trained.extend(features)
    if per_fid:
      self.uncombined.append("gradients of single fids are looked at")

  @property
  def features(self) -> List[str]:
    """The features that are looked up, sorted."""
    return sorted({name for parts in self.outputs for name, _, _ in parts})


@dataclasses.dataclass
class SliceConfig:
  """A slice of a table: its proto, and its learning rate (a number, or a function that gives a scalar tensor)."""

  segment: Segment
  learning_rate_fn: LearningRateFn


@dataclasses.dataclass
class TableConfig:
  """What the collect pass learned about one slot.

  Attributes:
    slice_configs: merged slices, in order.
    feature_names: features that draw on the slot, in order of creation.
    unmerged_slice_dims: widths of the slices as the model asked for them.
    hashtable_config: the kind of table.
    feature_to_combiners: {feature name: combiner}.
  """

  slice_configs: List[SliceConfig]
  feature_names: List[str]
  unmerged_slice_dims: List[int]
  hashtable_config: entry.HashTableConfig
  feature_to_combiners: Dict[str, embedding_combiners.Combiner]


class DummyFeatureEmbTable(FeatureEmbTable):
  """Records slices and features; lookups return placeholders.

  Args:
    batch_size: rows of the placeholders.
    hashtable_config: the kind of table.
    lookups: where lookups are recorded.
  """

  def __init__(
    self, batch_size: int, hashtable_config: entry.HashTableConfig, lookups: Optional[RecordedLookups] = None
  ):
    self._batch_size = batch_size
    self._lookups = RecordedLookups() if lookups is None else lookups
    self._hashtable_config = hashtable_config
    self._slices: List[SliceConfig] = []
    self._feature_to_combiners: Dict[str, embedding_combiners.Combiner] = {}

  def add_feature_slice(self, segment: Segment, learning_rate_fn: Optional[LearningRateFn] = None) -> None:
    if learning_rate_fn is None:
      learning_rate_fn = _default_learning_rate(segment)
    self._slices.append(SliceConfig(segment, learning_rate_fn))

  def set_feature_metadata(self, feature_name: str, combiner: embedding_combiners.Combiner) -> None:
    self._feature_to_combiners[feature_name] = combiner

  def get_feature_names(self) -> List[str]:
    """The features that draw on this table, in order of creation."""
    return list(self._feature_to_combiners)

  @property
  def _width(self) -> int:
    return sum(s.segment.dim_size for s in self._slices)

  def all_embeddings(self) -> tf.Tensor:
    """A placeholder for the uncombined embeddings of a feature."""
    return tf.compat.v1.placeholder(tf.float32, [None, self._width])

  def embedding_lookup(self, feature_name: str, start: Optional[int], end: Optional[int]) -> tf.Tensor:
    if start is None or end is None:
      self._lookups.uncombined.append(f"model_fn takes the embeddings of the single fids of feature {feature_name!r}")
      return self.all_embeddings()
    width = self._width
    if not 0 <= start < end <= width:
      raise ValueError(
        f"feature {feature_name!r}: columns [{start}, {end}) are not within its embedding of width {width}."
      )
    self._lookups.add_output((feature_name, start, end))
    combiner = self._feature_to_combiners[feature_name]
    name = f"{type(combiner).__name__}_{feature_name}_{start}_{end}"
    embedding = tf.compat.v1.placeholder(tf.float32, [self._batch_size, end - start])
    fids = tf.compat.v1.ragged.placeholder(tf.int64, ragged_rank=1, name=_op_name(name))
    combined = combiner.combine(fids, embedding, name=_op_name(name))
    combined.set_shape([self._batch_size, *combined.shape[1:]])
    return combined

  def get_table_config(self) -> TableConfig:
    """What was recorded; adjacent slices that differ only in width are merged, inputs stay unchanged."""
    return TableConfig(
      slice_configs=_merge_adjacent(self._slices),
      feature_names=self.get_feature_names(),
      unmerged_slice_dims=[s.segment.dim_size for s in self._slices],
      hashtable_config=self._hashtable_config,
      feature_to_combiners=dict(self._feature_to_combiners),
    )


class DummyFeatureFactory(FeatureFactory):
  """Records the slots of a model.

  Args:
    batch_size: rows that lookups pretend to have.
  """

  def __init__(self, batch_size: int):
    super().__init__()
    self._batch_size = batch_size
    self._tables: Dict[str, DummyFeatureEmbTable] = {}
    self.lookups = RecordedLookups()
    """What was looked up so far."""

  def create_feature_slot(self, config: FeatureSlotConfig) -> FeatureSlot:
    """Records a slot.

    Raises:
      NameError: a slot of that name exists.
    """
    name = str(config.name)
    if name in self._tables:
      raise NameError(f"slot {name!r} is created twice; create it once and share the FeatureSlot.")
    table = DummyFeatureEmbTable(self._batch_size, config.hashtable_config, self.lookups)
    self._tables[name] = table
    if config.slot_id is not None:
      self.slot_to_occurrence_threshold[config.slot_id] = config.occurrence_threshold
      self.slot_to_expire_time[config.slot_id] = config.expire_time
    elif config.occurrence_threshold or config.expire_time != FeatureSlotConfig.expire_time:
      logging.warning("slot %r has no slot_id, so its occurrence_threshold and expire_time have no effect.", name)
    return FeatureSlot(table, config)

  def laid_out(self) -> ContextManager[None]:
    return self.lookups.laid_out()

  def lookup_concat(self, parts: Sequence[Tuple[FeatureColumn, FeatureSlice]]) -> tf.Tensor:
    self.lookups.add_output(*((column.feature_name, part.start, part.end) for column, part in parts))
    return tf.compat.v1.placeholder(tf.float32, [self._batch_size, sum(part.dim for _, part in parts)])

  def gradient_targets(self, columns: Sequence[FeatureColumn], per_fid: bool = False) -> List[tf.Tensor]:
    self.lookups.add_trained((column.feature_name for column in columns), per_fid)
    return [self._tables[column.feature_slot.name].all_embeddings() for column in columns]

  def apply_gradients(
    self,
    grads_and_vars: Iterable[Tuple[Optional[tf.Tensor], tf.Tensor]],
    req_time: Optional[tf.Tensor] = None,
    scale: Union[int, float, tf.Tensor] = 1,
  ) -> tf.Operation:
    del grads_and_vars, req_time, scale
    return tf.no_op()

  def get_table_name_to_table_config(self) -> Dict[str, TableConfig]:
    """{slot name: what was recorded}.

    Raises:
      RuntimeError: a slot has no slices.
    """
    result = {name: table.get_table_config() for name, table in self._tables.items()}
    for name, config in result.items():
      if not config.slice_configs:
        raise RuntimeError(f"slot {name!r} has no slices; add one with add_feature_slice, or drop the slot.")
    return result


def _default_learning_rate(segment: Segment) -> LearningRateFn:
  """The rate in the slice's optimizer config, warmed up if it says so; 0 for optimizers that have none."""
  optimizer = segment.opt_config.dc.base if segment.opt_config.HasField("dc") else segment.opt_config
  kind = optimizer.WhichOneof("type")
  config = getattr(optimizer, kind) if kind else None
  rate = getattr(config, "learning_rate", 0.0)
  warmup_steps = getattr(config, "warmup_steps", 0)
  if warmup_steps > 0:
    return learning_rate_functions.PolynomialDecay(0.0, warmup_steps, end_learning_rate=rate)
  return rate


def _merge_adjacent(slices: List[SliceConfig]) -> List[SliceConfig]:
  merged: List[SliceConfig] = []
  previous_key = None
  for s in slices:
    shape_free = Segment()
    shape_free.CopyFrom(s.segment)
    shape_free.ClearField("dim_size")
    key = (shape_free.SerializeToString(deterministic=True), str(s.learning_rate_fn))
    if merged and key == previous_key:
      merged[-1].segment.dim_size += s.segment.dim_size
    else:
      segment = Segment()
      segment.CopyFrom(s.segment)
      merged.append(SliceConfig(segment, s.learning_rate_fn))
    previous_key = key
  return merged


def _op_name(name: str) -> str:
  """`name` with what op names may not hold replaced."""
  return "".join(c if c.isalnum() or c in "_.-/" else "_" for c in name)
