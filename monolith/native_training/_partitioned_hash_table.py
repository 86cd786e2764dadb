# SPDX-License-Identifier: Apache-2.0
"""Tables whose fids come sharded with the batch and whose embeddings leave as the tensors of layouts."""

from __future__ import annotations

import copy
import functools
from typing import (
  AbstractSet,
  Any,
  Callable,
  Dict,
  Iterable,
  List,
  Mapping,
  NamedTuple,
  Optional,
  Sequence,
  Set,
  Tuple,
  Union,
)

import tensorflow as tf

from idl.matrix.proto import example_pb2
from monolith.native_training import distribution_ops, embedding_combiners, entry, hash_table_utils
from monolith.native_training._packed_fids import PackedFids
from monolith.native_training.data import parsers
from monolith.native_training.model_export import export_context
from monolith.native_training.prefetch_queue import AsyncFunctionMgr
from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["PartitionedHashTable", "ShardingSparseFidsOpParams"]

Configs = Dict[str, entry.HashTableConfigInstance]
Layouts = Dict[str, Union[tf.Tensor, List[tf.Tensor]]]

_POOLING = {
  embedding_combiners.ReduceSum: example_pb2.PoolingType.SUM,
  embedding_combiners.ReduceMean: example_pb2.PoolingType.MEAN,
  embedding_combiners.FirstN: example_pb2.PoolingType.FIRSTN,
}


class ShardingSparseFidsOpParams(NamedTuple):
  """How fids of records are dealt out, and what is made of their embeddings.

  Attributes:
    num_ps: servers; 0 is this process.
    unique: gives whether a fid comes once in a feature's part of a list.
    table_to_config: {table: what its entries are made of}.
    feature_configs: features and layouts.
  """

  num_ps: int
  unique: Callable[[], bool]
  table_to_config: Configs
  feature_configs: example_pb2.FeatureConfigs


