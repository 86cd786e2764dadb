# SPDX-License-Identifier: Apache-2.0
"""Tests of watching parameter servers."""

from __future__ import annotations

import threading

import pytest
from absl import flags
from absl.testing import flagsaver

from monolith.native_training import barrier_ops
from monolith.native_training.hooks import ps_check_hooks

import tensorflow as tf  # isort: skip


@pytest.fixture(name="flags", autouse=True)
def _flags():
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()


def _run(config, after_session=lambda: None, step=None):
  with tf.Graph().as_default():
    config.barrier_op = barrier_ops.BarrierOp(1)
    hook = ps_check_hooks.PsHealthCheckerHook(config)
    train_op = tf.compat.v1.train.get_or_create_global_step().assign_add(1) if step is None else step()
    with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
      after_session()
      session.run(train_op)
      return config.barrier_op.is_barrier_placed(session.raw_session())


def test_unhealthy_server_is_reported_once(tmp_path):
  reports, reported = [], threading.Event()

  def report(text):
    reports.append(text)
    reported.set()

  config = ps_check_hooks.Config(None, 2, lambda i: "", report, check_secs=0)
  with flagsaver.flagsaver(monolith_default_machine_info_mem_limit=0):
    _run(config, lambda: reported.wait(60))
  (text,) = reports
  assert text.startswith("parameter server 0 is unhealthy: OUT_OF_MEMORY, the process uses ")
  assert "; parameter server 1 is unhealthy" in text


def test_healthy_servers_are_not():
  reports = []
  looks = threading.Semaphore(0)
  config = ps_check_hooks.Config(None, 1, lambda i: "", reports.append, check_secs=0)
  original = ps_check_hooks.PsHealthCheckerHook.check

  def check(self, session):
    looks.release()
    return original(self, session)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(ps_check_hooks.PsHealthCheckerHook, "check", check)
    assert not _run(config, lambda: [looks.acquire(timeout=60) for _ in range(3)])
  assert reports == []


def test_other_errors_of_the_loop_surface():
  config = ps_check_hooks.Config(None, 1, lambda i: "")
  with pytest.raises(tf.errors.InvalidArgumentError, match="broken"):
    _run(config, step=lambda: tf.debugging.Assert(tf.constant(False), ["broken"]))


def test_shared_name():
  assert ps_check_hooks.get_ps_machine_info_shared_name(3) == "ps_machine_info_3"
