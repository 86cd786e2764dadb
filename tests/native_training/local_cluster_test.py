# SPDX-License-Identifier: Apache-2.0
"""Servers of this process are used again, and empty then."""

import os

from monolith.native_training._local_cluster import LocalCluster, ServerPool

import pytest
import tensorflow as tf


def _count_on(cluster):
  """Adds one to a variable of parameter server 0, which is made where there is none yet; its value after that."""
  with tf.Graph().as_default():
    with tf.device("/job:ps/task:0"):
      variable = tf.compat.v1.get_variable("count", initializer=0.0, use_resource=True)
      is_there = tf.compat.v1.is_variable_initialized(variable)
      add_one = variable.assign_add(1.0)
    target = f"grpc://{cluster.tf_config['cluster']['chief'][0]}"
    with tf.compat.v1.Session(target, config=cluster.session_config()) as session:
      if not session.run(is_there):
        session.run(variable.initializer)
      return session.run(add_one)


def _threads():
  return len(os.listdir("/proc/self/task"))


def test_clusters_that_follow_one_another_share_servers_and_no_state():
  addresses, threads = set(), []
  for _ in range(4):
    cluster = LocalCluster(2)
    addresses.update(cluster.tf_config["cluster"]["ps"] + cluster.tf_config["cluster"]["chief"])
    assert [_count_on(cluster), _count_on(cluster)] == [1.0, 2.0]
    cluster.close()
    threads.append(_threads())
  assert len(addresses) == 3
  assert threads[-1] - threads[0] < 90, threads


def test_clusters_at_the_same_time_have_servers_of_their_own():
  first, second = LocalCluster(1), LocalCluster(1)
  assert [_count_on(first), _count_on(second), _count_on(first)] == [1.0, 1.0, 2.0]
  first.close()
  assert _count_on(second) == 2.0
  second.close()


def test_cluster_without_parameter_servers_has_no_server():
  cluster = LocalCluster(0)
  assert cluster.tf_config is None and not cluster.session_config().cluster_def.job
  cluster.close()


def test_pool_takes_idle_servers_first():
  pool = ServerPool()
  servers = pool.take(1)
  pool.give_back(servers)
  more = pool.take(2)
  assert more[0] is servers[0] and more[1] is not servers[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_pool_forgets_its_servers_in_a_forked_child():
  pool = ServerPool()
  pool.give_back([])
  pool._idle = ["a server of the parent"]
  pid = os.fork()
  if pid == 0:
    os._exit(len(pool._idle))
  assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
  assert pool._idle == ["a server of the parent"]
