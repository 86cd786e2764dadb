# SPDX-License-Identifier: Apache-2.0
"""One op looks up and combines the fids of all features; one op takes all their gradients back.

    layout = Layout([
      Feature("user", "user", [Slice("deep", 16), Slice("bias", 1)]),
      Feature("genres", "genre", [Slice("deep", 16), Slice("bias", 1)], embedding_combiners.ReduceMean()),
    ])
    outputs = combined_lookup(table, layout, {"user": users, "genres": genres})    # deep [B, 32], bias [B, 2]

The numbers are those of `MultiHashTable.lookup`, the combiners of `embedding_combiners`, and
`MultiHashTable.apply_gradients(enable_dedup=True)`; the embeddings and gradients of single fids are never tensors.

Training through gradients. With an `anchor`, a float scalar such as a trainable variable, the lookup has a gradient
with respect to that anchor, and computing it is the optimizer step of the tables: it runs the update, and its value is
0. So any training loop that differentiates the loss with respect to the anchor trains the tables:

    with tf.GradientTape() as tape:
      loss = model(combined_lookup(table, layout, ids, anchor=anchor, global_step=step))
    tape.gradient(loss, [anchor, *dense_variables])

Computing the gradient twice, as a persistent tape can, is two steps. A tape walks back through all that it has watched,
so `tape.gradient(loss, x)` of a tape that watches the anchor is a step too, whatever `x` is; `tf.stop_gradient` on the
outputs, or a lookup without anchor, prevents it. What a training loop does to gradients afterwards (clipping, scaling,
accumulating) does not reach the tables: their step has been taken. In TF1 graphs the update runs when the anchor's
gradient, or anything that depends on it, is evaluated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Optional, TypeAlias

from monolith.native_training import embedding_combiners
from monolith.native_training import multi_hash_table_ops
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf

Ids: TypeAlias = "tf.Tensor | tf.RaggedTensor"

_TRAINING_LOOKUP = "MonolithMultiHashTableCombinedTrainingLookup"
PLAN_ATTRIBUTES = (
  "tables", "combiners", "max_seq_lengths", "slice_features", "slice_begins", "slice_dims", "slice_outputs",
  "slice_columns", "output_widths", "output_lengths",
)  # fmt: skip
"""Attributes of every op that has a layout."""
_COMBINERS: dict[type, str] = {
  embedding_combiners.ReduceSum: "sum",
  embedding_combiners.ReduceMean: "mean",
  embedding_combiners.FirstN: "first_n",
}


def can_combine(combiner: embedding_combiners.Combiner) -> bool:
  """Whether the ops know a combiner; subclasses of those they know may do anything."""
  return type(combiner) in _COMBINERS


@dataclasses.dataclass(frozen=True)
class Slice:
  """The next `dim` columns of a feature's embedding, and the output that they go to; None: to none."""

  output: str | None
  dim: int


@dataclasses.dataclass(frozen=True)
class Feature:
  """One feature.

  Attributes:
    name: of the feature's ids.
    table: name of the table that has its embeddings; features may share one.
    slices: consecutive parts of the embedding, from its first column on.
    combiner: how the embeddings of a row become one: ReduceSum, ReduceMean or FirstN.
  """

  name: str
  table: str
  slices: Sequence[Slice]
  combiner: embedding_combiners.Combiner = dataclasses.field(default_factory=embedding_combiners.ReduceSum)


