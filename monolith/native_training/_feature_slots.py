# SPDX-License-Identifier: Apache-2.0
"""Slots, slices and columns: how a model names the embeddings of its features.

A *slot* is a feature field; its fids live in one table. A *slice* is a range of that table's embedding with its own
initializer, optimizer and compressor. A *column* is one feature that draws on a slot; its combiner turns the
embeddings of the feature's fids into one tensor per row.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from typing import Callable, ContextManager, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import tensorflow as tf

from monolith.native_training import embedding_combiners, entry
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

__all__ = [
  "DEFAULT_EXPIRE_TIME",
  "FeatureColumn",
  "FeatureEmbTable",
  "FeatureFactory",
  "FeatureSlice",
  "FeatureSlot",
  "FeatureSlotConfig",
  "LearningRateFn",
  "Segment",
]

DEFAULT_EXPIRE_TIME = 36500
"""Days without an update after which an entry may be evicted: a hundred years, so in effect never."""

LearningRateFn = Union[float, Callable[[], tf.Tensor]]
Segment = embedding_hash_table_pb2.EntryConfig.Segment
Gradient = Union[tf.Tensor, tf.IndexedSlices]


class FeatureEmbTable(abc.ABC):
  """What slots and columns draw on; one per slot."""

  def add_feature_slice(self, segment: Segment, learning_rate_fn: Optional[LearningRateFn] = None) -> None:
    """Appends a slice to the slot's embedding; tables whose slices are fixed already need not know."""
    return None

  @abc.abstractmethod
  def embedding_lookup(self, feature_name: str, start: Optional[int], end: Optional[int]) -> tf.Tensor:
    """Combined embedding of columns [start, end) of a feature; with None and None the tensor to differentiate by."""

  def set_feature_metadata(self, feature_name: str, combiner: embedding_combiners.Combiner) -> None:
    """Records that a feature draws on this table; tables that know their features already need not."""
    return None


class FeatureSlice:
  """Columns [start, end) of a slot's embedding."""

  def __init__(self, feature_slot: FeatureSlot, start: int, end: int):
    self._feature_slot = feature_slot
    self._start = start
    self._end = end

  def __repr__(self) -> str:
    return f"FeatureSlice({self._feature_slot.name}:{self._start}_{self._end})"

  @property
  def feature_slot(self) -> FeatureSlot:
    """The slot that this is a part of."""
    return self._feature_slot

  @property
  def start(self) -> int:
    """First column."""
    return self._start

  @property
  def end(self) -> int:
    """Column after the last one."""
    return self._end

  @property
  def dim(self) -> int:
    """Number of columns."""
    return self._end - self._start


@dataclasses.dataclass
class FeatureSlotConfig:
  """How the embeddings of one slot are stored and trained.

  Attributes:
    name: the slot's name; `str(slot_id)` when empty.
    has_bias: whether the first column is a bias of its own.
    bias_initializer, bias_optimizer, bias_compressor, bias_learning_rate_fn: for the bias.
    default_vec_initializer, default_vec_optimizer, default_vec_compressor, default_vec_learning_rate_fn: for slices
      that bring none of their own.
    hashtable_config: the kind of table.
    slot_id: the slot's number, the high bits of its fids.
    occurrence_threshold: sightings of a fid before it gets an entry; 0 gives every fid one at once.
    expire_time: days without an update before an entry may be evicted.

  Raises:
    ValueError: neither name nor slot_id is given, or a number is negative.
  """

  name: Optional[str] = None
  has_bias: bool = False
  bias_initializer: entry.Initializer = entry.ZerosInitializer()
  bias_optimizer: entry.Optimizer = entry.FtrlOptimizer(initial_accumulator_value=1e-6, beta=1.0)
  bias_compressor: entry.Compressor = entry.Fp32Compressor()
  bias_learning_rate_fn: Optional[LearningRateFn] = None
  default_vec_initializer: entry.Initializer = entry.RandomUniformInitializer()
  default_vec_optimizer: entry.Optimizer = entry.AdagradOptimizer(initial_accumulator_value=1.0)
  default_vec_compressor: entry.Compressor = entry.Fp16Compressor()
  default_vec_learning_rate_fn: Optional[LearningRateFn] = None
  hashtable_config: entry.HashTableConfig = entry.CuckooHashTableConfig()
  slot_id: Optional[int] = None
  occurrence_threshold: int = 0
  expire_time: int = DEFAULT_EXPIRE_TIME

  def __post_init__(self) -> None:
    if not self.name:
      if self.slot_id is None:
        raise ValueError("FeatureSlotConfig has neither name nor slot_id; give one.")
      self.name = str(self.slot_id)
    for field in ("occurrence_threshold", "expire_time"):
      if getattr(self, field) < 0:
        raise ValueError(f"FeatureSlotConfig({self.name!r}).{field} is {getattr(self, field)}; it must be >= 0.")