class PartitionedHashTable:
  """Tables over `num_ps` servers, or in this process, that read and train all features of a batch at once.

  A batch's fids come as records or already dealt out by `sharding_sparse_fids`; each server looks its fids up, and the
  layouts are made of what comes back. Gradients of one fid in one table are summed before its one optimizer step. One
  message of fids, one of embeddings and one of gradients go between here and a server.

  Args:
    params: how fids are dealt out, from `gen_op_params`.
    table_factory: builds the `MultiHashTable` of server i: (i, table_to_config).
    device: gives the context of server i's ops.
  """

  def __init__(
    self,
    params: ShardingSparseFidsOpParams,
    table_factory: Callable[[int, Configs], Any],
    device: Callable[[int], Any],
  ):
    self._params = params
    self._device = device
    self._names = sorted({config.table for config in params.feature_configs.feature_configs.values()})
    missing = [name for name in self._names if name not in params.table_to_config]
    if missing:
      raise KeyError(
        f"PartitionedHashTable: no config of tables {missing}; there are {sorted(params.table_to_config)}."
      )
    self._dims: Dict[str, int] = {
      name: hash_table_utils.infer_dim_size(params.table_to_config[name]) for name in self._names
    }
    self._tables: List[Any] = []
    for i in range(self._num_shards):
      with device(i):
        self._tables.append(table_factory(i, params.table_to_config))
    # Between tables of this process nothing travels.
    travels = params.num_ps > 0 and not export_context.is_exporting_standalone()
    dims = [self._dims[name] for name in self._names]
    self._packed = PackedFids(self._names, dims, self._tables) if travels else None

  @staticmethod
  def gen_op_params(
    num_ps: int,
    table_to_config: Configs,
    feature_to_table: Mapping[str, str],
    layout_configs: Mapping[str, example_pb2.OutConfig],
    feature_to_unmerged_slice_dims: Mapping[str, Sequence[int]],
    feature_to_combiner: Mapping[str, embedding_combiners.Combiner],
    unique: Optional[Callable[[], bool]] = None,
  ) -> ShardingSparseFidsOpParams:
    """The settings for some features.

    Args:
      num_ps: servers; 0 is this process.
      table_to_config: {table: what its entries are made of}.
      feature_to_table: {feature: its table}.
      layout_configs: {layout: its slices, and how they are joined}.
      feature_to_unmerged_slice_dims: {feature: widths of its slices}.
      feature_to_combiner: {feature: ReduceSum, ReduceMean or FirstN}.
      unique: gives whether equal fids of a feature are looked up once; by default they are.

    Raises:
      ValueError: a combiner is another.
    """
    configs = example_pb2.FeatureConfigs()
    for name, table in feature_to_table.items():
      combiner = feature_to_combiner[name]
      if type(combiner) not in _POOLING:
        raise ValueError(f"feature {name!r}: combiner is {combiner!r}; layouts know ReduceSum, ReduceMean and FirstN.")
      configs.feature_configs[name].CopyFrom(
        example_pb2.FeatureConfig(
          table=table,
          pooling_type=_POOLING[type(combiner)],
          slice_dims=feature_to_unmerged_slice_dims[name],
          max_sequence_length=combiner.max_seq_length,
        )
      )
    for name, out_config in layout_configs.items():
      configs.out_configs[name].CopyFrom(out_config)
    return ShardingSparseFidsOpParams(num_ps, unique or (lambda: True), dict(table_to_config), configs)

  @property
  def _num_shards(self) -> int:
    return max(self._params.num_ps, 1)

  @property
  def _fids_repeat(self) -> bool:
    """Whether a fid may come twice in a list: in several features of a table, or of one feature if they stay."""
    return not self._params.unique() or len(self._params.feature_configs.feature_configs) > len(self._names)

  @property
  def feature_names(self) -> List[str]:
    """The features whose fids are looked up, sorted."""
    return sorted(self._params.feature_configs.feature_configs)

  def shard(
    self,
    records: tf.Tensor,
    input_type: str,
    v1_columns: Optional[Mapping[str, int]] = None,
    keep_v1: bool = False,
  ) -> parsers.ShardedFids:
    """Deals the fids of records out; see `sharding_sparse_fids`."""
    params = self._params
    return parsers.sharding_sparse_fids(
      records, params.num_ps, params.feature_configs, params.unique, input_type, v1_columns=v1_columns, keep_v1=keep_v1
    )

  def lookup_sharded(self, sharded: parsers.ShardedFids) -> List[tf.Tensor]:
    """Embeddings of each table and server, table by table, `[fids, dim]` or flat; absent fids give zeros."""
    if self._packed is not None:
      return self._lookup_packed(self._packed, sharded)
    found: List[Dict[str, tf.Tensor]] = []
    shards: Any = sharded.shards
    for i, table in enumerate(self._tables):
      with self._device(i):
        found.append(table.lookup({name: shards[f"{name}:{i}"] for name in self._names}))
    return [found[i][name] for name in self._names for i in range(self._num_shards)]

  def _lookup_packed(self, packed: PackedFids, sharded: parsers.ShardedFids) -> List[tf.Tensor]:
    num_floats = tf.unstack(tf.reshape(sharded.emb_size, [-1, self._num_shards]), num=self._num_shards, axis=1)
    found: List[List[tf.Tensor]] = []
    for i, message in enumerate(packed.messages(self._by_server(sharded.shards), sharded.emb_size)):
      with self._device(i):
        flat = packed.lookup(self._tables[i], message)
      found.append(packed.cut(flat, num_floats[i]))
    return [of_server[n] for n in range(len(self._names)) for of_server in found]

  def _by_server(self, shards: Any) -> List[List[tf.Tensor]]:
    """Of each server the tensor of each table."""
    return [[shards[f"{name}:{i}"] for name in self._names] for i in range(self._num_shards)]

  def to_layouts(self, embeddings: Sequence[tf.Tensor], sharded: parsers.ShardedFids) -> Layouts:
    """The layouts of looked-up embeddings: a tensor each, or a list of them for NONE."""
    params = self._params
    tensors = distribution_ops.fused_embedding_to_layout(
      embeddings, None, sharded.fid_offset, sharded.feature_offset, sharded.nfl_offset, sharded.batch_size, "example",
      params.feature_configs, params.num_ps, nfl_size=sharded.nfl_size, feature_size=sharded.feature_size,
      fid_size=sharded.fid_size, emb_size=sharded.emb_size, version=5,
    )  # fmt: skip
    return self.nest_layout(tensors)

  def nest_layout(self, tensors: Sequence[tf.Tensor]) -> Layouts:
    """{layout: its tensor, or a list of its slices' tensors} of tensors by the names of the layouts."""
    rest, nested = list(tensors), {}
    out_configs = self._params.feature_configs.out_configs
    for name in sorted(out_configs):
      count = len(out_configs[name].slice_configs)
      if out_configs[name].out_type == example_pb2.OutType.NONE:
        nested[name], rest = rest[:count], rest[count:]
      else:
        nested[name], rest = rest[0], rest[1:]
    return nested

  def flatten_layout(self, nested: Layouts) -> List[tf.Tensor]:
    """The way back of `nest_layout`."""
    flat: List[tf.Tensor] = []
    for name in sorted(nested):
      value = nested[name]
      flat.extend(value if isinstance(value, list) else [value])
    return flat

  def apply_layout_gradients(
    self,
    layout_grads: Sequence[tf.Tensor],
    embeddings: Sequence[tf.Tensor],
    sharded: parsers.ShardedFids,
    global_step: tf.Tensor,
    req_time: Optional[tf.Tensor] = None,
    async_function_mgr: Optional[AsyncFunctionMgr] = None,
    async_push: bool = False,
    grad_scale: Union[None, float, tf.Tensor] = None,
    features: Optional[AbstractSet[str]] = None,
  ) -> tf.Operation:
    """Takes gradients of all tensors of the layouts back into the tables.

    Args:
      layout_grads: a gradient of each tensor, as `flatten_layout` orders them.
      embeddings, sharded: of the lookup; embeddings may be flat.
      global_step: int64 scalar.
      req_time: int64 seconds, a scalar or one a row, of which the latest counts.
      async_function_mgr, async_push: run the update with it, one step later.
      grad_scale: a factor of the gradients.
      features: those whose fids are updated; all by default.
    """
    params = self._params
    grads = distribution_ops.fused_embedding_to_layout_grad(
      sharded.nfl_offset, sharded.feature_offset, sharded.fid_offset, sharded.batch_size, embeddings, None,
      layout_grads, "example", params.feature_configs, params.num_ps, layout_tensors_grad_scale=grad_scale,
    )  # fmt: skip
    if features is not None and features != set(self.feature_names):
      grads, sharded = self._of_features(features, grads, sharded)
    by_server: List[Any] = [list(grads[i :: self._num_shards]) for i in range(self._num_shards)]
    fids: Any = self._by_server(sharded.shards)
    update: Callable[..., tf.Operation] = self._update
    if self._packed is not None:
      fids = self._packed.messages(fids, sharded.emb_size)
      by_server = [tf.concat([_flat(grad) for grad in of_server], 0) for of_server in by_server]
      update = functools.partial(self._update_packed, self._packed)
    time = None if req_time is None else tf.reduce_max(req_time)
    manager = AsyncFunctionMgr(is_async=False) if async_function_mgr is None else async_function_mgr
    return manager.add_async_function(
      update,
      args=(fids, by_server, tf.identity(global_step), time),
      is_async=async_push,
      queue_name="postpush_queue",
    )

  def _of_features(
    self, features: AbstractSet[str], grads: Sequence[tf.Tensor], sharded: parsers.ShardedFids
  ) -> Tuple[List[tf.Tensor], parsers.ShardedFids]:
    """Gradients and fids of some features alone."""
    kept_grads, kept_fids, num_floats = [], {}, []
    lists: Any = sharded.shards
    splits: Any = sharded.row_splits
    configs = self._params.feature_configs.feature_configs
    for number, (table, i) in enumerate((table, i) for table in self._names for i in range(self._num_shards)):
      key = f"{table}:{i}"
      rows, fids = self._rows(table, grads[number]), lists[key]
      names = [name for name in self.feature_names if configs[name].table == table]
      spans = [(splits[key][at], splits[key][at + 1]) for at, name in enumerate(names) if name in features]
      kept_fids[key] = tf.concat([fids[:0], *(fids[begin:end] for begin, end in spans)], 0)
      kept_grads.append(tf.concat([rows[:0], *(rows[begin:end] for begin, end in spans)], 0))
      num_floats.append(tf.size(kept_grads[-1]))
    return kept_grads, sharded._replace(shards=kept_fids, emb_size=tf.stack(num_floats))

  def features_of_tensors(self, numbers: Iterable[int]) -> Set[str]:
    """The features in some tensors of the layouts, by their numbers in `flatten_layout`."""
    of_tensor: List[Set[str]] = []
    out_configs = self._params.feature_configs.out_configs
    for name in sorted(out_configs):
      features = [part.feature_name for part in out_configs[name].slice_configs]
      alone = out_configs[name].out_type == example_pb2.OutType.NONE
      of_tensor.extend([{feature} for feature in features] if alone else [set(features)])
    return set().union(*(of_tensor[number] for number in numbers))

  def layout_gradient_norm(self, layout_grads: Sequence[tf.Tensor], sharded: parsers.ShardedFids) -> tf.Tensor:
    """The norm of the gradients of all embeddings, of every occurrence of a fid by itself: a float32 scalar.

    Args:
      layout_grads: a gradient of each tensor, as `flatten_layout` orders them.
      sharded: of the lookup.
    """
    return gen_monolith_ops.monolith_layout_gradient_norm(
      sharded.fid_offset,
      sharded.feature_offset,
      sharded.nfl_offset,
      sharded.batch_size,
      list(layout_grads),
      feature_cfgs=self._params.feature_configs.SerializeToString(),
    )

  def _update(
    self,
    fids: Sequence[Sequence[tf.Tensor]],
    grads: Sequence[Sequence[tf.Tensor]],
    global_step: tf.Tensor,
    req_time: Optional[tf.Tensor],
  ) -> tf.Operation:
    ops = []
    for i, table in enumerate(self._tables):
      rows = [self._rows(name, grad) for name, grad in zip(self._names, grads[i], strict=True)]
      pairs = {name: pair for name, *pair in zip(self._names, fids[i], rows, strict=True)}
      with self._device(i):
        updated = table.apply_gradients(
          pairs, global_step=global_step, req_time=req_time, enable_dedup=self._fids_repeat
        )
        ops.append(updated.as_op())
    return tf.group(*ops)

  def _update_packed(
    self,
    packed: PackedFids,
    messages: Sequence[tf.Tensor],
    grads: Sequence[tf.Tensor],
    global_step: tf.Tensor,
    req_time: Optional[tf.Tensor],
  ) -> tf.Operation:
    ops = []
    for i, table in enumerate(self._tables):
      with self._device(i):
        updated = packed.apply_gradients(table, messages[i], grads[i], global_step, req_time, self._fids_repeat)
        ops.append(updated)
    return tf.group(*ops)

  def _rows(self, name: str, grads: tf.Tensor) -> tf.Tensor:
    return grads if grads.shape.rank == 2 else tf.reshape(grads, [-1, self._dims[name]])

  def assign(self, values: Mapping[int, Mapping[str, Tuple[tf.Tensor, tf.Tensor]]]) -> PartitionedHashTable:
    """Sets entries: {server: {table: (fids, values)}}, dealt out already."""
    return self._write("assign", values)

  def assign_add(self, values: Mapping[int, Mapping[str, Tuple[tf.Tensor, tf.Tensor]]]) -> PartitionedHashTable:
    """Adds to entries: {server: {table: (fids, values)}}, dealt out already."""
    return self._write("assign_add", values)

  def _write(self, method: str, values: Mapping[int, Any]) -> PartitionedHashTable:
    tables = list(self._tables)
    for i, by_table in values.items():
      with self._device(i):
        tables[i] = getattr(tables[i], method)(dict(by_table))
    updated = copy.copy(self)
    updated._tables = tables
    return updated

  def as_op(self, name: Optional[str] = None) -> tf.Operation:
    """An op that runs after all updates that this object stands for."""
    with tf.control_dependencies([table.as_op() for table in self._tables]):
      return tf.no_op(name=f"{name or 'partitioned_hash_table'}/done")


def _flat(tensor: tf.Tensor) -> tf.Tensor:
  return tensor if tensor.shape.rank == 1 else tf.reshape(tensor, [-1])