class Layout:
  """Which features a call looks up, and what its outputs are made of.

  An output is the concatenation of its slices in the order of the features: `[B, width]`, or `[B, seq_length, width]`
  of features with FirstN.

  Args:
    features: at least one; their names are distinct.

  Raises:
    ValueError: a name comes twice, a slice has no floats, a combiner is unknown, an output mixes pooled features and
      sequences or sequences of different lengths, or there is no output.
  """

  def __init__(self, features: Sequence[Feature]):
    self._start(features)
    for number, feature in enumerate(self._features):
      begin = 0
      for part in feature.slices:
        self._add(number, begin, part.dim, part.output)
        begin += part.dim
    if not self._widths:
      raise ValueError("Layout: no feature has a slice with an output; give at least one, such as Slice('deep', 16).")

  @classmethod
  def from_outputs(cls, features: Sequence[Feature], outputs: Mapping[str, Sequence[tuple[str, int, int]]]) -> Layout:
    """A layout by outputs: each is the concatenation of parts (feature, first column, dim), in any order of features.

    Args:
      features: at least one; their names are distinct, and their slices are ignored.
      outputs: at least one; a part of an embedding may go to several.

    Raises:
      KeyError: a part's feature is not among the features.
      ValueError: as the constructor.
    """
    layout = cls.__new__(cls)
    layout._start(features)
    numbers = {feature.name: number for number, feature in enumerate(layout._features)}
    for output, parts in outputs.items():
      for name, begin, dim in parts:
        if name not in numbers:
          raise KeyError(f"output {output!r} has a part of feature {name!r}; the features are {', '.join(numbers)}.")
        layout._add(numbers[name], begin, dim, output)
    if not layout._widths:
      raise ValueError("Layout: there is no output; give at least one.")
    return layout

  def _start(self, features: Sequence[Feature]) -> None:
    self._features = list(features)
    self._widths: dict[str, int] = {}
    self._lengths: dict[str, int] = {}
    self._slices: list[tuple[int, int, int, str, int]] = []  # feature, begin, dim, output, column
    names = [feature.name for feature in self._features]
    for name in names:
      if names.count(name) > 1:
        raise ValueError(f"Layout: feature {name!r} comes {names.count(name)} times; give every feature its own name.")
    for feature in self._features:
      if not can_combine(feature.combiner):
        raise ValueError(
          f"feature {feature.name!r}: combiner is {feature.combiner!r}; use ReduceSum, ReduceMean or FirstN of "
          "embedding_combiners."
        )

  def _add(self, number: int, begin: int, dim: int, output: str | None) -> None:
    feature = self._features[number]
    if dim < 1:
      raise ValueError(f"feature {feature.name!r}: a slice has dim {dim}; it must be at least 1.")
    if output is None:
      return
    length = feature.combiner.max_seq_length
    if self._lengths.setdefault(output, length) != length:
      raise ValueError(
        f"feature {feature.name!r} has max_seq_length {length}, but output {output!r} has {self._lengths[output]} "
        "(0: pooled) from other features; send it to another output."
      )
    column = self._widths.get(output, 0)
    self._slices.append((number, begin, dim, output, column))
    self._widths[output] = column + dim

  @property
  def features(self) -> list[Feature]:
    """A copy."""
    return list(self._features)

  @property
  def output_names(self) -> list[str]:
    """In the order of their first use."""
    return list(self._widths)

  def attributes(self, table_names: Sequence[str]) -> dict[str, Any]:
    """The attributes of the ops, for tables in that order.

    Raises:
      KeyError: a feature's table is not among them.
    """
    for feature in self._features:
      if feature.table not in table_names:
        raise KeyError(
          f"feature {feature.name!r} has table {feature.table!r}, but the tables are {', '.join(table_names)}; add it "
          "to the configs or name another."
        )
    outputs = self.output_names
    return {
      "tables": [list(table_names).index(feature.table) for feature in self._features],
      "combiners": [_COMBINERS[type(feature.combiner)] for feature in self._features],
      "max_seq_lengths": [feature.combiner.max_seq_length for feature in self._features],
      "slice_features": [part[0] for part in self._slices],
      "slice_begins": [part[1] for part in self._slices],
      "slice_dims": [part[2] for part in self._slices],
      "slice_outputs": [outputs.index(part[3]) for part in self._slices],
      "slice_columns": [part[4] for part in self._slices],
      "output_widths": list(self._widths.values()),
      "output_lengths": list(self._lengths.values()),
    }

  def ids_and_splits(self, ids: Mapping[str, Ids]) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Ids and row splits of the features, in order; dense ids have empty row splits.

    Raises:
      KeyError: a feature has no ids, or ids have no feature.
      ValueError: ids have another shape than `[B]`, `[B, L]` or ragged `[B, None]`.
    """
    names = [feature.name for feature in self._features]
    for name in ids:
      if name not in names:
        raise KeyError(f"ids of {name!r}, but the features are {', '.join(names)}; leave them out.")
    parts = []
    for name in names:
      if name not in ids:
        raise KeyError(f"feature {name!r} has no ids; pass ids of {', '.join(names)}.")
      parts.append(_parts(name, ids[name]))
    if len({splits.dtype for _, splits in parts if splits is not None}) > 1:
      parts = [(values, None if splits is None else tf.cast(splits, tf.int64)) for values, splits in parts]
    split_type = next((splits.dtype for _, splits in parts if splits is not None), tf.int64)
    empty = tf.zeros([0], split_type)
    return [values for values, _ in parts], [empty if splits is None else splits for _, splits in parts]

  def in_order(self, gradients: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
    """Gradients of the outputs as float32, in order.

    Raises:
      KeyError: an output has none.
    """
    for name in self.output_names:
      if name not in gradients:
        raise KeyError(f"output {name!r} has no gradient; pass gradients of {', '.join(self.output_names)}.")
    return [tf.cast(tf.convert_to_tensor(gradients[name]), tf.float32) for name in self.output_names]


def _parts(name: str, ids: Ids) -> tuple[tf.Tensor, Optional[tf.Tensor]]:
  if isinstance(ids, tf.RaggedTensor):
    if ids.ragged_rank != 1 or ids.values.shape.rank not in (None, 1):
      raise ValueError(f"feature {name!r}: ids are ragged {ids.shape}; pass [B, None] with one ragged axis.")
    return tf.cast(ids.values, tf.int64), ids.row_splits
  if isinstance(ids, tf.SparseTensor):
    raise ValueError(f"feature {name!r}: ids are a SparseTensor; pass tf.RaggedTensor.from_sparse of them.")
  dense = tf.convert_to_tensor(ids)
  if not dense.dtype.is_integer:
    raise ValueError(f"feature {name!r}: ids are {dense.dtype.name}; pass int64 fids.")
  if dense.shape.rank not in (None, 1, 2):
    raise ValueError(f"feature {name!r}: ids are {dense.shape}; pass [B], [B, L] or a RaggedTensor [B, None].")
  return tf.cast(dense, tf.int64), None


def _time(req_time: Optional[tf.Tensor]) -> tf.Tensor:
  return tf.constant(0, tf.int64) if req_time is None else tf.cast(req_time, tf.int64)


def combined_lookup(
  table: multi_hash_table_ops.MultiHashTable,
  layout: Layout,
  ids: Mapping[str, Ids],
  anchor: Optional[tf.Tensor | tf.Variable] = None,
  global_step: Optional[tf.Tensor] = None,
  req_time: Optional[tf.Tensor] = None,
) -> dict[str, tf.Tensor]:
  """Looks up and combines the fids of all features.

  Args:
    table: the tables.
    layout: features and outputs.
    ids: int64 fids of every feature: `[B]`, `[B, L]` or ragged `[B, None]`.
    anchor: float32 scalar whose gradient is the optimizer step, see the module; None: a lookup without gradient.
    global_step: int64 scalar, for the step; needed with an anchor.
    req_time: int64 seconds, for the step; becomes the update time of the entries.

  Returns:
    For every output of the layout float32 `[B, width]` or `[B, seq_length, width]`. Absent fids count as zeros; a row
    without fids is zeros.

  Raises:
    KeyError: a table or the ids of a feature are missing.
    ValueError: ids have a wrong shape, or an anchor comes without a global_step.
  """
  attributes = layout.attributes(table.table_names)
  values, splits = layout.ids_and_splits(ids)
  if anchor is None:
    outputs = gen_monolith_ops.monolith_multi_hash_table_combined_lookup(
      table.handle, values, splits, M=len(attributes["output_widths"]), **attributes
    )
  else:
    if global_step is None:
      raise ValueError("combined_lookup: an anchor but no global_step; pass the training step, an int64 scalar.")
    outputs = gen_monolith_ops.monolith_multi_hash_table_combined_training_lookup(
      table.handle,
      tf.convert_to_tensor(anchor),
      values,
      splits,
      table.learning_rates(),
      _time(req_time),
      tf.cast(global_step, tf.int64),
      M=len(attributes["output_widths"]),
      **attributes,
    )
  return dict(zip(layout.output_names, outputs, strict=True))


def combined_apply_gradients(
  table: multi_hash_table_ops.MultiHashTable,
  layout: Layout,
  ids: Mapping[str, Ids],
  gradients: Mapping[str, tf.Tensor],
  global_step: tf.Tensor,
  req_time: Optional[tf.Tensor] = None,
) -> multi_hash_table_ops.MultiHashTable:
  """Takes the gradients of a lookup's outputs back through the combiners, and one optimizer step for each fid.

  Gradients of equal fids of a table are summed over all features first. Fids that FirstN dropped get gradient 0.

  Args:
    table: the tables.
    layout: as the lookup had it.
    ids: as the lookup had them.
    gradients: of every output float32 of its shape.
    global_step: int64 scalar.
    req_time: int64 seconds; becomes the update time of the entries.

  Returns:
    The tables, whose reads come after the update.

  Raises:
    KeyError: a table, the ids of a feature or the gradient of an output are missing.
    ValueError: ids have a wrong shape.
  """
  values, splits = layout.ids_and_splits(ids)
  return table.with_handle(
    gen_monolith_ops.monolith_multi_hash_table_combined_optimize(
      table.handle,
      values,
      splits,
      layout.in_order(gradients),
      table.learning_rates(),
      _time(req_time),
      tf.cast(global_step, tf.int64),
      **layout.attributes(table.table_names),
    )
  )


def combined_gradient_norm(layout: Layout, ids: Mapping[str, Ids], gradients: Mapping[str, tf.Tensor]) -> tf.Tensor:
  """The norm of the gradients of all embeddings, of every occurrence of a fid by itself.

  This is what embeddings looked up one by one and combined afterwards contribute to a global norm: in a sum every fid
  of a row has the row's gradient, in a mean a part of it, and a fid beyond the last position of FirstN none.

  Args:
    layout, ids, gradients: as for `combined_apply_gradients`.

  Returns:
    A float32 scalar.

  Raises:
    KeyError: the ids of a feature or the gradient of an output are missing.
    ValueError: ids have a wrong shape.
  """
  values, splits = layout.ids_and_splits(ids)
  return gen_monolith_ops.monolith_combined_gradient_norm(
    values, splits, layout.in_order(gradients), **layout.attributes([f.table for f in layout.features])
  )


@tf.RegisterGradient(_TRAINING_LOOKUP)
def _take_step(op: Any, *output_gradients: Any) -> list[Optional[tf.Tensor]]:
  """The gradient of a training lookup: the optimizer step, and 0 for the anchor once it has been taken."""
  attributes = {name: op.get_attr(name) for name in PLAN_ATTRIBUTES}
  num_features = len(attributes["tables"])
  table, ids, splits = op.inputs[0], op.inputs[2 : 2 + num_features], op.inputs[2 + num_features : 2 + 2 * num_features]
  gradients = [
    tf.zeros_like(output) if gradient is None else tf.convert_to_tensor(gradient)
    for output, gradient in zip(op.outputs, output_gradients, strict=True)
  ]
  updated = gen_monolith_ops.monolith_multi_hash_table_combined_optimize(
    table, list(ids), list(splits), gradients, *op.inputs[2 + 2 * num_features :], **attributes
  )
  with tf.control_dependencies([updated]):
    step_taken = tf.zeros([], name="step_taken")
  return [None, step_taken] + [None] * (len(op.inputs) - 2)


tf.no_gradient("MonolithMultiHashTableCombinedLookup")
tf.no_gradient("MonolithMultiHashTableCombinedOptimize")
tf.no_gradient("MonolithCombinedGradientNorm")
