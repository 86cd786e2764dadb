# SPDX-License-Identifier: Apache-2.0
"""One task on one machine: its loops, over the servers they need."""

from __future__ import annotations

import contextlib
import copy
from typing import Any, Dict, FrozenSet, Iterator, Optional, Sequence

import tensorflow as tf

from monolith.native_training import tf_estimator
from monolith.native_training._local_cluster import LocalCluster
from monolith.native_training._model_dumps import noted_training
from monolith.native_training._table_kinds import make_config_backward_compatible
from monolith.native_training._training_config import CpuTrainingConfig
from monolith.native_training._training_functions import CpuTraining
from monolith.native_training.native_task import NativeTask

__all__ = ["LocalTraining", "instantiate_task"]

_Hooks = Optional[Sequence[tf.compat.v1.train.SessionRunHook]]


def instantiate_task(params: Any) -> NativeTask:
  """The task of params, or a model object itself.

  Raises:
    ValueError: it is no NativeTask.
  """
  task = params.instantiate()
  if not isinstance(task, NativeTask):
    raise ValueError(f"params build a {type(task).__name__}; a training needs a NativeTask, such as a MonolithModel.")
  return task


class LocalTraining:
  """Context manager: trains, evaluates and predicts with a task in this process.

  Inside the block the servers of `config.num_ps` run; when it is left, what they hold is freed.

  Args:
    params: the model's params, or a model object.
    config: the settings.
    model_dir: directory of checkpoints and summaries.
    also_supported: names of settings that the caller acts upon.

  Raises:
    ValueError: a setting is invalid or not supported yet.
  """

  def __init__(
    self,
    params: Any,
    config: CpuTrainingConfig,
    model_dir: str,
    also_supported: FrozenSet[str] = frozenset(),
  ):
    self._task = instantiate_task(params)
    config = copy.copy(config)
    make_config_backward_compatible(model_dir, config)
    # TF_CONFIG describes some other job; this one is local.
    with tf_estimator.tf_config_env(None):
      self._training = CpuTraining(config, self._task, also_supported=also_supported)
    self._config = config
    self._model_dir = model_dir
    self._cluster: Optional[LocalCluster] = None

  @property
  def training(self) -> CpuTraining:
    """The task's wrapped functions."""
    return self._training

  def __enter__(self) -> LocalTraining:
    self._cluster = LocalCluster(self._config.num_ps)
    return self

  def __exit__(self, *exc_info: object) -> None:
    if self._cluster is not None:
      self._cluster.close()
      self._cluster = None

  def train(
    self, steps: Optional[int] = None, max_steps: Optional[int] = None, hooks: _Hooks = None
  ) -> tf_estimator.Estimator:
    """Trains; see `tf_estimator.Estimator.train`. A task whose mode is eval only updates its metrics."""
    input_fn = self._training.create_input_fn(self._task.p.mode)
    if self._cluster is not None and self._config.partial_recovery:
      # Servers that were initialized keep what they hold; what an earlier loop left there is not this one's.
      self._cluster.reset()
    # Only what is noted from here on is dumped, so the estimator's functions are made inside.
    with noted_training(self._training, self._config, self._model_dir), self._estimator() as estimator:
      return estimator.train(input_fn, hooks=hooks, steps=steps, max_steps=max_steps)

  def evaluate(
    self,
    steps: Optional[int] = None,
    hooks: _Hooks = None,
    checkpoint_path: Optional[str] = None,
    name: Optional[str] = None,
  ) -> Dict[str, Any]:
    """Evaluates; see `tf_estimator.Estimator.evaluate`."""
    input_fn = self._training.create_input_fn(tf_estimator.ModeKeys.EVAL)
    with self._estimator() as estimator:
      return estimator.evaluate(input_fn, steps=steps, hooks=hooks, checkpoint_path=checkpoint_path, name=name)

  def predict(
    self,
    predict_keys: Optional[Sequence[str]] = None,
    hooks: _Hooks = None,
    checkpoint_path: Optional[str] = None,
    yield_single_examples: bool = True,
  ) -> Iterator[Any]:
    """Predicts; see `tf_estimator.Estimator.predict`. The generator must be used up inside the block."""
    input_fn = self._training.create_input_fn(tf_estimator.ModeKeys.PREDICT)
    with self._estimator() as estimator:
      predictions = estimator.predict(
        input_fn,
        predict_keys=predict_keys,
        hooks=hooks,
        checkpoint_path=checkpoint_path,
        yield_single_examples=yield_single_examples,
      )
    return predictions

  @contextlib.contextmanager
  def _estimator(self) -> Iterator[tf_estimator.Estimator]:
    if self._cluster is None:
      raise ValueError("LocalTraining is used outside of its `with` block.")
    with tf_estimator.tf_config_env(self._cluster.tf_config):
      run_config = tf_estimator.RunConfig(
        model_dir=self._model_dir,
        session_config=self._cluster.session_config(),
        save_summary_steps=self._config.save_summary_steps,
        log_step_count_steps=self._config.log_step_count_steps,
        keep_checkpoint_max=self._config.checkpoints_max_to_keep,
        device_fn=self._config.device_fn,
        # A model without tables gets the loop's own saver; with tables the saver hook is CpuTraining's.
        **self._save_period(),
      )
    yield tf_estimator.Estimator(self._training.create_model_fn(), config=run_config)

  def _save_period(self) -> Dict[str, Any]:
    train = self._task.p.train
    secs, steps = self._config.save_checkpoints_secs, self._config.save_checkpoints_steps
    if secs is None and steps is None:
      secs, steps = train.save_checkpoints_secs, train.save_checkpoints_steps
    if secs is None and steps is None:
      return {}
    return {"save_checkpoints_secs": secs, "save_checkpoints_steps": steps}
