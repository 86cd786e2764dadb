# SPDX-License-Identifier: Apache-2.0
"""From what a user's `model_fn` returned to the loop's EstimatorSpec."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

import tensorflow as tf

from monolith.core import base_layer, keras_versions
from monolith.native_training import feature_utils
from monolith.native_training._estimator_export import PredictOutput
from monolith.native_training._estimator_spec import EstimatorSpec, ModeKeys
from monolith.native_training._head_spec import EstimatorSpec as UserSpec
from monolith.native_training._head_spec import Heads, normalize_heads, to_spec
from monolith.native_training._message_sinks import add_message_sinks
from monolith.native_training._model_metrics import add_native_metrics, head_metrics, show_metrics
from monolith.native_training._prediction_files import PredictionFile, write_predictions
from monolith.native_training.model_dump.dump_utils import DumpUtils
from monolith.native_training.model_export import export_context

__all__ = ["build_spec"]

_DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY


def build_spec(model: Any, features: Mapping[str, Any], mode: str, real_mode: str) -> EstimatorSpec:
  """Runs `model.model_fn` and builds predictions, metrics or a training step from what it returns.

  Args:
    model: a `MonolithBaseModel`.
    features: what `model_fn` gets.
    mode: the mode of the loop, which the spec carries.
    real_mode: the mode that `model_fn` gets: in a training loop the model's own `mode`, train or eval.

  Raises:
    ValueError: `model_fn` returned something unusable, or a setting is not supported.
    KeyError: messages about predictions are to be sent, and a feature that they have is missing.
  """
  # Layers that are called without `training` (Dropout, BatchNormalization, MLP) ask Keras for it.
  with keras_versions.learning_phase(int(real_mode == ModeKeys.TRAIN)):
    user_spec = to_spec(model.model_fn(features, real_mode))
  heads = normalize_heads(user_spec, model.metrics.deep_insight_target)
  DumpUtils().add_model_fn(
    model, mode, features, heads.labels, user_spec.loss, heads.preds, heads.names, heads.classification
  )
  writes = model.p.output_path is not None and real_mode != ModeKeys.TRAIN and not export_context.is_exporting()
  file = write_predictions(model, features, heads) if writes else None
  if real_mode == ModeKeys.PREDICT:
    return _predict_spec(model, mode, heads, file)
  loss = _total_loss(model, user_spec.loss)
  if real_mode == ModeKeys.EVAL:
    return _eval_spec(model, mode, heads, loss, file)
  return _train_spec(model, features, mode, heads, loss, user_spec)


def _total_loss(model: Any, loss: Optional[tf.Tensor]) -> tf.Tensor:
  """The head's loss plus every auxiliary loss once: those the author collected, and those layers registered."""
  if loss is None:
    raise ValueError(f"{model.name}: model_fn returned no loss; it may leave the loss out in PREDICT only.")
  collected = list(model.losses)
  counted = {id(extra) for extra in collected}
  registered = [t for t in base_layer.get_layer_loss_tensors() if id(t) not in counted]
  extras = [tf.reduce_sum(extra) for extra in (*collected, *registered)]
  return tf.add_n([loss, *extras]) if extras else loss


def _predict_spec(model: Any, mode: str, heads: Heads, file: Optional[PredictionFile]) -> EstimatorSpec:
  predictions, hooks = heads.predictions, list(model._training_hooks)
  if file is not None:
    # A batch is handed out when it is written.
    with tf.control_dependencies([file.write]):
      predictions = tf.nest.map_structure(tf.identity, predictions)
    hooks.append(file.hook)
  spec = EstimatorSpec(mode, predictions=predictions, training_hooks=hooks, prediction_hooks=hooks)
  if export_context.is_exporting() and model._export_outputs:
    # Extra outputs come beside the predictions, unless the model names one so as to replace them.
    default = {_DEFAULT_SIGNATURE: PredictOutput(spec.predictions)}
    return spec._replace(export_outputs={**default, **model._export_outputs})
  return spec


def _eval_spec(model: Any, mode: str, heads: Heads, loss: tf.Tensor, file: Optional[PredictionFile]) -> EstimatorSpec:
  hooks = list(model._training_hooks)
  if file is not None:
    with tf.control_dependencies([file.write]):
      loss = tf.identity(loss)
    hooks.append(file.hook)
  metrics = head_metrics(heads)
  show_metrics(metrics)
  updates: List[Any] = [update for _, update in metrics.values()]
  return EstimatorSpec(
    mode,
    loss=loss,
    # In a training loop whose model evaluates, a step updates the metrics and trains nothing.
    train_op=tf.group(*updates, *heads.preds, loss),
    eval_metric_ops=metrics,
    training_hooks=hooks,
    evaluation_hooks=hooks,
  )


def _train_spec(
  model: Any, features: Mapping[str, Any], mode: str, heads: Heads, loss: tf.Tensor, user_spec: UserSpec
) -> EstimatorSpec:
  optimizer = user_spec.optimizer or getattr(model, "_default_dense_optimizer", None)
  if optimizer is None:
    raise ValueError(
      f"{model.name}: dense_optimizer not found! Set EstimatorSpec.optimizer in model_fn, or "
      "_default_dense_optimizer in the model's constructor."
    )
  DumpUtils().add_optimizer(optimizer)
  train_ops = [*add_native_metrics(heads), *add_message_sinks(model, features, heads)]
  train_ops.append(
    feature_utils.apply_gradients_with_var_optimizer(
      model.ctx,
      list(model.fc_dict.values()),
      var_opt=optimizer,
      loss=loss,
      clip_type=feature_utils.GradClipType.ClipByGlobalNorm,
      clip_norm=model.clip_norm,
      dense_weight_decay=model.dense_weight_decay or 0.0,
      global_step=model._global_step,
      grads_and_vars_summary=model.enable_grads_and_vars_summary,
      sparse_norm_warmup_steps=model.sparse_norm_warmup_steps,
      is_fused_layout=model.is_fused_layout(),
      use_allreduce=model._use_dense_allreduce,
    )
  )
  train_ops.extend(_update_ops())
  return EstimatorSpec(mode, loss=loss, train_op=tf.group(*train_ops), training_hooks=model._training_hooks)


def _update_ops() -> List[tf.Operation]:
  """Updates of moving averages: what is in UPDATE_OPS, and what Keras' own layers leave out of it."""
  graph = tf.compat.v1.get_default_graph()
  found: Dict[str, tf.Operation] = {}
  for update in tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.UPDATE_OPS):
    op = update if isinstance(update, tf.Operation) else update.op
    found[op.name] = op
  # Keras' BatchNormalization adds its updates to the layer only, which nobody here holds.
  for op in graph.get_operations():
    if "AssignMovingAvg" in op.name and op.type in ("AssignSubVariableOp", "AssignSub"):
      found[op.name] = op
  return list(found.values())
