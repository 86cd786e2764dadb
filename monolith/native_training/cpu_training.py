# SPDX-License-Identifier: Apache-2.0
"""Training tasks whose embeddings live in tables.

    cpu_training.local_train(Ranker.params(), num_ps=2, model_dir=directory, remove_model_dir_if_exists=False)

trains in this process, with parameter servers of its own if asked, writes checkpoints of tables and dense variables
together, and resumes from the newest one.
"""

from __future__ import annotations

import dataclasses
import getpass
import os
import tempfile
from typing import Any, Optional, Sequence

import tensorflow as tf
from absl import logging

from monolith.native_training import _refused_names, save_utils, tf_estimator
from monolith.native_training._collect_pass import FeatureConfigs
from monolith.native_training._exporting import create_exporter
from monolith.native_training._feature_engineering import write_features
from monolith.native_training._local_training import LocalTraining
from monolith.native_training._table_kinds import make_config_backward_compatible
from monolith.native_training._training_config import (
  CpuTrainingConfig,
  DistributedCpuTrainingConfig,
)
from monolith.native_training._training_functions import (
  CpuTraining,
  get_req_time,
  is_chief,
  make_native_task_context,
)

__all__ = [
  "CpuTraining",
  "CpuTrainingConfig",
  "DistributedCpuTrainingConfig",
  "FeatureConfigs",
  "create_exporter",
  "get_req_time",
  "is_chief",
  "local_feature_engineering_internal",
  "local_train",
  "local_train_internal",
  "make_config_backward_compatible",
  "make_native_task_context",
]

# The steps before it also allocate memory and compile.
_FIRST_PROFILED_STEP = 10

# Belong to jobs of several processes, which are not built yet.
__getattr__ = _refused_names.refusing(
  __name__,
  dict.fromkeys(
    ["NodeAliveCheckerError", "distributed_sync_train", "distributed_train", "init_sync_train_and_update_conf"],
    "is not supported yet; use cpu_training.local_train.",
  ),
)


def local_train(
  params: Any,
  num_ps: int = 0,
  model_dir: Optional[str] = None,
  steps: Optional[int] = 100,
  save_checkpoints_steps: int = 50,
  profiling: bool = False,
  enable_embedding_prefetch: bool = True,
  enable_embedding_postpush: bool = True,
  remove_model_dir_if_exists: bool = True,
  only_feature_engineering: bool = False,
) -> Optional[tf_estimator.Estimator]:
  """Trains in this process.

  Args:
    params: the model's params, or a model object.
    num_ps: parameter servers to start in this process; 0 keeps the tables local. Both train the same model.
    model_dir: directory of checkpoints and summaries; `<tmp>/<user>/<name>` by default.
    steps: steps to train; None trains until the input ends.
    save_checkpoints_steps: steps between checkpoints.
    profiling: profile ten steps out of every 5000 into `<model_dir>/plugins/profile`, for TensorBoard.
    enable_embedding_prefetch: look the next step's embeddings up while a step runs. Its lookups then miss the
      updates of that step.
    enable_embedding_postpush: update tables while the next step runs. With this and the former off, a run repeats
      exactly.
    remove_model_dir_if_exists: start afresh, deleting `model_dir`; False resumes from its newest checkpoint.
    only_feature_engineering: build no model, and write what the input pipeline yields to `<model_dir>/features`; see
      `FeatureEngineeringSaveHook`.

  Returns:
    The estimator, for its checkpoints and variable values; None with only_feature_engineering.

  Raises:
    ValueError: a setting is not supported, or model_dir cannot be written.
  """
  name = _name_of(params)
  if model_dir is None:
    model_dir = os.path.join(tempfile.gettempdir(), getpass.getuser(), name)
  model_dir = os.fspath(model_dir)
  if remove_model_dir_if_exists and tf.io.gfile.exists(model_dir):
    logging.info("Deleting %s to start afresh.", model_dir)
    tf.io.gfile.rmtree(model_dir)
  config = CpuTrainingConfig(
    num_ps=num_ps,
    save_checkpoints_steps=save_checkpoints_steps,
    embedding_prefetch_capacity=1 if enable_embedding_prefetch else 0,
    enable_embedding_postpush=enable_embedding_postpush,
    only_feature_engineering=only_feature_engineering,
  )
  return local_train_internal(params, config, model_dir, steps=steps, profiling=profiling)


def local_train_internal(
  params: Any,
  conf: CpuTrainingConfig,
  model_dir: str,
  steps: Optional[int] = 100,
  profiling: bool = False,
  user_hooks: Optional[Sequence[tf.compat.v1.train.SessionRunHook]] = None,
) -> Optional[tf_estimator.Estimator]:
  """Trains in this process by `conf`; resumes from the newest checkpoint of `model_dir`.

  Args:
    params: the model's params, or a model object.
    conf: the settings.
    model_dir: directory of checkpoints and summaries.
    steps: further steps to train; None trains until the input ends.
    profiling: profile ten steps out of every `conf.profile_save_steps_interval`.
    user_hooks: hooks of the training loop.

  Returns:
    The estimator, for its checkpoints and variable values; None with `conf.only_feature_engineering`.

  Raises:
    ValueError: a setting is not supported, or model_dir cannot be written.
  """
  if conf.only_feature_engineering:
    write_features(params, conf, model_dir, steps, profiling)
    return None
  if profiling and conf.profile_some_steps_from is None:
    conf = dataclasses.replace(conf, profile_some_steps_from=_FIRST_PROFILED_STEP)
  save_utils.check_writable(model_dir)
  with LocalTraining(params, conf, model_dir) as training:
    return training.train(steps=steps, hooks=user_hooks)


def local_feature_engineering_internal(
  params: Any, conf: CpuTrainingConfig, model_dir: str, profiling: bool = False
) -> None:
  """Writes all that the input pipeline of a task yields to `<model_dir>/features`; no model is built.

  Args:
    params: the model's params, or a model object.
    conf: the settings.
    model_dir: directory of the files.
    profiling: profile ten steps.

  Raises:
    ValueError: a setting is not supported, or the input yields something that cannot be written.
  """
  write_features(params, conf, model_dir, profiling=profiling)


def _name_of(params: Any) -> str:
  name = params.name
  if not name:
    raise ValueError("the model's params have no name, which names its default model_dir; set params.name.")
  return name
