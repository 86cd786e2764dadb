# SPDX-License-Identifier: Apache-2.0
"""Watching the memory of parameter servers."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any, Callable, List, Optional

import tensorflow as tf
from absl import logging

from monolith.native_training import barrier_ops, logging_ops, utils
from monolith.native_training.hooks._watching_hook import WatchingHook
from monolith.native_training.runtime.ops import logging_ops_pb2

__all__ = ["Config", "PsHealthCheckerHook", "get_ps_machine_info_shared_name"]

_CHECK_SECS = 30.0
_UNHEALTHY_ACTION = "PsUnhealthy"


def get_ps_machine_info_shared_name(index: int) -> str:
  """Shared name of what is known of parameter server `index`'s machine."""
  return f"ps_machine_info_{index}"


def _log_report(report: str) -> None:
  logging.error("%s", report)


@dataclasses.dataclass
class Config:
  """What to watch, and what to do when something is wrong.

  :param barrier_op: stops the workers then; None lets them go on.
  :param num_ps: parameter servers.
  :param ps_device_fn: index of a server -> its device.
  :param report_fn: gets a text that names the servers and what is wrong with them; it is logged by default.
  :param check_secs: seconds between two looks.
  """

  barrier_op: Optional[barrier_ops.BarrierOp]
  num_ps: int
  ps_device_fn: Callable[[int], str] = utils.ps_device
  report_fn: Callable[[str], Any] = _log_report
  check_secs: float = _CHECK_SECS


class PsHealthCheckerHook(WatchingHook):
  """Looks at the servers now and then from a thread of its own; the first time that one is unhealthy it reports that,
  once, and stops the workers. It never keeps a loop from ending.

  Args:
    config: see `Config`.
  """

  def __init__(self, config: Config):
    super().__init__()
    self._config = config
    self._checks: List[tf.Tensor] = []

  def begin(self) -> None:
    for i in range(self._config.num_ps):
      with tf.compat.v1.device(self._config.ps_device_fn(i)):
        info = logging_ops.machine_info(shared_name=get_ps_machine_info_shared_name(i))
        self._checks.append(logging_ops.check_machine_health(info))

  def watch(
    self, session: tf.compat.v1.Session, coord: Optional[tf.train.Coordinator], stopping: threading.Event
  ) -> None:
    while not (coord is not None and coord.should_stop()):
      try:
        report = self.check(session)
      except (tf.errors.OpError, RuntimeError) as error:
        # The loop itself meets a lost server or a closed session, and says so.
        logging.warning("The parameter servers could not be checked: %s", error)
        return
      if report:
        self._act(session, report)
        return
      if stopping.wait(self._config.check_secs):
        return

  def check(self, session: tf.compat.v1.Session) -> str:
    """Looks once; returns what is wrong, or an empty text."""
    problems = []
    for i, answer in enumerate(session.run(self._checks)):
      result = logging_ops_pb2.MachineHealthResult.FromString(answer)
      if result.status != logging_ops_pb2.MachineHealthResult.OK:
        name = logging_ops_pb2.MachineHealthResult.Status.Name(result.status)
        problems.append(f"parameter server {i} is unhealthy: {name}, {result.message}")
    return "; ".join(problems)

  def _act(self, session: tf.compat.v1.Session, report: str) -> None:
    self._config.report_fn(report)
    if self._config.barrier_op is None:
      return
    try:
      self._config.barrier_op.place_barrier(session, _UNHEALTHY_ACTION)
    except barrier_ops.BarrierAlreadyPlacedError as error:
      logging.info("Workers are not stopped for an unhealthy server, since %s", error)