class FeatureSlot:
  """A slot of the model being built.

  Args:
    table: what its embeddings come from.
    config: how they are stored and trained.
  """

  def __init__(self, table: FeatureEmbTable, config: FeatureSlotConfig):
    self._table = table
    self._config = config
    self._dim = 0
    self._columns: List[FeatureColumn] = []
    self._bias_slice: Optional[FeatureSlice] = None
    if config.has_bias:
      self._bias_slice = self.add_feature_slice(
        1,
        config.bias_initializer,
        config.bias_optimizer,
        config.bias_compressor,
        config.bias_learning_rate_fn,
      )

  @property
  def name(self) -> str:
    """The slot's name."""
    return str(self._config.name)

  @property
  def slot(self) -> int:
    """The slot's number.

    Raises:
      ValueError: the config has no slot_id and its name is no number.
    """
    if self._config.slot_id is not None:
      return self._config.slot_id
    try:
      return int(self.name)
    except ValueError as error:
      raise ValueError(f"slot {self.name!r} has no number; set FeatureSlotConfig.slot_id.") from error

  @property
  def table(self) -> FeatureEmbTable:
    """What the slot's embeddings come from."""
    return self._table

  def add_feature_slice(
    self,
    dim_size: int,
    initializer: Optional[entry.Initializer] = None,
    optimizer: Optional[entry.Optimizer] = None,
    compressor: Optional[entry.Compressor] = None,
    learning_rate_fn: Optional[LearningRateFn] = None,
  ) -> FeatureSlice:
    """Appends `dim_size` columns; what is not given comes from the config's `default_vec_*`.

    Raises:
      ValueError: `dim_size` is not positive.
    """
    if dim_size <= 0:
      raise ValueError(f"slot {self.name!r}: dim_size is {dim_size}; a slice has at least 1 column.")
    config = self._config
    segment = entry.CombineAsSegment(
      dim_size,
      initializer or config.default_vec_initializer,
      optimizer or config.default_vec_optimizer,
      compressor or config.default_vec_compressor,
    )
    if learning_rate_fn is None:
      learning_rate_fn = config.default_vec_learning_rate_fn
    self._table.add_feature_slice(segment, learning_rate_fn)
    self._dim += dim_size
    return FeatureSlice(self, self._dim - dim_size, self._dim)

  def get_bias_slice(self) -> FeatureSlice:
    """The bias column.

    Raises:
      ValueError: the slot has none.
    """
    if self._bias_slice is None:
      raise ValueError(f"slot {self.name!r} has no bias; set FeatureSlotConfig.has_bias.")
    return self._bias_slice

  def get_feature_columns(self) -> List[FeatureColumn]:
    """The columns that draw on this slot, in order of creation."""
    return list(self._columns)

  def _add_feature_column(self, column: FeatureColumn) -> None:
    self._columns.append(column)
    self._table.set_feature_metadata(column.feature_name, column.combiner)


