# SPDX-License-Identifier: Apache-2.0
"""A chief and parameter servers inside this process."""

from __future__ import annotations

from typing import Any, Dict, Optional

import tensorflow as tf
from tensorflow.core.protobuf import rewriter_config_pb2

__all__ = ["LocalCluster", "base_session_config"]


def base_session_config() -> tf.compat.v1.ConfigProto:
  """Soft placement, and no meta-optimizer: it does not cope with ragged inputs of variable size."""
  config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
  rewrite = config.graph_options.rewrite_options
  rewrite.disable_meta_optimizer = True
  rewrite.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
  return config


class LocalCluster:
  """A chief and `num_ps` parameter servers, each a TensorFlow server of this process; none for 0.

  TensorFlow cannot stop a server, so they live until the process ends; `reset` frees what they hold.

  Args:
    num_ps: number of parameter servers.
  """

  def __init__(self, num_ps: int):
    count = num_ps + 1 if num_ps > 0 else 0
    self._servers = [tf.distribute.Server.create_local_server() for _ in range(count)]
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

  def _jobs(self) -> Dict[str, Any]:
    return {"chief": self._addresses[:1], "ps": self._addresses[1:]}
