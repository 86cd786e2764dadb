# SPDX-License-Identifier: Apache-2.0
"""Running a task's input pipeline without its model."""

from __future__ import annotations

from typing import Any, Dict, Optional

import tensorflow as tf

from monolith.native_training import native_task_context, save_utils
from monolith.native_training._estimator_inputs import call_with_accepted, parse_input
from monolith.native_training._local_training import instantiate_task
from monolith.native_training._stop_signals import StopOnSignalHook, StopSignals
from monolith.native_training._training_config import CpuTrainingConfig, check_training_config
from monolith.native_training._training_functions import make_native_task_context
from monolith.native_training.hooks.feature_engineering_hooks import FeatureEngineeringSaveHook
from monolith.native_training.hooks.profiler_hook import ProfileStepsHook

__all__ = ["write_features"]


def write_features(
  params: Any, conf: CpuTrainingConfig, model_dir: str, steps: Optional[int] = None, profiling: bool = False
) -> None:
  """Writes what the input pipeline of a task yields to `<model_dir>/features`; no model is built.

  Args:
    params: the model's params, or a model object.
    conf: the settings; `mode` goes to the input function.
    model_dir: directory of the files.
    steps: batches; None means until the input ends. A stop signal ends it with what was read so far.
    profiling: profile ten steps.

  Raises:
    ValueError: a setting is not supported, or the input yields something that cannot be written.
  """
  check_training_config(conf, frozenset(("only_feature_engineering", "mode")))
  save_utils.check_writable(model_dir)
  task = instantiate_task(params)
  with StopSignals() as stop_signals, tf.Graph().as_default():
    with native_task_context.with_ctx(make_native_task_context(conf)):
      result = call_with_accepted(task.create_input_fn(conf.mode), mode=conf.mode, config=None)
    features, labels, hooks = parse_input(result)
    hooks.append(FeatureEngineeringSaveHook(conf, _with_labels(features, labels), model_dir=model_dir))
    hooks.append(StopOnSignalHook(stop_signals))
    if profiling:
      hooks.append(ProfileStepsHook(model_dir))
    with tf.compat.v1.train.SingularMonitoredSession(hooks=hooks) as session:
      done = 0
      while not session.should_stop() and (steps is None or done < steps):
        session.run([])  # The hook fetches the batch.
        done += 1


def _with_labels(features: Any, labels: Any) -> Any:
  if labels is None or not isinstance(features, dict):
    return features
  named: Dict[str, Any] = labels if isinstance(labels, dict) else {"label": labels}
  return {**features, **named}
