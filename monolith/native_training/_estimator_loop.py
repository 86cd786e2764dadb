# SPDX-License-Identifier: Apache-2.0
"""The Estimator-style loop: builds a graph from user functions and trains, evaluates or predicts in its own session.

Everything happens inside a graph of the loop's own, so the process may have eager execution on. Resource variables are
used throughout.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, TypeAlias

import numpy as np
import tensorflow as tf
from absl import logging

from monolith.native_training import _event_files, save_utils
from monolith.native_training._estimator_inputs import call_with_accepted, parse_input, samples_in
from monolith.native_training._estimator_spec import EstimatorSpec, ModeKeys
from monolith.native_training._run_config import RunConfig
from monolith.native_training._stop_signals import StopOnSignalHook, StopSignals
from monolith.native_training.hooks import ckpt_hooks, progress_hook
from monolith.native_training.hooks.nan_loss_hook import NanLossHook
from monolith.native_training.hooks.step_rate_hook import StepRateHook

__all__ = ["Estimator"]

_SessionRunHook: TypeAlias = tf.compat.v1.train.SessionRunHook


class Estimator:
  """Trains, evaluates and predicts with a model given as a function.

  Args:
    model_fn: called with those of `features, labels, mode, params, config` that it accepts; returns an `EstimatorSpec`.
    model_dir: directory of checkpoints and summaries; overrides a missing `config.model_dir`.
    config: how and where to run; defaults to `RunConfig()`.
    params: passed to `model_fn` and `input_fn` where they accept `params`.
    warm_start_from: must be None; a model_dir that holds a checkpoint is what to start from.

  Raises:
    ValueError: model_dir contradicts config.model_dir, or warm_start_from is given.
  """

  def __init__(
    self,
    model_fn: Callable[..., Any],
    model_dir: Optional[str] = None,
    config: Optional[RunConfig] = None,
    params: Any = None,
    warm_start_from: Any = None,
  ):
    if warm_start_from is not None:
      raise ValueError(
        f"Estimator.warm_start_from is {warm_start_from!r}, which is not supported; leave it None and start from a "
        "model_dir that holds the checkpoint."
      )
    config = RunConfig() if config is None else config
    if model_dir is not None and config.model_dir is not None and model_dir != config.model_dir:
      raise ValueError(
        f"Estimator: model_dir {model_dir!r} differs from config.model_dir {config.model_dir!r}; give one."
      )
    model_dir = model_dir or config.model_dir
    if model_dir is None:
      model_dir = tempfile.mkdtemp()
      logging.warning("Estimator has no model_dir; using the temporary directory %s.", model_dir)
    config = config.replace(model_dir=os.fspath(model_dir))
    if config.session_config is None:
      config = config.replace(session_config=tf.compat.v1.ConfigProto(allow_soft_placement=True))
    self._model_fn = model_fn
    self._config = config
    self._params = params
    self.stop_signal: Optional[int] = None
    """Number of the signal that ended the last `train` call early, or None."""

  @property
  def model_dir(self) -> str:
    """Directory of checkpoints and summaries."""
    return self._config.model_dir

  @property
  def config(self) -> RunConfig:
    """The configuration in use, with model_dir and session_config filled in."""
    return self._config

  @property
  def params(self) -> Any:
    """What user functions receive as `params`."""
    return self._params

  # Checkpoints.

  def latest_checkpoint(self) -> Optional[str]:
    """Path prefix of the newest complete checkpoint, or None."""
    return save_utils.latest_checkpoint(self.model_dir)

  def get_variable_names(self) -> List[str]:
    """Names of the dense variables in the newest checkpoint.

    Raises:
      ValueError: there is no checkpoint.
    """
    return [name for name, _ in tf.train.list_variables(self._require_checkpoint())]

  def get_variable_value(self, name: str) -> np.ndarray:
    """Value of dense variable `name` in the newest checkpoint.

    Raises:
      ValueError: there is no checkpoint.
    """
    return tf.train.load_variable(self._require_checkpoint(), name)

  def _require_checkpoint(self) -> str:
    path = self.latest_checkpoint()
    if path is None:
      raise ValueError(f"model_dir {self.model_dir!r} holds no checkpoint; train first.")
    return path

  # Training.

  def train(
    self,
    input_fn: Callable[..., Any],
    hooks: Optional[Sequence[_SessionRunHook]] = None,
    steps: Optional[int] = None,
    max_steps: Optional[int] = None,
  ) -> Estimator:
    """Trains until a limit, the end of the input, a hook's request, or a stop signal; then saves.

    Resumes from the newest complete checkpoint of `model_dir`. SIGTERM, SIGINT and SIGHUP end the loop after the step
    in progress and save (`stop_signal` tells which one came); a second signal takes its usual effect.

    Args:
      input_fn: gives a `tf.data.Dataset`, features, or (features, labels).
      hooks: run on this worker, after the loop's own.
      steps: number of further steps.
      max_steps: global step to stop at; returns at once when the newest checkpoint has reached it.

    Returns:
      self.

    Raises:
      ValueError: both limits are given, one is not positive, or model_dir is not writable.
    """
    _check_limits(steps, max_steps)
    hooks = _check_hooks(hooks)
    self.stop_signal = None
    if max_steps is not None:
      latest = self.latest_checkpoint()
      if latest is not None and save_utils.step_of_checkpoint(latest) >= max_steps:
        logging.info("Skipping training: %s has reached max_steps=%d.", latest, max_steps)
        return self
    if steps is not None or max_steps is not None:
      hooks.append(tf.compat.v1.train.StopAtStepHook(num_steps=steps, last_step=max_steps))
    if self._config.is_chief:
      save_utils.check_writable(self.model_dir)
    with StopSignals() as stop_signals, self._graph():
      features, labels, input_hooks = self._call_input_fn(input_fn, ModeKeys.TRAIN)
      spec = self._call_model_fn(features, labels, ModeKeys.TRAIN)
      self._train_with_spec(spec, input_hooks + hooks, stop_signals)
      self.stop_signal = stop_signals.received
    return self

  def _train_with_spec(self, spec: EstimatorSpec, hooks: List[_SessionRunHook], stop_signals: StopSignals) -> None:
    if spec.train_op is None:
      raise ValueError("model_fn gave no train_op for mode 'train'.")
    _add_loss_summary(spec.loss)
    _ensure_saver(spec, self._config)
    worker_hooks = [
      *hooks,
      *self._progress_hooks("train", spec.loss),
      StopOnSignalHook(stop_signals),
      *spec.training_hooks,
    ]
    nan_hook = NanLossHook(spec.loss)
    # The chief's hooks come first, and some of them save.
    chief_hooks = [nan_hook, *spec.training_chief_hooks]
    if not self._config.is_chief:
      worker_hooks.append(nan_hook)
    chief_hooks.extend(self._default_saver_hooks(chief_hooks + worker_hooks, spec.scaffold))
    chief_hooks.extend(self._step_counter_hooks())
    with (
      _summary_writer(self._config),
      tf.compat.v1.train.MonitoredTrainingSession(
        master=self._config.master,
        is_chief=self._config.is_chief,
        checkpoint_dir=self.model_dir,
        scaffold=spec.scaffold,
        hooks=worker_hooks,
        chief_only_hooks=chief_hooks,
        save_checkpoint_secs=0,
        save_summaries_steps=self._config.save_summary_steps or 0,
        config=self._config.session_config,
        log_step_count_steps=0,  # The chief hooks have a step counter.
        max_wait_secs=self._config.session_creation_timeout_secs,
      ) as session,
    ):
      while not session.should_stop():
        try:
          session.run([spec.train_op, spec.loss])
        except tf.errors.OutOfRangeError:
          ckpt_hooks.mark_input_ended()
          raise

  def _default_saver_hooks(
    self, hooks: Iterable[_SessionRunHook], scaffold: tf.compat.v1.train.Scaffold
  ) -> List[_SessionRunHook]:
    if any(isinstance(hook, tf.compat.v1.train.CheckpointSaverHook) for hook in hooks):
      return []
    secs, steps = self._config.save_checkpoints_secs, self._config.save_checkpoints_steps
    if not secs and not steps:
      return []
    return [tf.compat.v1.train.CheckpointSaverHook(self.model_dir, save_secs=secs, save_steps=steps, scaffold=scaffold)]

  def _step_counter_hooks(self) -> List[_SessionRunHook]:
    every_n_steps = self._config.log_step_count_steps
    return [StepRateHook(self.model_dir, every_n_steps)] if every_n_steps else []

  def _progress_hooks(self, label: str, loss: Optional[tf.Tensor]) -> List[_SessionRunHook]:
    if not self._config.log_step_count_steps:
      return []
    values = {} if loss is None else {"loss": loss}
    return [progress_hook.ProgressHook(label, values, every_n_steps=self._config.log_step_count_steps)]

  # Evaluation.

  def evaluate(
    self,
    input_fn: Callable[..., Any],
    steps: Optional[int] = None,
    hooks: Optional[Sequence[_SessionRunHook]] = None,
    checkpoint_path: Optional[str] = None,
    name: Optional[str] = None,
  ) -> Dict[str, Any]:
    """Runs the model's metrics over a data set; changes neither variables nor tables.

    Args:
      input_fn: gives a `tf.data.Dataset`, features, or (features, labels).
      steps: batches to evaluate; None means until the input ends.
      hooks: further hooks of the loop.
      checkpoint_path: the checkpoint to evaluate; the newest one by default.
      name: distinguishes evaluations: summaries go to `<model_dir>/eval_<name>` instead of `<model_dir>/eval`.

    Returns:
      {metric name: value}, the mean of the loss over batches under "loss", and "global_step".

    Raises:
      ValueError: the input yields no batch, steps is not positive, or a metric is called "loss" or "global_step".
    """
    _check_limits(steps, None)
    hooks = _check_hooks(hooks)
    with self._graph():
      features, labels, input_hooks = self._call_input_fn(input_fn, ModeKeys.EVAL)
      spec = self._call_model_fn(features, labels, ModeKeys.EVAL)
      values, updates = _eval_ops(spec)
      counter = _BatchCounterHook(steps)
      final = tf.compat.v1.train.FinalOpsHook(values)
      all_hooks = [*input_hooks, *hooks, *spec.evaluation_hooks, counter, final]
      all_hooks.extend(self._progress_hooks("eval", spec.loss))
      path = self._checkpoint_to_read(checkpoint_path, "evaluate")
      with self._reading_session(spec, all_hooks, path) as session:
        while not session.should_stop():
          session.run(updates)
      if counter.batches == 0:
        raise ValueError("evaluate: input_fn yielded no batch; check the data and the mode it is for.")
      results = {key: np.asarray(value)[()] for key, value in final.final_ops_values.items()}
      self._write_eval_summary(results, name)
    return results

  def _write_eval_summary(self, results: Mapping[str, Any], name: Optional[str]) -> None:
    directory = os.path.join(self.model_dir, f"eval_{name}" if name else "eval")
    save_utils.check_writable(directory)
    summary = tf.compat.v1.Summary()
    for key, value in results.items():
      if key != "global_step" and np.ndim(value) == 0:
        summary.value.add(tag=key, simple_value=float(value))
    writer = _event_files.new_writer(directory)
    writer.add_summary(summary, int(results["global_step"]))
    writer.close()

  # Prediction.

  def predict(
    self,
    input_fn: Callable[..., Any],
    predict_keys: Optional[Sequence[str]] = None,
    hooks: Optional[Sequence[_SessionRunHook]] = None,
    checkpoint_path: Optional[str] = None,
    yield_single_examples: bool = True,
  ) -> Iterator[Any]:
    """Yields predictions, one example (or batch) at a time.

    Args:
      input_fn: gives a `tf.data.Dataset`, features, or (features, labels); labels are dropped.
      predict_keys: which predictions to yield when they are a dict; None means all.
      hooks: further hooks of the loop.
      checkpoint_path: the checkpoint to use; the newest one by default.
      yield_single_examples: False yields whole batches.

    Yields:
      A numpy value or {name: numpy value}; the batch axis is gone when single examples are yielded.

    Raises:
      ValueError: a key is unknown, or predictions differ in their number of rows.
    """
    hooks = _check_hooks(hooks)
    graph = tf.Graph()
    # The graph must not stay the default one while the caller's code runs between two yields.
    with self._graph(graph):
      features, _, input_hooks = self._call_input_fn(input_fn, ModeKeys.PREDICT)
      spec = self._call_model_fn(features, None, ModeKeys.PREDICT)
      predictions = _select_predictions(spec.predictions, predict_keys)
      all_hooks = [*input_hooks, *hooks, *spec.prediction_hooks]
      path = self._checkpoint_to_read(checkpoint_path, "predict")
      session = self._reading_session(spec, all_hooks, path)
    try:
      while not session.should_stop():
        with graph.as_default():
          try:
            batch = session.run(predictions)
          except tf.errors.OutOfRangeError:
            break
        if yield_single_examples:
          yield from _rows(batch)
        else:
          yield batch
    except BaseException:
      # Includes the caller's dropping the generator: the session closes, end hooks do not run.
      with graph.as_default():
        session.__exit__(*sys.exc_info())
      raise
    with graph.as_default():
      session.close()

  # Shared parts.

  @contextlib.contextmanager
  def _graph(self, graph: Optional[tf.Graph] = None) -> Iterator[tf.Graph]:
    graph = tf.Graph() if graph is None else graph
    with graph.as_default(), tf.compat.v1.device(self._device_fn()):
      tf.compat.v1.get_variable_scope().set_use_resource(True)
      tf.compat.v1.set_random_seed(self._config.tf_random_seed)
      tf.compat.v1.train.get_or_create_global_step()
      yield graph

  def _device_fn(self) -> Any:
    if self._config.device_fn is not None or not self._config.num_ps_replicas:
      return self._config.device_fn
    return tf.compat.v1.train.replica_device_setter(
      ps_tasks=self._config.num_ps_replicas,
      worker_device=f"/job:{self._config.task_type}/task:{self._config.task_id}",
      merge_devices=True,
      cluster=self._config.cluster_spec,
    )

  def _call_input_fn(self, input_fn: Callable[..., Any], mode: str) -> Any:
    with tf.compat.v1.device("/cpu:0"):
      result = call_with_accepted(input_fn, mode=mode, params=self._params, config=self._config)
      features, labels, hooks = parse_input(result)
      samples = samples_in(features)
    if samples is not None:
      progress_hook.set_samples_per_step(samples)
    return features, labels, hooks

  def _call_model_fn(self, features: Any, labels: Any, mode: str) -> EstimatorSpec:
    # A model_fn(features, labels, ...) is given labels=None where the input has none.
    spec = EstimatorSpec.from_any(
      call_with_accepted(
        self._model_fn,
        features=features,
        labels=labels,
        mode=mode,
        params=self._params,
        config=self._config,
      )
    )
    if mode == ModeKeys.EVAL and spec.loss is None:
      raise ValueError("model_fn gave no loss for mode 'eval'.")
    return spec

  def _checkpoint_to_read(self, checkpoint_path: Optional[str], action: str) -> Optional[str]:
    path = checkpoint_path or self.latest_checkpoint()
    if path is None:
      logging.warning(
        "%s: model_dir %s holds no checkpoint; using freshly initialized values.",
        action,
        self.model_dir,
      )
    save_utils.set_checkpoint_to_restore(path)
    return path

  def _reading_session(
    self, spec: EstimatorSpec, hooks: Sequence[_SessionRunHook], path: Optional[str]
  ) -> tf.compat.v1.train.MonitoredSession:
    _ensure_saver(spec, self._config)
    return tf.compat.v1.train.MonitoredSession(
      session_creator=tf.compat.v1.train.ChiefSessionCreator(
        scaffold=spec.scaffold,
        master=self._config.master,
        config=self._config.session_config,
        checkpoint_filename_with_path=path,
      ),
      hooks=hooks,
    )


class _BatchCounterHook(_SessionRunHook):
  """Counts batches and stops the loop after `limit` of them."""

  def __init__(self, limit: Optional[int]):
    self.batches = 0
    self._limit = limit

  def after_run(self, run_context, run_values) -> None:
    del run_values
    self.batches += 1
    if self._limit is not None and self.batches >= self._limit:
      run_context.request_stop()


def _check_limits(steps: Optional[int], max_steps: Optional[int]) -> None:
  if steps is not None and max_steps is not None:
    raise ValueError(f"steps={steps} and max_steps={max_steps} are both given; give one.")
  for name, value in (("steps", steps), ("max_steps", max_steps)):
    if value is not None and value <= 0:
      raise ValueError(f"{name} is {value}; it must be positive, or None for no limit.")


def _check_hooks(hooks: Optional[Sequence[_SessionRunHook]]) -> List[_SessionRunHook]:
  hooks = list(hooks or ())
  for hook in hooks:
    if not isinstance(hook, tf.compat.v1.train.SessionRunHook):
      raise TypeError(f"hooks holds {hook!r}, which is no SessionRunHook.")
  return hooks


def _add_loss_summary(loss: tf.Tensor) -> None:
  summaries = tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.SUMMARIES)
  if not any(summary.op.name == "loss" for summary in summaries):
    tf.compat.v1.summary.scalar("loss", loss)


def _ensure_saver(spec: EstimatorSpec, config: RunConfig) -> None:
  if spec.scaffold.saver or tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.SAVERS):
    return
  saver = save_utils.PartialRecoverySaver(
    sharded=True,
    max_to_keep=config.keep_checkpoint_max,
    keep_checkpoint_every_n_hours=config.keep_checkpoint_every_n_hours,
    defer_build=True,
    save_relative_paths=True,
    model_dir=config.model_dir,
  )
  tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.SAVERS, saver)


@contextlib.contextmanager
def _summary_writer(config: RunConfig) -> Iterator[None]:
  """Gives the loop's hooks a writer with an open file of its own, and flushes it at the end."""
  if not config.is_chief:
    yield
    return
  # The cache is per process and directory: a writer left from an earlier loop may point at a deleted file.
  # The graph is not complete yet; the saver hook writes it when it is.
  writer = _event_files.renewed_writer(config.model_dir)
  try:
    yield
  finally:
    writer.close()


