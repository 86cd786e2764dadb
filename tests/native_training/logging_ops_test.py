# SPDX-License-Identifier: Apache-2.0
"""Tests of ops that tell the time, record measurements and watch memory."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from monolith.native_training import logging_ops
from monolith.native_training.runtime.ops import logging_ops_pb2

import tensorflow as tf  # isort: skip


def _status(handle):
  return logging_ops_pb2.MachineHealthResult.FromString(logging_ops.check_machine_health(handle).numpy())


def test_timestamps_do_not_go_back_and_tensors_pass():
  tensors, old = logging_ops.tensors_timestamp([tf.constant(1), tf.constant(["a", "b"])])
  assert tensors[0].numpy() == 1 and tensors[1].numpy().tolist() == [b"a", b"b"]
  _, new = logging_ops.tensors_timestamp([tf.constant(1)])
  assert new.numpy() >= old.numpy() > 1_600_000_000_000_000


def test_timestamps_of_a_graph_are_taken_anew():
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    (x,), first = logging_ops.tensors_timestamp([tf.constant(1.0)])
    assert x.shape == [] and first.shape == []
    with tf.control_dependencies([first]):
      _, second = logging_ops.tensors_timestamp([tf.constant(1.0)])
    for _ in range(2):
      a, b = session.run([first, second])
      assert b >= a


def test_emit_timer():
  logging_ops.emit_timer("test", 0.0)
  logging_ops.emit_timer("test", tf.constant(1), tags={"a": "1", "b": "2"})
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    op = logging_ops.emit_timer("test", 0.5, tags={"a": "1", "b": "2"})
    assert op.get_attr("tags") == b"a=1|b=2" and op.get_attr("key") == b"test"
    session.run(op)
  with pytest.raises(tf.errors.InvalidArgumentError, match="value has shape .*pass a scalar"):
    logging_ops.emit_timer("test", [1.0])


@pytest.mark.slow
@pytest.mark.parametrize(
  "seconds, line", [("0", r"timer\{a=1\} \| 1 min: 1 values, mean 0.5, max 0.5"), ("soon", None)]
)
def test_the_log_tells_timers_as_often_as_it_is_asked(seconds, line):
  code = "from monolith.native_training import logging_ops; logging_ops.emit_timer('timer', 0.5, {'a': '1'})"
  path = os.pathsep.join(filter(None, [str(pathlib.Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
  settings = {"PYTHONPATH": path, "MONOLITH_TIMER_REPORT_SECONDS": seconds, "TF_CPP_MIN_LOG_LEVEL": "0"}
  command = [sys.executable, "-c", code]
  log = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=True).stderr
  if line is not None:
    assert re.search(line, log)
    return
  assert "MONOLITH_TIMER_REPORT_SECONDS is 'soon'; it must be a number of seconds, at least 0. Taking 600." in log
  assert "timer{a=1}" not in log


def test_machine_health():
  assert logging_ops.check_machine_health(logging_ops.machine_info(shared_name="healthy")).numpy() == b""
  result = _status(logging_ops.machine_info(mem_limit=0, shared_name="full"))
  assert result.status == result.OUT_OF_MEMORY and "its limit is 0" in result.message


def test_first_creator_of_a_name_decides():
  logging_ops.machine_info(mem_limit=0, shared_name="shared")
  result = _status(logging_ops.machine_info(mem_limit=1 << 62, shared_name="shared"))
  assert result.status == result.OUT_OF_MEMORY


def test_limit_by_flag():
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver(monolith_default_machine_info_mem_limit=0):
    assert (
      _status(logging_ops.machine_info(shared_name="by_flag")).status
      == logging_ops_pb2.MachineHealthResult.OUT_OF_MEMORY
    )
