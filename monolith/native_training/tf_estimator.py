# SPDX-License-Identifier: Apache-2.0
"""The names that model code knows from `tf.estimator`, which TensorFlow no longer has since 2.16.

Model code replaces `tf.estimator.` by `tf_estimator.`. The user-facing `Estimator` and `EstimatorSpec(label, pred,
...)` of this library are other classes and live in `monolith.native_training.estimator`.
"""

from __future__ import annotations

import tensorflow as tf

from monolith.native_training import _estimator_export as export
from monolith.native_training._estimator_loop import Estimator
from monolith.native_training._estimator_spec import EstimatorSpec, ModeKeys
from monolith.native_training._run_config import RunConfig, tf_config_env

_train = tf.compat.v1.train

CheckpointSaverHook = _train.CheckpointSaverHook
CheckpointSaverListener = _train.CheckpointSaverListener
FeedFnHook = _train.FeedFnHook
FinalOpsHook = _train.FinalOpsHook
GlobalStepWaiterHook = _train.GlobalStepWaiterHook
LoggingTensorHook = _train.LoggingTensorHook
NanLossDuringTrainingError = _train.NanLossDuringTrainingError
NanTensorHook = _train.NanTensorHook
ProfilerHook = _train.ProfilerHook
SecondOrStepTimer = _train.SecondOrStepTimer
SessionRunArgs = _train.SessionRunArgs
SessionRunContext = _train.SessionRunContext
SessionRunHook = _train.SessionRunHook
SessionRunValues = _train.SessionRunValues
StepCounterHook = _train.StepCounterHook
StopAtStepHook = _train.StopAtStepHook
SummarySaverHook = _train.SummarySaverHook

__all__ = [
  "CheckpointSaverHook",
  "CheckpointSaverListener",
  "Estimator",
  "EstimatorSpec",
  "FeedFnHook",
  "FinalOpsHook",
  "GlobalStepWaiterHook",
  "LoggingTensorHook",
  "ModeKeys",
  "NanLossDuringTrainingError",
  "NanTensorHook",
  "ProfilerHook",
  "RunConfig",
  "SecondOrStepTimer",
  "SessionRunArgs",
  "SessionRunContext",
  "SessionRunHook",
  "SessionRunValues",
  "StepCounterHook",
  "StopAtStepHook",
  "SummarySaverHook",
  "export",
  "tf_config_env",
]
