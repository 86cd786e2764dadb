# SPDX-License-Identifier: Apache-2.0
"""A dry run in the mode of a graph that is about to be built: what the model looks up there.

The collect pass runs the model in TRAIN mode and so learns which tables there are. Evaluation, prediction and exports
may look up other slices of them, or look at embeddings of single fids; here the model runs over placeholders, in a
throw-away graph without a table, on what the real graph is going to give it.
"""

from __future__ import annotations

from typing import (
  Any,
  Callable,
  ContextManager,
  Dict,
  Iterable,
  List,
  Mapping,
  NamedTuple,
  Optional,
  Sequence,
  Tuple,
  Union,
)

import tensorflow as tf

from idl.matrix.proto import example_pb2
from monolith.native_training import feature, fused_embedding
from monolith.native_training._collect_pass import FeatureConfigs
from monolith.native_training._feature_collect import Part, RecordedLookups
from monolith.native_training._watched_features import WatchedFeatures
from monolith.native_training.model_export import export_context
from monolith.native_training.prefetch_queue import AsyncFunctionMgr

__all__ = ["ModeLookups", "record_lookups"]


class ModeLookups(NamedTuple):
  """What a model looks up in one mode.

  Attributes:
    lookups: its lookups, and why they cannot be combined, if so.
    layouts: {layout: how one lookup of `lookup_embedding_slice` joins slices}.
  """

  lookups: RecordedLookups
  layouts: Dict[str, example_pb2.OutConfig]


class _RecordingTable(feature.FeatureEmbTable):
  """Answers lookups by placeholders, as the tables of `configs` would by embeddings."""

  def __init__(self, configs: FeatureConfigs, batch_size: Optional[int], lookups: RecordedLookups):
    self._batch_size = batch_size
    self._lookups = lookups
    self._combiners = configs.feature_to_combiner
    dims = configs.feature_to_unmerged_slice_dims
    self.embeddings = {name: tf.compat.v1.placeholder(tf.float32, [None, sum(dims[name])]) for name in dims}
    # It knows which lookups there are no answers to.
    self._known = feature.EmbeddingFeatureEmbTable(
      self.embeddings, {feature.slice_key(*part): part for name in dims for part in _parts(name, dims[name])}
    )

  def embedding_lookup(self, feature_name: str, start: Optional[int], end: Optional[int]) -> tf.Tensor:
    if start is None or end is None:
      self._lookups.uncombined.append(f"model_fn takes the embeddings of the single fids of feature {feature_name!r}")
      return self._known.embedding_lookup(feature_name, None, None)
    self._lookups.add_output((feature_name, start, end))
    return self.combined(feature_name, start, end)

  def combined(self, feature_name: str, start: int, end: int) -> tf.Tensor:
    """A placeholder of what combined columns would be.

    Raises:
      KeyError: no table has them.
    """
    self._known.embedding_lookup(feature_name, start, end)
    combiner = self._combiners[feature_name]
    if fused_embedding.can_combine(combiner):
      positions = [combiner.max_seq_length] if combiner.max_seq_length else []
      return tf.compat.v1.placeholder(tf.float32, [self._batch_size, *positions, end - start])
    fids = tf.compat.v1.ragged.placeholder(tf.int64, ragged_rank=1)
    return combiner.combine(fids, self.embeddings[feature_name])[..., start:end]


def _parts(name: str, dims: Sequence[int]) -> List[Part]:
  ends = [sum(dims[: number + 1]) for number in range(len(dims))]
  return [(name, end - dim, end) for dim, end in zip(dims, ends, strict=True)]


class _RecordingFactory(feature.FeatureFactory):
  """Notes what a model looks up and trains."""

  def __init__(self, table: _RecordingTable, lookups: RecordedLookups):
    super().__init__()
    self._table = table
    self._lookups = lookups

  def create_feature_slot(self, config: feature.FeatureSlotConfig) -> feature.FeatureSlot:
    return feature.FeatureSlot(self._table, config)

  def laid_out(self) -> ContextManager[None]:
    return self._lookups.laid_out()

  def lookup_concat(self, parts: Sequence[Tuple[feature.FeatureColumn, feature.FeatureSlice]]) -> tf.Tensor:
    named = [(column.feature_name, part.start, part.end) for column, part in parts]
    self._lookups.add_output(*named)
    return tf.concat([self._table.combined(*part) for part in named], axis=1)

  def gradient_targets(self, columns: Sequence[feature.FeatureColumn], per_fid: bool = False) -> List[tf.Tensor]:
    self._lookups.add_trained((column.feature_name for column in columns), per_fid)
    return [self._table.embeddings[column.feature_name] for column in columns]

  def apply_gradients(
    self,
    grads_and_vars: Iterable[Tuple[Optional[tf.Tensor], tf.Tensor]],
    req_time: Optional[tf.Tensor] = None,
    scale: Union[int, float, tf.Tensor] = 1,
  ) -> tf.Operation:
    del grads_and_vars, req_time, scale
    return tf.no_op()


def record_lookups(
  task: Any,
  call_model_fn: Callable[[Mapping[str, Any], Any], Any],
  dense: Mapping[str, Any],
  labels: Any,
  configs: FeatureConfigs,
  batch_size: Optional[int],
  with_embeddings: bool,
) -> ModeLookups:
  """Runs a task's model in a throw-away graph and notes its lookups.

  Args:
    task: a NativeTask; its context is used and reset.
    call_model_fn: calls its model function by (features, labels), in the mode in question.
    dense: features that are looked up nowhere.
    labels: as the model takes them.
    configs: the tables.
    batch_size: rows of the batches, where they are known.
    with_embeddings: the model would find the embeddings of single fids among its features.

  Raises:
    KeyError: the model looks up what no table has.
    Exception: whatever the model raises; it may use tensors of the real graph otherwise than as features.
  """
  lookups, reads = RecordedLookups(), []  # type: ignore[var-annotated]
  old_layouts = getattr(task, "layout_dict", None)
  graph = tf.Graph()
  graph.dry_run = True
  with graph.as_default(), export_context.scratch_export_context():
    tf.compat.v1.get_variable_scope().set_use_resource(True)
    tf.compat.v1.train.get_or_create_global_step()
    features, labels = _placeholders((dict(dense), labels))
    table = _RecordingTable(configs, batch_size, lookups)
    if with_embeddings:
      features = WatchedFeatures({**features, **table.embeddings}, reads, watched=table.embeddings)
    task.ctx.feature_factory = _RecordingFactory(table, lookups)
    task.ctx.async_function_mgr = AsyncFunctionMgr(is_async=False)
    try:
      if old_layouts is not None:
        task.layout_dict = {}
      call_model_fn(features, labels)
      layouts = dict(getattr(task, "layout_dict", None) or {})
    finally:
      task.ctx.feature_factory, task.ctx.async_function_mgr = None, None
      if old_layouts is not None:
        task.layout_dict = old_layouts
  lookups.uncombined.extend(f"model_fn reads features[{name!r}]" for name in reads if name in table.embeddings)
  return ModeLookups(lookups, layouts)


def _placeholders(values: Any) -> Any:
  """The same structure with a placeholder for each tensor."""

  def like(value: Any) -> Any:
    return tf.compat.v1.placeholder(value.dtype, value.shape) if isinstance(value, tf.Tensor) else value

  return tf.nest.map_structure(like, values, expand_composites=True)
