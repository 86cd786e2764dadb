# SPDX-License-Identifier: Apache-2.0
"""The tables' part of a step in a few ops: a lookup that combines and, in training, the way of gradients back.

Possible where the model looks at no embedding of a single fid. Tables in this process take two ops, those on parameter
servers three on the worker and two on each server (`_dealt_lookup`), whatever the number of features. The numbers are
those of `_sparse_step`.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, NoReturn, Optional, Sequence, Tuple, Union

import tensorflow as tf

from monolith.native_training import distributed_ps, feature, fused_embedding, hash_table_utils
from monolith.native_training._collect_pass import FeatureConfigs
from monolith.native_training._dealt_lookup import DealtFids
from monolith.native_training._feature_collect import Part
from monolith.native_training._feature_slices import add_to_reduced
from monolith.native_training._feature_slots import Gradient
from monolith.native_training._table_updates import TableUpdates
from monolith.native_training._training_config import CpuTrainingConfig
from monolith.native_training.prefetch_queue import AsyncFunctionMgr

__all__ = ["CombinedFeatureFactory", "CombinedLookup", "combined_lookup", "why_not_combined", "why_setting_forbids"]

_Outputs = Dict[str, Tuple[Part, ...]]
_Ids = Dict[str, tf.RaggedTensor]
_Layout = fused_embedding.Layout
_GradsAndVars = Sequence[Tuple[Gradient, tf.Tensor]]


def why_setting_forbids(config: CpuTrainingConfig) -> Optional[str]:
  """Why settings alone rule out every lookup but that of single fids, or None."""
  if not config.fuse_lookups:
    return "fuse_lookups is False"
  if config.use_native_multi_hash_table is False:
    return "use_native_multi_hash_table is False"
  return None


def why_not_combined(configs: FeatureConfigs) -> Optional[str]:
  """Why a model's lookups cannot be combined by one op, or None where they can."""
  lookups = configs.lookups
  if lookups.uncombined:
    return lookups.uncombined[0]
  if not lookups.outputs:
    return "model_fn looks no slice up"
  for name in lookups.features:
    if not fused_embedding.can_combine(configs.feature_to_combiner[name]):
      return f"feature {name!r} has a combiner of its own, {configs.feature_to_combiner[name]!r}"
  for table, config in sorted(configs.table_to_config.items()):
    if lookups.trained and hash_table_utils.needs_looked_up(config):
      return f"table {table!r} has a DcOptimizer, which takes the embeddings of single fids beside their gradients"
  untrained = sorted(set(lookups.features) - set(lookups.trained))
  if lookups.trained and untrained:
    return f"feature {untrained[0]!r} is looked up but not trained"
  return None


def _outputs_of(configs: FeatureConfigs) -> _Outputs:
  return {str(number): parts for number, parts in enumerate(configs.lookups.outputs)}


def _layout(configs: FeatureConfigs, outputs: _Outputs) -> _Layout:
  """The layout of some outputs, and of their features alone."""
  names = sorted({name for parts in outputs.values() for name, _, _ in parts})
  features = [
    fused_embedding.Feature(name, configs.feature_to_table[name], (), configs.feature_to_combiner[name])
    for name in names
  ]
  return fused_embedding.Layout.from_outputs(
    features,
    {output: [(name, start, end - start) for name, start, end in parts] for output, parts in outputs.items()},
  )


def _ids(layout: _Layout, fids: Mapping[str, tf.RaggedTensor]) -> _Ids:
  return {part.name: fids[part.name] for part in layout.features}


class CombinedLookup(NamedTuple):
  """What a lookup found.

  Attributes:
    outputs: of each of `configs.lookups.outputs`, by its number: float32 [B, width], or [B, L, width] of a sequence.
    dealt: where the fids went, if the tables are on servers.
  """

  outputs: Dict[str, tf.Tensor]
  dealt: Optional[DealtFids]


def combined_lookup(tables: Any, fids: Mapping[str, tf.RaggedTensor], configs: FeatureConfigs) -> CombinedLookup:
  """Looks up all that the model looks up, combined.

  Args:
    tables: from `create_tables`.
    fids: {feature: ragged int64 [B, None]}.
    configs: what the dry run learned.
  """
  layout = _layout(configs, _outputs_of(configs))
  ids = _ids(layout, fids)
  dealt = None
  if isinstance(tables, distributed_ps.DistributedMultiTypeHashTable):
    lookup = tables.combined(layout, ids)
    dealt = lookup.deal()
    outputs = lookup.combine(dealt, tables.lookup_dealt(dealt))
  else:
    outputs = fused_embedding.combined_lookup(tables, layout, ids)
  batch = next(iter(fids.values())).shape[0]
  for output in outputs.values():
    output.set_shape([batch, *output.shape[1:]])
    add_to_reduced(output)
  return CombinedLookup(outputs, dealt)


class _CombinedTable(feature.FeatureEmbTable):
  """Answers lookups of slices that the collect pass met."""

  def __init__(self, found: Mapping[Tuple[Part, ...], tf.Tensor]):
    self._found = found

  def embedding_lookup(self, feature_name: str, start: Optional[int], end: Optional[int]) -> tf.Tensor:
    if start is None or end is None:
      raise ValueError(
        f"model_fn takes the embeddings of the single fids of feature {feature_name!r}, but did not in its first pass; "
        "it must do the same each time it is called, or set CpuTrainingConfig.fuse_lookups=False."
      )
    return self.of(((feature_name, start, end),))

  def of(self, parts: Tuple[Part, ...]) -> tf.Tensor:
    """The embeddings of a lookup.

    Raises:
      KeyError: the collect pass met no such lookup.
    """
    if parts not in self._found:
      raise KeyError(
        f"the first pass over the model met no lookup of {_names(parts)}; it met {_names(sum(self._found, ()))}. "
        "model_fn must look up the same slices each time it is called."
      )
    return self._found[parts]


