# SPDX-License-Identifier: Apache-2.0
"""Hooks that profile steps: with TensorFlow's profiler, with NVIDIA's, and BytePS's telemetry."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from absl import logging
from tensorflow.python.training import training_util

from monolith.native_training import distribution_utils

__all__ = ["ByteCCLTelemetryHook", "NVProfilerHook", "Tf2ProfilerHook"]

_DEFAULT_STEPS = 10
_DEFERRED_STEPS = 500
_SERVER_PORT = 6666


class Tf2ProfilerHook(tf.compat.v1.train.SessionRunHook):
  """Profiles some steps of this loop, counted from 0, into `<logdir>/plugins/profile`, and again every so often.

  TensorFlow has one profiler in a process: while somebody else uses it, nothing is profiled here.

  Args:
    logdir: directory of the profiles.
    init_step_range: (first step, step after the last) of the first profile; its length is that of the others. Without
      it, or with None as the first step, profiles of 10 steps begin after 500 steps.
    save_steps: steps from the begin of a profile to the begin of the next.
    save_secs: seconds likewise; one of the two is needed.
    options: `tf.profiler.experimental.ProfilerOptions`.
    timer: decides when a profile is due, in place of save_steps or save_secs.

  Raises:
    ValueError: the range is empty, profiles would overlap, or not one of save_steps and save_secs is given.
  """

  def __init__(
    self,
    logdir: str | None,
    init_step_range: Sequence[int | None] | None,
    save_steps: int | None = None,
    save_secs: float | None = None,
    options: Any = None,
    timer: tf.compat.v1.train.SecondOrStepTimer | None = None,
  ):
    self._logdir = logdir
    self._options = options
    self._start_step, self._end_step = init_step_range or (None, None)
    self._delta = _DEFAULT_STEPS
    if self._start_step is not None and self._end_step is not None:
      self._delta = self._end_step - self._start_step
      if self._delta <= 0:
        raise ValueError(f"init_step_range is {init_step_range}; the second is the step after the last, so larger.")
    if save_steps is not None and save_steps <= self._delta:
      raise ValueError(f"save_steps is {save_steps}, a profile has {self._delta} steps; give more than that.")
    if timer is None and (save_steps is None) == (save_secs is None):
      raise ValueError(f"save_steps is {save_steps}, save_secs is {save_secs}; give one of them.")
    self._timer = timer or tf.compat.v1.train.SecondOrStepTimer(every_steps=save_steps, every_secs=save_secs)
    self._current_step = 0
    self._is_profiling = False
    self._trace: Any = None
    self._lock = threading.Lock()

  def begin(self) -> None:
    if not distribution_utils.enable_sync_training():
      return
    try:
      tf.profiler.experimental.server.start(_SERVER_PORT)
    except tf.errors.OpError as error:
      logging.warning("No profiler server on port %d: %s", _SERVER_PORT, error)

  def after_create_session(self, session, coord) -> None:
    del session
    if coord is not None:
      # An error ends the loop without calling `end`, and the profiler would stay taken.
      threading.Thread(target=self._stop_with, args=(coord,), daemon=True).start()

  def before_run(self, run_context) -> tf.compat.v1.train.SessionRunArgs:
    del run_context
    if self._start_step is None:
      self._start_step = self._current_step + _DEFERRED_STEPS
    step = self._current_step
    if not self._is_profiling and step >= self._start_step and self._timer.should_trigger_for_step(step):
      self._timer.update_last_triggered_step(step)
      self._start_step, self._end_step = step, step + self._delta
      self._start()
    if self._is_profiling:
      # TensorBoard finds the steps by it.
      self._trace = tf.profiler.experimental.Trace("TraceContext", graph_type="train", step_num=step)
      self._trace.__enter__()
    return tf.compat.v1.train.SessionRunArgs(fetches=None)

  def after_run(self, run_context, run_values) -> None:
    del run_context, run_values
    self._current_step += 1
    if self._trace is not None:
      self._trace.__exit__(None, None, None)
      self._trace = None
    if self._end_step is not None and self._current_step >= self._end_step:
      self._stop()

  def end(self, session) -> None:
    del session
    self._stop()

  def _start(self) -> None:
    with self._lock:
      self._is_profiling = self._start_profiling()

  def _stop(self) -> None:
    with self._lock:
      if self._is_profiling:
        self._is_profiling = False
        self._stop_profiling()

  def _stop_with(self, coord: tf.train.Coordinator) -> None:
    coord.wait_for_stop()
    self._stop()

  def _start_profiling(self) -> bool:
    """Starts the profiler; returns whether it is this hook's to stop."""
    try:
      tf.profiler.experimental.start(self._logdir, self._options)
      return True
    except tf.errors.AlreadyExistsError:
      logging.warning("Step %d is not profiled: this process profiles something else.", self._current_step)
      return False

  def _stop_profiling(self) -> None:
    try:
      tf.profiler.experimental.stop()
    except tf.errors.UnavailableError:
      pass  # somebody has stopped it already


