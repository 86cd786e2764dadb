# SPDX-License-Identifier: Apache-2.0
"""A chief and parameter servers inside this process."""

from __future__ import annotations

import os
import threading
from typing import Any, Dict, List, Optional

import tensorflow as tf
from tensorflow.core.protobuf import rewriter_config_pb2

__all__ = ["LocalCluster", "ServerPool", "base_session_config", "server_pool"]


def base_session_config() -> tf.compat.v1.ConfigProto:
  """Soft placement, and no meta-optimizer: it does not cope with ragged inputs of variable size."""
  config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
  rewrite = config.graph_options.rewrite_options
  rewrite.disable_meta_optimizer = True
  rewrite.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
  return config


class ServerPool:
  """TensorFlow servers of this process that nobody uses.

  TensorFlow cannot stop a server: its threads (some 90 each) and memory stay until the process ends. So servers are
  used again. All methods may be called from any thread.
  """

  def __init__(self) -> None:
    self._lock = threading.Lock()
    self._idle: List[tf.distribute.Server] = []
    # A server's threads do not live on in a forked child.
    os.register_at_fork(after_in_child=self._forget)

  def take(self, count: int) -> List[tf.distribute.Server]:
    """`count` servers without variables, tables and queues: idle ones first, then new ones."""
    with self._lock:
      taken = [self._idle.pop() for _ in range(min(count, len(self._idle)))]
    return taken + [tf.distribute.Server.create_local_server() for _ in range(count - len(taken))]

  def give_back(self, servers: List[tf.distribute.Server]) -> None:
    """Frees what the servers hold and keeps them for the next `take`; sessions that still run on them fail."""
    for server in servers:
      tf.compat.v1.Session.reset(server.target)
    with self._lock:
      self._idle.extend(servers)

  def _forget(self) -> None:
    self._lock = threading.Lock()
    self._idle = []


server_pool = ServerPool()


class LocalCluster:
  """A chief and `num_ps` parameter servers, each a TensorFlow server of this process; none for 0.

  Args:
    num_ps: number of parameter servers.
  """

  def __init__(self, num_ps: int):
    self._servers = server_pool.take(num_ps + 1 if num_ps > 0 else 0)
    self._addresses = [server.target[len("grpc://") :] for server in self._servers]

  @property
  def tf_config(self) -> Optional[Dict[str, Any]]:
    """What TF_CONFIG says in the chief; None without servers."""
    if not self._servers:
      return None
    return {"cluster": self._jobs(), "task": {"type": "chief", "index": 0}}

  def session_config(self) -> tf.compat.v1.ConfigProto:
    """Of sessions on the chief that reach all servers."""
    config = base_session_config()
    if self._servers:
      config.cluster_def.CopyFrom(tf.train.ClusterSpec(self._jobs()).as_cluster_def())
      config.share_cluster_devices_in_session = True
      config.experimental.share_session_state_in_clusterspec_propagation = True
    return config

  def reset(self) -> None:
    """Frees variables, tables and queues on all servers; sessions that still run on them fail."""
    for server in self._servers:
      tf.compat.v1.Session.reset(server.target)

  def close(self) -> None:
    """Frees what the servers hold and leaves them to the next cluster of this process; the object is used up."""
    servers, self._servers = self._servers, []
    server_pool.give_back(servers)

  def _jobs(self) -> Dict[str, Any]:
    return {"chief": self._addresses[:1], "ps": self._addresses[1:]}
