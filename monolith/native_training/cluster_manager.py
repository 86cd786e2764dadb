# SPDX-License-Identifier: Apache-2.0
"""Sessions that span the servers of a job."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Tuple

import tensorflow as tf

from monolith.native_training._local_cluster import base_session_config

__all__ = ["generate_session_config"]

ClusterAndTask = Tuple[Mapping[str, Any], Mapping[str, Any]]


def generate_session_config(cluster_and_task: Optional[ClusterAndTask] = None) -> tf.compat.v1.ConfigProto:
  """The ConfigProto of a session: soft placement, no meta-optimizer, and what lives on servers shared by sessions.

  Args:
    cluster_and_task: ({job: addresses}, {"type": job, "index": number}) of this process. The session then sees the
      parameter servers, the chief and this worker alone, so that no other worker can hold it up.

  Returns:
    The configuration.

  Raises:
    ValueError: the task is not part of the cluster.
  """
  config = base_session_config()
  config.share_cluster_devices_in_session = True
  config.experimental.share_session_state_in_clusterspec_propagation = True
  if cluster_and_task is None:
    return config
  cluster, task = cluster_and_task
  job, index = task["type"], task["index"]
  spec = tf.train.ClusterSpec(dict(cluster))
  if job not in spec.jobs or index not in spec.task_indices(job):
    raise ValueError(f"task {job}:{index} is not in the cluster, which has {sorted(spec.jobs)}; add its address.")
  config.cluster_def.CopyFrom(spec.as_cluster_def())
  config.device_filters.extend(["/job:ps", "/job:chief"])
  if job == "worker":
    config.device_filters.append(f"/job:worker/task:{index}")
  return config