def _names(parts: Iterable[Part]) -> str:
  return ", ".join(sorted({feature.slice_key(*part) for part in parts}))


class CombinedFeatureFactory(feature.FeatureFactory):
  """The factory of a graph whose lookups are combined.

  Args:
    tables: from `create_tables`.
    fids: {feature: ragged int64 [B, None]}.
    found: from `combined_lookup`.
    configs: what the dry run learned.
    async_function_mgr: runs the update.
    postpush: run it one step later.
    req_time: the batch's time, int64 seconds, or None.
  """

  def __init__(
    self,
    tables: Any,
    fids: Mapping[str, tf.RaggedTensor],
    found: CombinedLookup,
    configs: FeatureConfigs,
    async_function_mgr: AsyncFunctionMgr,
    postpush: bool,
    req_time: Optional[tf.Tensor],
  ):
    super().__init__()
    self._tables = tables
    self._fids = dict(fids)
    self._outputs = dict(found.outputs)
    self._dealt = found.dealt
    self._configs = configs
    self._table = _CombinedTable({parts: self._outputs[name] for name, parts in _outputs_of(configs).items()})
    self._updates = TableUpdates(async_function_mgr, postpush, req_time)

  def create_feature_slot(self, config: feature.FeatureSlotConfig) -> feature.FeatureSlot:
    return feature.FeatureSlot(self._table, config)

  def lookup_concat(self, parts: Sequence[Tuple[feature.FeatureColumn, feature.FeatureSlice]]) -> tf.Tensor:
    return self._table.of(tuple((column.feature_name, part.start, part.end) for column, part in parts))

  def gradient_targets(self, columns: Sequence[feature.FeatureColumn], per_fid: bool = False) -> List[tf.Tensor]:
    missing = set(self._configs.lookups.features) - {column.feature_name for column in columns}
    if per_fid or missing:
      self._refuse("gradients of single fids" if per_fid else f"gradients of other features than {sorted(missing)}")
    return list(self._outputs.values())

  def gradient_norm(self, grads_and_vars: _GradsAndVars) -> tf.Tensor:
    layout, ids, grads = self._way_back(grads_and_vars)
    return fused_embedding.combined_gradient_norm(layout, ids, grads)

  def apply_gradients(
    self,
    grads_and_vars: Iterable[Tuple[Optional[Gradient], tf.Tensor]],
    req_time: Optional[tf.Tensor] = None,
    scale: Union[int, float, tf.Tensor] = 1,
  ) -> tf.Operation:
    """Updates the tables; returns the op that does, or that queues the update.

    Raises:
      ValueError: a gradient is not with respect to `gradient_targets`.
    """
    pairs = [(grad, v) for grad, v in grads_and_vars if grad is not None]
    if not pairs:
      return tf.no_op()
    layout, ids, grads = self._way_back(pairs)
    if self._dealt is None:
      return self._update_here(layout, ids, grads, scale, req_time)
    return self._update_servers(self._dealt, layout, ids, grads, scale, req_time)

  def _update_here(self, layout: _Layout, ids: _Ids, grads: Dict[str, tf.Tensor], scale: Any, time: Any) -> Any:
    def update(ids: _Ids, grads: Dict[str, tf.Tensor], global_step: tf.Tensor, time: Optional[tf.Tensor]) -> Any:
      return fused_embedding.combined_apply_gradients(
        self._tables, layout, ids, grads, global_step, req_time=time
      ).as_op()

    return self._updates.run(update, ids, grads, scale, time)

  def _update_servers(
    self, dealt: DealtFids, layout: _Layout, ids: _Ids, grads: Dict[str, tf.Tensor], scale: Any, time: Any
  ) -> Any:
    lookup = self._tables.combined(layout, ids)
    # Fids of features without a gradient must not reach the optimizers.
    dealt = dealt if len(ids) == len(self._configs.lookups.features) else lookup.deal()
    sums = {str(i): grad for i, grad in enumerate(lookup.gradients(dealt, grads))}

    def update(
      messages: List[tf.Tensor], sums: Dict[str, tf.Tensor], global_step: tf.Tensor, time: Optional[tf.Tensor]
    ) -> Any:
      return self._tables.apply_dealt_gradients(messages, list(sums.values()), global_step, req_time=time).as_op()

    return self._updates.run(update, dealt.messages, sums, scale, time)

  def _way_back(self, grads_and_vars: _GradsAndVars) -> Tuple[_Layout, _Ids, Dict[str, tf.Tensor]]:
    """The layout of the outputs that have gradients, the ids of its features, and the gradients by output.

    A feature none of whose slices has a gradient is not in that layout: its fids are not updated.
    """
    names = {output.ref(): name for name, output in self._outputs.items()}
    grads = {}
    for grad, v in grads_and_vars:
      if v.ref() not in names:
        self._refuse(f"gradients with respect to {v.name}")
      grads[names[v.ref()]] = tf.convert_to_tensor(grad)
    outputs = {name: parts for name, parts in _outputs_of(self._configs).items() if name in grads}
    layout = _layout(self._configs, outputs)
    return layout, _ids(layout, self._fids), grads

  def _refuse(self, what: str) -> NoReturn:
    raise ValueError(
      f"the step takes {what}, but did not in the model's first pass; it must take the same each time, with respect to "
      "FeatureFactory.gradient_targets, or set CpuTrainingConfig.fuse_lookups=False."
    )
