# SPDX-License-Identifier: Apache-2.0
"""Tests of the configuration of sessions."""

from __future__ import annotations

import pytest

from monolith.native_training import cluster_manager

_CLUSTER = {"chief": ["host0:1"], "ps": ["host1:1", "host2:1"], "worker": {2: "host3:1"}}


def test_a_session_of_its_own():
  config = cluster_manager.generate_session_config()
  assert config.allow_soft_placement and config.share_cluster_devices_in_session
  assert config.experimental.share_session_state_in_clusterspec_propagation
  assert config.graph_options.rewrite_options.disable_meta_optimizer
  assert not config.device_filters and not config.cluster_def.job


@pytest.mark.parametrize(
  "task, filters",
  [
    ({"type": "worker", "index": 2}, ["/job:ps", "/job:chief", "/job:worker/task:2"]),
    ({"type": "chief", "index": 0}, ["/job:ps", "/job:chief"]),
  ],
)
def test_a_session_sees_what_it_needs(task, filters):
  config = cluster_manager.generate_session_config((_CLUSTER, task))
  assert list(config.device_filters) == filters
  assert {job.name: dict(job.tasks) for job in config.cluster_def.job}["worker"] == {2: "host3:1"}


def test_task_outside_of_the_cluster():
  with pytest.raises(ValueError, match="task worker:7 is not in the cluster, which has .*'ps'"):
    cluster_manager.generate_session_config((_CLUSTER, {"type": "worker", "index": 7}))
