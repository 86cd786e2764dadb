# SPDX-License-Identifier: Apache-2.0
"""Hooks that emit numbers of a loop through the metrics client (`cli`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from monolith.native_training import utils
from monolith.native_training.metric import cli

__all__ = ["CustomMetricHook", "StepLossMetricHook", "ThroughputMetricHook"]


def _client() -> cli.Client:
  return cli.get_cli(utils.get_metric_prefix())


class ThroughputMetricHook(tf.compat.v1.train.SessionRunHook):
  """Emits how fast steps are taken, over all workers, and how long the first of them took to come.

  With the tags `model_name` and `cluster_type`: the timer `run_start_elapsed_time.all`, seconds from start_time_secs to
  the first step; then, every so many seconds, the counter `run_steps.all`, steps since the last time, and the timer
  `run_steps_elapsed_time.all`, seconds a step. While no step is taken nothing is emitted, and the time goes on.

  Args:
    model_name: a tag.
    start_time_secs: when the process started, seconds since the epoch; None for no `run_start_elapsed_time.all`.
    cluster_type: a tag.
    run_every_n_secs: seconds between emissions.
    clock: seconds since the epoch.
  """

  def __init__(
    self,
    model_name: str,
    start_time_secs: float | None,
    cluster_type: str = "stable",
    run_every_n_secs: float = 30,
    clock: Callable[[], float] = time.time,
  ):
    self._tags = {"model_name": model_name, "cluster_type": cluster_type}
    self._start_time_secs = start_time_secs
    self._run_every_n_secs = run_every_n_secs
    self._clock = clock
    self._mcli = _client()
    self._global_step_tensor: tf.Tensor | None = None
    self._emit_step: int | None = None
    self._emit_time = 0

  def begin(self) -> None:
    self._global_step_tensor = tf.compat.v1.train.get_global_step()
    if self._global_step_tensor is None:
      raise RuntimeError("ThroughputMetricHook: the graph has no global step; make one before the loop.")

  def before_run(self, run_context) -> tf.compat.v1.train.SessionRunArgs:
    if self._emit_step is None:
      self._emit_step = int(run_context.session.run(self._global_step_tensor))
      self._emit_time = int(self._clock())
      if self._start_time_secs is not None:
        elapsed = self._emit_time - self._start_time_secs
        self._mcli.emit_timer("run_start_elapsed_time.all", elapsed, self._tags)
    return tf.compat.v1.train.SessionRunArgs({"global_step": self._global_step_tensor})

  def after_run(self, run_context, run_values) -> None:
    del run_context
    if self._emit_step is None:
      return
    step, now = int(run_values.results["global_step"]), int(self._clock())
    elapsed, steps = now - self._emit_time, step - self._emit_step
    if elapsed < self._run_every_n_secs or steps == 0:
      return
    if steps > 0:  # less: the step was restored from an older checkpoint
      self._mcli.emit_counter("run_steps.all", steps, self._tags)
      self._mcli.emit_timer("run_steps_elapsed_time.all", elapsed / steps, self._tags)
    self._emit_step, self._emit_time = step, now


class StepLossMetricHook(tf.compat.v1.train.SessionRunHook):
  """Emits the loss of every step, as the store `step_loss`.

  Args:
    loss_tensor: a scalar.
  """

  def __init__(self, loss_tensor: tf.Tensor):
    self._loss_tensor = loss_tensor
    self._mcli = _client()

  def before_run(self, run_context) -> tf.compat.v1.train.SessionRunArgs:
    del run_context
    return tf.compat.v1.train.SessionRunArgs(self._loss_tensor)

  def after_run(self, run_context, run_values) -> None:
    del run_context
    self._mcli.emit_store("step_loss", float(run_values.results))


class CustomMetricHook(tf.compat.v1.train.SessionRunHook):
  """Emits tensors of every step, each as a store of its name.

  Args:
    metric_tensors: {name: scalar of float32 or int32}.

  Raises:
    ValueError: there are none, or one is of another rank or dtype.
  """

  def __init__(self, metric_tensors: Mapping[str, tf.Tensor]):
    if not metric_tensors:
      raise ValueError("CustomMetricHook: metric_tensors is empty; name at least one tensor.")
    for name, tensor in metric_tensors.items():
      if tensor.shape.rank != 0 or tensor.dtype not in (tf.float32, tf.int32):
        raise ValueError(
          f"CustomMetricHook: metric '{name}' is {tensor.dtype.name} of shape {tensor.shape}; "
          "pass a scalar of float32 or int32."
        )
    self._metric_tensors = dict(metric_tensors)
    self._mcli = _client()

  def before_run(self, run_context) -> tf.compat.v1.train.SessionRunArgs:
    del run_context
    return tf.compat.v1.train.SessionRunArgs(self._metric_tensors)

  def after_run(self, run_context, run_values) -> None:
    del run_context
    values: dict[str, Any] = run_values.results
    for name, value in values.items():
      self._mcli.emit_store(name, float(value))
