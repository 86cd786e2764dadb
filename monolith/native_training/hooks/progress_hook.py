# SPDX-License-Identifier: Apache-2.0
"""Shows how training advances: step, samples per second, loss, and the metrics that the model registered.

On a terminal one line is rewritten in place; elsewhere (a log file, a pipe) a plain line is printed every so many
steps. Models and trainers register what to show on the graph they build, so neither needs to know the hook.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import Any, Callable, Dict, Optional, TextIO

import tensorflow as tf

__all__ = [
  "ProgressHook",
  "add_progress_metric",
  "format_progress",
  "progress_metrics",
  "set_samples_per_step",
]

_GRAPH_ATTRIBUTE = "_monolith_progress"


@dataclasses.dataclass
class _Registered:
  metrics: Dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)
  samples: Optional[tf.Tensor] = None


def _registered() -> _Registered:
  graph = tf.compat.v1.get_default_graph()
  if not hasattr(graph, _GRAPH_ATTRIBUTE):
    setattr(graph, _GRAPH_ATTRIBUTE, _Registered())
  return getattr(graph, _GRAPH_ATTRIBUTE)


def add_progress_metric(name: str, value: tf.Tensor) -> None:
  """Shows the scalar `value` as `name` in the progress of the loop that runs the default graph."""
  _registered().metrics[name] = value


def progress_metrics() -> Dict[str, tf.Tensor]:
  """{name: scalar} registered on the default graph, in order of registration."""
  return dict(_registered().metrics)


def set_samples_per_step(samples: tf.Tensor) -> None:
  """Tells how many samples one step of the default graph consumes; `samples` is an integer scalar."""
  _registered().samples = samples


def format_progress(label: str, step: int, samples_per_sec: Optional[float], values: Dict[str, float]) -> str:
  """One progress line, such as `train step 1200 | 45210 samples/s | loss 0.5312 | auc 0.7312`."""
  parts = [f"{label} step {step}"]
  if samples_per_sec is not None:
    parts.append(f"{samples_per_sec:.0f} samples/s")
  parts.extend(f"{name} {value:.4g}" for name, value in values.items())
  return " | ".join(parts)


class ProgressHook(tf.compat.v1.train.SessionRunHook):
  """Prints the progress of a loop, its end in any case.

  Args:
    label: first word of the line, such as `train`.
    values: {name: scalar tensor} to show before the registered metrics; typically the loss.
    every_n_steps: steps of this worker between two plain lines.
    refresh_secs: seconds between two updates of the line on a terminal.
    stream: where to print; standard error by default. Its `isatty` decides between the two forms.
    clock: seconds since some fixed moment.

  Raises:
    ValueError: every_n_steps is not positive.
  """

  def __init__(
    self,
    label: str,
    values: Dict[str, tf.Tensor],
    every_n_steps: int = 100,
    refresh_secs: float = 0.5,
    stream: Optional[TextIO] = None,
    clock: Callable[[], float] = time.monotonic,
  ):
    if every_n_steps < 1:
      raise ValueError(f"ProgressHook: every_n_steps is {every_n_steps}; it must be at least 1.")
    self._label = label
    self._values = dict(values)
    self._every_n_steps = every_n_steps
    self._refresh_secs = refresh_secs
    self._stream = stream
    self._clock = clock
    self._live = False
    self._line_open = False
    self._runs = 0
    self._samples = 0
    self._shown_samples = 0
    self._shown_at = 0.0
    self._shown_runs = 0
    self._last_values: Dict[str, float] = {}
    self._due = False

  def begin(self) -> None:
    registered = _registered()
    self._metrics = dict(registered.metrics)
    self._samples_tensor = registered.samples
    self._step_tensor = tf.compat.v1.train.get_global_step()
    self._out = sys.stderr if self._stream is None else self._stream
    self._live = self._out.isatty()

  def after_create_session(self, session, coord) -> None:
    del session, coord
    self._shown_at = self._clock()
    self._shown_samples = self._samples

  def before_run(self, run_context):
    del run_context
    self._runs += 1
    if self._live:
      self._due = self._clock() - self._shown_at >= self._refresh_secs
    else:
      self._due = self._runs % self._every_n_steps == 0
    # The loss is computed anyway; metrics are worth their cost only when they are shown.
    fetches: Dict[str, Any] = {"values": self._values}
    if self._samples_tensor is not None:
      fetches["samples"] = self._samples_tensor
    if self._due:
      fetches["metrics"] = self._metrics
    return tf.compat.v1.train.SessionRunArgs(fetches)

  def after_run(self, run_context, run_values) -> None:
    results = run_values.results
    self._samples += int(results.get("samples", 0))
    self._last_values = results["values"]
    if self._due:
      self._show(run_context.session, results["metrics"])

  def end(self, session) -> None:
    if self._runs > self._shown_runs:
      self._show(session, session.run(self._metrics) if self._metrics else {})
    self._close_line()

  def _show(self, session: tf.compat.v1.Session, metrics: Dict[str, float]) -> None:
    # A step fetched by the training run itself may be the one before or the one after it.
    step = int(session.run(self._step_tensor))
    self._shown_runs = self._runs
    now = self._clock()
    rate = None
    if self._samples_tensor is not None and now > self._shown_at:
      rate = (self._samples - self._shown_samples) / (now - self._shown_at)
    self._shown_at, self._shown_samples = now, self._samples
    line = format_progress(self._label, step, rate, {**self._last_values, **metrics})
    # "\x1b[K" clears what a longer line before this one has left.
    self._out.write(f"\r{line}\x1b[K" if self._live else f"{line}\n")
    self._out.flush()
    self._line_open = self._live

  def _close_line(self) -> None:
    if self._line_open:
      self._out.write("\n")
      self._out.flush()
      self._line_open = False