def _eval_ops(spec: EstimatorSpec) -> Any:
  values: Dict[str, Any] = {}
  updates: List[Any] = []
  for name, (value, update) in spec.eval_metric_ops.items():
    if name in ("loss", "global_step"):
      raise ValueError(f"eval_metric_ops has a metric {name!r}; the loop itself reports that name.")
    values[name] = value
    updates.append(update)
  values["loss"], loss_update = tf.compat.v1.metrics.mean(spec.loss)
  values["global_step"] = tf.compat.v1.train.get_global_step()
  return values, [*updates, loss_update]


def _select_predictions(predictions: Any, predict_keys: Optional[Sequence[str]]) -> Any:
  if predict_keys is None:
    return predictions
  if not isinstance(predictions, Mapping):
    raise ValueError(f"predict_keys={list(predict_keys)}: the model's predictions are no dict.")
  unknown = [key for key in predict_keys if key not in predictions]
  if unknown:
    raise ValueError(f"predict_keys: no predictions {unknown}; there are {sorted(predictions)}.")
  return {key: predictions[key] for key in predict_keys}


def _rows(batch: Any) -> Iterator[Any]:
  arrays = dict(batch) if isinstance(batch, Mapping) else {"": batch}
  sizes = {key: np.shape(array)[0] if np.ndim(array) else None for key, array in arrays.items()}
  if len(set(sizes.values())) != 1 or None in sizes.values():
    raise ValueError(
      f"predict: predictions have {sizes} rows; all need the batch axis, or pass yield_single_examples=False."
    )
  for i in range(next(iter(sizes.values())) or 0):
    row = {key: array[i] for key, array in arrays.items()}
    yield row if isinstance(batch, Mapping) else row[""]
