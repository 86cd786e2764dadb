# SPDX-License-Identifier: Apache-2.0
"""What tests of tables and of distributed training need."""

from __future__ import annotations

import contextlib
from typing import Iterator, List, Sequence, Tuple

from monolith.native_training import entry
from monolith.native_training._local_cluster import server_pool
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import tensorflow as tf


def generate_test_hash_table_config(
  dim: int = 2, use_float16: bool = False, learning_rate: float = 1.0
) -> entry.HashTableConfigInstance:
  """One SGD slice of `dim` floats that starts at zeros."""
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  entry.CuckooHashTableConfig().mutate_table(config)
  config.entry_config.segments.append(
    entry.CombineAsSegment(
      dim,
      entry.ZerosInitializer(),
      entry.SgdOptimizer(learning_rate),
      entry.Fp16Compressor() if use_float16 else entry.Fp32Compressor(),
    )
  )
  return entry.HashTableConfigInstance(config, [learning_rate])


def create_test_ps_cluster(num_ps: int) -> Tuple[List[tf.distribute.Server], tf.compat.v1.ConfigProto]:
  """Starts parameter servers in this process.

  Args:
    num_ps: number of servers.

  Returns:
    The servers, to be kept as long as they are used, and the ConfigProto of a session on
    `servers[0].target` that reaches them all. Ops without a device run on servers[0].
  """
  servers = [tf.distribute.Server.create_local_server() for _ in range(num_ps)]
  return servers, _session_config(servers)


def _session_config(servers: Sequence[tf.distribute.Server]) -> tf.compat.v1.ConfigProto:
  addresses = [server.target[len("grpc://") :] for server in servers]
  config = tf.compat.v1.ConfigProto(cluster_def=tf.train.ClusterSpec({"ps": addresses}).as_cluster_def())
  config.experimental.share_session_state_in_clusterspec_propagation = True
  return config


@contextlib.contextmanager
def ps_session(num_ps: int) -> Iterator[tf.compat.v1.Session]:
  """A session of the default graph on `num_ps` servers of this process."""
  servers = server_pool.take(num_ps)
  try:
    with tf.compat.v1.Session(servers[0].target, config=_session_config(servers)) as sess:
      yield sess
  finally:
    server_pool.give_back(servers)