class NVProfilerHook(Tf2ProfilerHook):
  """The same for NVIDIA's profilers: marks the steps that `nsys profile -c cudaProfilerApi` is to look at.

  Args: see `Tf2ProfilerHook`.

  Raises:
    RuntimeError: there is no CUDA runtime, or it refuses.
    ValueError: see there.
  """

  def __init__(
    self,
    init_step_range: Sequence[int | None] | None,
    save_steps: int | None = None,
    save_secs: float | None = None,
    options: Any = None,
    timer: tf.compat.v1.train.SecondOrStepTimer | None = None,
  ):
    super().__init__(None, init_step_range, save_steps, save_secs, options, timer)
    try:
      self._libcudart = ctypes.CDLL("libcudart.so")
    except OSError as error:
      raise RuntimeError(
        f"NVProfilerHook: libcudart.so cannot be loaded ({error}); it needs the CUDA runtime on LD_LIBRARY_PATH. "
        "Without a GPU, Tf2ProfilerHook profiles the same steps."
      ) from error

  def _start_profiling(self) -> bool:
    self._call("cudaProfilerStart")
    return True

  def _stop_profiling(self) -> None:
    self._call("cudaProfilerStop")

  def _call(self, function: str) -> None:
    status = getattr(self._libcudart, function)()
    if status != 0:
      raise RuntimeError(f"NVProfilerHook: {function} returned CUDA error {status}; is there a GPU?")


class ByteCCLTelemetryHook(tf.compat.v1.train.SessionRunHook):
  """Logs how long BytePS's transfers take, on rank 0, every so many global steps.

  Args:
    interval: steps between two logs.

  Raises:
    ImportError: BytePS is not installed.
    ValueError: interval is less than 1.
  """

  _NUM_PUSH_PULLS = 3  # all are alike

  def __init__(self, interval: int):
    if interval < 1:
      raise ValueError(f"ByteCCLTelemetryHook: interval is {interval}; it is a number of steps, at least 1.")
    try:
      import byteps.tensorflow as bps
    except ImportError as error:
      raise ImportError(
        "ByteCCLTelemetryHook: the package byteps is not installed, and only it has telemetry; leave the hook out."
      ) from error
    self._bps = bps
    self._interval = interval
    self._last_step: int | None = None
    self._global_step_tensor: tf.Tensor | None = None

  def begin(self) -> None:
    self._global_step_tensor = training_util._get_or_create_global_step_read()
    if self._global_step_tensor is None:
      raise RuntimeError("ByteCCLTelemetryHook: the graph has no global step; make one before the loop.")

  def before_run(self, run_context) -> tf.compat.v1.train.SessionRunArgs:
    del run_context
    return tf.compat.v1.train.SessionRunArgs(self._global_step_tensor)

  def after_run(self, run_context, run_values) -> None:
    del run_context
    step = int(run_values.results)
    if self._last_step is not None and step - self._last_step < self._interval:
      return
    self._last_step = step
    if self._bps.rank() == 0:
      self._log_telemetry(step)

  def _log_telemetry(self, step: int) -> None:
    push_pulls = 0
    for name, mean, stdev, count in self._bps.get_telemetry():
      push_pulls += "PushPull" in name
      if "alltoall" in name.lower() or ("PushPull" in name and push_pulls <= self._NUM_PUSH_PULLS):
        logging.info("Step %d: %s took %.3f ms, deviation %.3f ms, %d times.", step, name, mean, stdev, count)
