# SPDX-License-Identifier: Apache-2.0
"""Builds the tables of a training job: local ones, or ones on parameter servers."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, Union

from monolith.native_training import _partitioned_hash_table
from monolith.native_training import _refused_names
from monolith.native_training import distributed_ps
from monolith.native_training import entry
from monolith.native_training import hash_table_ops
from monolith.native_training import multi_hash_table_ops
from monolith.native_training import multi_type_hash_table
from monolith.native_training.data import parsers
from monolith.native_training.model_export import export_context

import tensorflow as tf

Configs = Dict[str, entry.HashTableConfigInstance]

# Belong to synchronous training, which is not built yet.
__getattr__ = _refused_names.refusing(
  __name__,
  dict.fromkeys(
    ["create_in_worker_multi_type_hash_table", "create_in_worker_native_multi_hash_table"],
    "is not supported yet; use create_native_multi_hash_table.",
  ),
)


class LocalMultiHashTable(multi_hash_table_ops.MultiHashTable):
  """The tables of a job without parameter servers.

  The bare MultiHashTable takes one optimizer step an occurrence of an id. A training step takes one
  a distinct id, with the sum of its gradients, so that any number of servers trains the same tables.
  """

  def apply_gradients(
    self,
    slot_to_id_and_grad: Mapping[str, Tuple[tf.Tensor, tf.Tensor]],
    global_step: tf.Tensor,
    req_time: Optional[tf.Tensor] = None,
    enable_dedup: bool = True,
    *,
    looked_up: Optional[Mapping[str, tf.Tensor]] = None,
  ) -> multi_hash_table_ops.MultiHashTable:
    """One optimizer step for every distinct id; see MultiHashTable.apply_gradients."""
    return super().apply_gradients(
      slot_to_id_and_grad, global_step, req_time=req_time, enable_dedup=enable_dedup, looked_up=looked_up
    )


class MultiHashTableFactory:
  """Builds the tables of one parameter server after the other.

  Args:
    hash_filters: one a server, or None, which lets all in.
    sync_clients: one a server, or None for none.
  """

  def __init__(self, hash_filters: Optional[Sequence[Any]], sync_clients: Optional[Sequence[Any]] = None):
    self._hash_filters = hash_filters
    self._sync_clients = sync_clients
    self._cached: Optional[Tuple[Configs, multi_hash_table_ops.CachedConfig]] = None

  def __call__(self, idx: int, configs: Configs) -> multi_hash_table_ops.MultiHashTable:
    """The tables of server `idx`; the same configs are serialized once."""
    if self._cached is None or self._cached[0] is not configs:
      self._cached = (configs, multi_hash_table_ops.convert_to_cached_config(configs))
    return multi_hash_table_ops.MultiHashTable.from_cached_config(
      self._cached[1],
      hash_filter=self._hash_filters[idx] if self._hash_filters else None,
      sync_client=self._sync_clients[idx] if self._sync_clients else None,
      name_suffix=str(idx),
    )


def _check_count(caller: str, what: str, given: Optional[Sequence[Any]], num_ps: int) -> None:
  expected = max(num_ps, 1)
  if given is not None and len(given) != expected:
    servers = f"{num_ps} parameter servers" if num_ps else "the local table"
    raise ValueError(f"{caller}: {len(given)} {what} for {servers}; give {expected}.")


def _local_table(
  configs: Configs, hash_filters: Optional[Sequence[Any]], sync_clients: Optional[Sequence[Any]]
) -> multi_hash_table_ops.MultiHashTable:
  return LocalMultiHashTable.from_configs(
    configs,
    hash_filter=hash_filters[0] if hash_filters else None,
    sync_client=sync_clients[0] if sync_clients else None,
  )


def create_native_multi_hash_table(
  num_ps: int,
  slot_to_config: Configs,
  hash_filters: Optional[Sequence[Any]],
  sync_clients: Optional[Sequence[Any]] = None,
  max_rpc_deadline_millis: int = 30,
) -> Union[multi_hash_table_ops.MultiHashTable, distributed_ps.DistributedMultiTypeHashTable]:
  """All slots' tables, in this process or on `num_ps` servers.

  Args:
    num_ps: 0 for a local table without name suffix.
    slot_to_config: what each slot's vectors are made of.
    hash_filters: one a server, one for a local table; None for none.
    sync_clients: likewise, or None. Neither is used while a model is exported.
    max_rpc_deadline_millis: for calls between exported models.

  Raises:
    ValueError: the lists do not have that length, or num_ps is negative.
  """
  if num_ps < 0:
    raise ValueError(f"create_native_multi_hash_table: num_ps is {num_ps}; 0 means local.")
  _check_count("create_native_multi_hash_table", "hash filters", hash_filters, num_ps)
  _check_count("create_native_multi_hash_table", "sync clients", sync_clients, num_ps)
  if export_context.is_exporting():
    # What is served takes no training writes: nothing to filter, nothing to send on.
    hash_filters = sync_clients = None
  if num_ps == 0:
    return _local_table(slot_to_config, hash_filters, sync_clients)
  return distributed_ps.DistributedMultiTypeHashTable(
    num_ps,
    slot_to_config,
    MultiHashTableFactory(hash_filters, sync_clients),
    max_rpc_deadline_millis=max_rpc_deadline_millis,
  )


def create_multi_type_hash_table(
  num_ps: int,
  slot_to_config: Configs,
  hash_filters: Optional[Sequence[Any]],
  sync_clients: Optional[Sequence[Any]] = None,
  reduce_network_packets: bool = False,
  max_rpc_deadline_millis: int = 30,
) -> multi_type_hash_table.MergedMultiTypeHashTable:
  """A single table for all slots of one configuration, in this process or on `num_ps` servers.

  Slower than `create_native_multi_hash_table`, with the same numbers: for checkpoints that hold such tables.

  Args:
    num_ps: 0 for local tables.
    slot_to_config: what each slot's vectors are made of.
    hash_filters: one a server, one for local tables; None for none.
    sync_clients: likewise, or None. Neither is used while a model is exported.
    reduce_network_packets: must be False; the native tables send one message a server.
    max_rpc_deadline_millis: kept for compatibility.

  Raises:
    ValueError: the lists do not have that length, num_ps is negative, or packets are to be reduced.
  """
  del max_rpc_deadline_millis
  if num_ps < 0:
    raise ValueError(f"create_multi_type_hash_table: num_ps is {num_ps}; 0 means local.")
  if reduce_network_packets:
    raise ValueError(
      f"create_multi_type_hash_table: reduce_network_packets is {reduce_network_packets!r}, which is not built; leave "
      "it False, or use create_native_multi_hash_table, which sends one message a server."
    )
  _check_count("create_multi_type_hash_table", "hash filters", hash_filters, num_ps)
  _check_count("create_multi_type_hash_table", "sync clients", sync_clients, num_ps)
  if export_context.is_exporting():
    hash_filters = sync_clients = None
  if export_context.is_exporting_standalone():
    num_ps = 0  # one process serves; its table reads the files of all servers
  create_table = _single_table_maker(num_ps, hash_filters, sync_clients)
  return multi_type_hash_table.MergedMultiTypeHashTable(
    slot_to_config, lambda configs: multi_type_hash_table.MultiTypeHashTable(configs, create_table)
  )


def _single_table_maker(
  num_ps: int, hash_filters: Optional[Sequence[Any]], sync_clients: Optional[Sequence[Any]]
) -> Callable[[str, entry.HashTableConfigInstance], distributed_ps.DistributedHashTable]:
  def create_table(name: str, config: entry.HashTableConfigInstance) -> distributed_ps.DistributedHashTable:
    def on_server(i: int, config: entry.HashTableConfigInstance) -> Any:
      return hash_table_ops.hash_table_from_config(
        config,
        hash_filter=hash_filters[i] if hash_filters else None,
        sync_client=sync_clients[i] if sync_clients else None,
        name_suffix=f"{name}_{i}" if num_ps else name,
      )

    # Also in this process, since it sums the gradients of equal fids.
    device = distributed_ps.ps_device if num_ps else lambda _: contextlib.nullcontext()
    return distributed_ps.DistributedHashTable(max(num_ps, 1), config, on_server, device)

  return create_table


def create_partitioned_hash_table(
  num_ps: int,
  use_native_multi_hash_table: bool,
  max_rpc_deadline_millis: int = 30,
  hash_filters: Optional[Sequence[Any]] = None,
  sync_clients: Optional[Sequence[Any]] = None,
  enable_gpu_emb: bool = False,
  queue_configs: Optional[Mapping[str, int]] = None,
  op_params: Optional[_partitioned_hash_table.ShardingSparseFidsOpParams] = None,
) -> _partitioned_hash_table.PartitionedHashTable:
  """Tables that read and train by layouts, in this process or on `num_ps` servers.

  Args:
    num_ps: 0 for local tables without name suffix.
    use_native_multi_hash_table: must be True.
    max_rpc_deadline_millis: kept for compatibility.
    hash_filters, sync_clients: one a server, one for local tables; None for none. Not used while a model is exported.
    enable_gpu_emb, queue_configs: must be False and empty.
    op_params: how fids are dealt out; by default those of the innermost `ParserCtx`.

  Raises:
    ValueError: a setting is not supported, the lists do not have that length, or there are no op_params.
  """
  if not use_native_multi_hash_table or enable_gpu_emb or queue_configs:
    raise ValueError(
      "create_partitioned_hash_table: use_native_multi_hash_table must be True, enable_gpu_emb False and queue_configs "
      "empty; nothing else is supported."
    )
  params = parsers.get_default_parser_ctx().sharding_sparse_fids_op_params if op_params is None else op_params
  if params is None:
    raise ValueError("create_partitioned_hash_table: no op_params; make them by PartitionedHashTable.gen_op_params.")
  _check_count("create_partitioned_hash_table", "hash filters", hash_filters, num_ps)
  _check_count("create_partitioned_hash_table", "sync clients", sync_clients, num_ps)
  if export_context.is_exporting_distributed():
    raise ValueError(
      "create_partitioned_hash_table: ExportMode.DISTRIBUTED is not supported yet; export standalone "
      "(StandaloneExporter)."
    )
  if export_context.is_exporting():
    # As create_native_multi_hash_table.
    hash_filters = sync_clients = None
  if num_ps > 0:
    factory = MultiHashTableFactory(hash_filters, sync_clients)
    return _partitioned_hash_table.PartitionedHashTable(params, factory, distributed_ps.ps_device)

  def local_table(_: int, configs: Configs) -> multi_hash_table_ops.MultiHashTable:
    return _local_table(configs, hash_filters, sync_clients)

  return _partitioned_hash_table.PartitionedHashTable(params, local_table, lambda _: contextlib.nullcontext())