class FeatureColumn:
  """A feature that draws on a slot.

  Args:
    feature_slot: the slot of its fids.
    feature_name: its key in the features dict.
    combiner: from the fids of a row to one tensor; their sum by default.
  """

  def __init__(
    self,
    feature_slot: FeatureSlot,
    feature_name: str,
    combiner: Optional[embedding_combiners.Combiner] = None,
  ):
    self._feature_slot = feature_slot
    self._feature_name = feature_name
    self._combiner = embedding_combiners.ReduceSum() if combiner is None else combiner
    self._size_tensor: Optional[tf.Tensor] = None
    self._bias: Optional[tf.Tensor] = None
    feature_slot._add_feature_column(self)

  @classmethod
  def reduce_sum(cls) -> embedding_combiners.Combiner:
    """The sum of a row's embeddings, [B, D]."""
    return embedding_combiners.ReduceSum()

  @classmethod
  def reduce_mean(cls) -> embedding_combiners.Combiner:
    """Their mean, [B, D]."""
    return embedding_combiners.ReduceMean()

  @classmethod
  def first_n(cls, seq_length: int) -> embedding_combiners.Combiner:
    """The first `seq_length` of them, [B, seq_length, D], zero-padded."""
    return embedding_combiners.FirstN(seq_length)

  @property
  def feature_name(self) -> str:
    """The feature's key in the features dict."""
    return self._feature_name

  @property
  def feature_slot(self) -> FeatureSlot:
    """The slot of its fids."""
    return self._feature_slot

  @property
  def combiner(self) -> embedding_combiners.Combiner:
    """From the fids of a row to one tensor."""
    return self._combiner

  def embedding_lookup(self, s: FeatureSlice) -> tf.Tensor:
    """The combined embedding in slice `s`: [B, dim], or [B, L, dim] for a sequence.

    Raises:
      ValueError: the slice belongs to another slot.
    """
    if s.feature_slot is not self._feature_slot:
      raise ValueError(
        f"feature {self._feature_name!r} draws on slot {self._feature_slot.name!r}, but {s} is of "
        f"slot {s.feature_slot.name!r}; add the slice to the feature's own slot."
      )
    return self._feature_slot.table.embedding_lookup(self._feature_name, s.start, s.end)

  def get_all_embeddings_concat(self) -> tf.Tensor:
    """The uncombined embeddings [number of fids, D] of all slices: the tensor that gradients are taken by."""
    return self._feature_slot.table.embedding_lookup(self._feature_name, None, None)

  def get_bias(self) -> tf.Tensor:
    """The combined bias, [B, 1]."""
    if self._bias is None:
      self._bias = self.embedding_lookup(self._feature_slot.get_bias_slice())
    return self._bias

  def set_size_tensor(self, row_lengths: tf.Tensor) -> None:
    """Sets the number of fids per row, int32 [B], of a sequence feature.

    Raises:
      ValueError: the combiner is not FirstN.
    """
    if not isinstance(self._combiner, embedding_combiners.FirstN):
      raise ValueError(
        f"feature {self._feature_name!r} is combined by {self._combiner}; only FirstN has a size tensor."
      )
    self._size_tensor = tf.sequence_mask(row_lengths, maxlen=self._combiner.max_seq_length, dtype=tf.int32)

  def get_size_tensor(self) -> Optional[tf.Tensor]:
    """The mask of filled positions, int32 [B, L]; None before `set_size_tensor`."""
    return self._size_tensor


class FeatureFactory(abc.ABC):
  """Makes the slots of one graph."""

  def __init__(self) -> None:
    self.slot_to_occurrence_threshold: Dict[int, int] = {}
    """{slot number: sightings before a fid gets an entry}."""
    self.slot_to_expire_time: Dict[int, int] = {}
    """{slot number: days without an update before eviction}."""

  @abc.abstractmethod
  def create_feature_slot(self, config: FeatureSlotConfig) -> FeatureSlot:
    """Makes a slot; creates no TensorFlow op."""

  def lookup_concat(self, parts: Sequence[Tuple[FeatureColumn, FeatureSlice]]) -> tf.Tensor:
    """Combined embeddings side by side: [B, sum of dims] of columns that are pooled."""
    return tf.concat([column.embedding_lookup(part) for column, part in parts], axis=1)

  def laid_out(self) -> ContextManager[None]:
    """Entered around lookups that a layout can hold; factories of dry runs take note of those outside."""
    return contextlib.nullcontext()

  def gradient_targets(self, columns: Sequence[FeatureColumn], per_fid: bool = False) -> List[tf.Tensor]:
    """What a loss is differentiated by, to pass the gradients to `apply_gradients` and so to train `columns`.

    Args:
      columns: the columns to train.
      per_fid: whether the caller looks at gradients of single fids, [number of fids, D] a column in their order.
    """
    del per_fid
    return [column.get_all_embeddings_concat() for column in columns]

  def gradient_norm(self, grads_and_vars: Sequence[Tuple[Gradient, tf.Tensor]]) -> tf.Tensor:
    """The norm of all gradients of single fids that these, with respect to `gradient_targets`, stand for: a scalar."""
    return tf.linalg.global_norm([grad for grad, _ in grads_and_vars])

  def apply_gradients(
    self,
    grads_and_vars: Iterable[Tuple[Optional[tf.Tensor], tf.Tensor]],
    req_time: Optional[tf.Tensor] = None,
    scale: Union[int, float, tf.Tensor] = 1,
  ) -> tf.Operation:
    """Applies gradients with respect to `FeatureColumn.get_all_embeddings_concat()` to the tables."""
    raise NotImplementedError(f"{type(self).__name__} applies no gradients.")
