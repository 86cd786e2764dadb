# SPDX-License-Identifier: Apache-2.0
"""What a model function returns to the training loop: modes and the loop's `EstimatorSpec`."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import tensorflow as tf

__all__ = ["EstimatorSpec", "ModeKeys"]

_Hooks = Optional[Sequence[tf.compat.v1.train.SessionRunHook]]


class ModeKeys:
  """What a graph is built for."""

  TRAIN = "train"
  EVAL = "eval"
  PREDICT = "infer"

  @classmethod
  def validate(cls, mode: str) -> None:
    """Raises ValueError unless `mode` is one of the three."""
    if mode not in (cls.TRAIN, cls.EVAL, cls.PREDICT):
      raise ValueError(
        f"mode is {mode!r}; it must be ModeKeys.TRAIN ('train'), ModeKeys.EVAL ('eval') or ModeKeys.PREDICT ('infer')."
      )


class _EstimatorSpecFields(NamedTuple):
  mode: str
  predictions: Any
  loss: Optional[tf.Tensor]
  train_op: Any
  eval_metric_ops: Dict[str, Tuple[tf.Tensor, Any]]
  export_outputs: Optional[Mapping[str, Any]]
  training_chief_hooks: Tuple[tf.compat.v1.train.SessionRunHook, ...]
  training_hooks: Tuple[tf.compat.v1.train.SessionRunHook, ...]
  scaffold: tf.compat.v1.train.Scaffold
  evaluation_hooks: Tuple[tf.compat.v1.train.SessionRunHook, ...]
  prediction_hooks: Tuple[tf.compat.v1.train.SessionRunHook, ...]


class EstimatorSpec(_EstimatorSpecFields):
  """Operations and objects that the loop needs from a model function.

  Args:
    mode: one of `ModeKeys`.
    predictions: tensor or dict of tensors, first axis = example. Required in PREDICT.
    loss: tensor of one element. Required in TRAIN and EVAL.
    train_op: op or tensor that makes one step. Required in TRAIN.
    eval_metric_ops: {name: (value tensor, update op)} as `tf.compat.v1.metrics.*` returns them.
    export_outputs: {signature name: `export.PredictOutput`}, used by exporters.
    training_chief_hooks: hooks of the chief's training loop.
    training_hooks: hooks of every worker's training loop.
    scaffold: session initialization; a default `Scaffold` when not given.
    evaluation_hooks: hooks of the evaluation loop.
    prediction_hooks: hooks of the prediction loop.

  Raises:
    ValueError: a tensor that the mode requires is missing, or the loss is no scalar.
    TypeError: a hook is not a SessionRunHook, or train_op cannot be run.
  """

  __slots__ = ()

  def __new__(
    cls,
    mode: str,
    predictions: Any = None,
    loss: Optional[tf.Tensor] = None,
    train_op: Any = None,
    eval_metric_ops: Optional[Mapping[str, Tuple[tf.Tensor, Any]]] = None,
    export_outputs: Optional[Mapping[str, Any]] = None,
    training_chief_hooks: _Hooks = None,
    training_hooks: _Hooks = None,
    scaffold: Optional[tf.compat.v1.train.Scaffold] = None,
    evaluation_hooks: _Hooks = None,
    prediction_hooks: _Hooks = None,
  ):
    ModeKeys.validate(mode)
    _check_required(mode, predictions, loss, train_op)
    return super().__new__(
      cls,
      mode=mode,
      predictions=predictions,
      loss=_scalar_loss(loss),
      train_op=_checked_train_op(train_op),
      eval_metric_ops=_checked_metrics(eval_metric_ops),
      export_outputs=export_outputs,
      training_chief_hooks=_hook_tuple("training_chief_hooks", training_chief_hooks),
      training_hooks=_hook_tuple("training_hooks", training_hooks),
      scaffold=tf.compat.v1.train.Scaffold() if scaffold is None else scaffold,
      evaluation_hooks=_hook_tuple("evaluation_hooks", evaluation_hooks),
      prediction_hooks=_hook_tuple("prediction_hooks", prediction_hooks),
    )

  def _replace(self, **kwargs: Any) -> EstimatorSpec:
    """A validated copy with the given fields replaced; the mode cannot change."""
    if kwargs.get("mode", self.mode) != self.mode:
      raise ValueError(f"EstimatorSpec._replace: mode is {self.mode!r} and cannot be replaced.")
    unknown = sorted(set(kwargs) - set(self._fields))
    if unknown:
      raise ValueError(f"EstimatorSpec has no fields {unknown}; it has {list(self._fields)}.")
    return EstimatorSpec(**{**self._asdict(), **kwargs})

  @classmethod
  def from_any(cls, spec: Any) -> EstimatorSpec:
    """`spec` itself, or a copy of an object that has the same fields (the real `tf.estimator`'s).

    Raises:
      TypeError: `spec` lacks `mode`, `loss` or `train_op`, so it is no EstimatorSpec of any kind.
    """
    if isinstance(spec, cls):
      return spec
    if not all(hasattr(spec, name) for name in ("mode", "loss", "train_op")):
      raise TypeError(f"model_fn returned {type(spec).__name__}; it must return a tf_estimator.EstimatorSpec.")
    return cls(**{name: getattr(spec, name) for name in cls._fields if hasattr(spec, name)})


def _check_required(mode: str, predictions: Any, loss: Any, train_op: Any) -> None:
  if mode == ModeKeys.TRAIN and (loss is None or train_op is None):
    missing = "loss" if loss is None else "train_op"
    raise ValueError(f"EstimatorSpec(mode='train') has no {missing}; training needs one.")
  if mode == ModeKeys.EVAL and loss is None:
    raise ValueError("EstimatorSpec(mode='eval') has no loss; evaluation needs one.")
  if mode == ModeKeys.PREDICT and predictions is None:
    raise ValueError("EstimatorSpec(mode='infer') has no predictions; prediction needs them.")


def _scalar_loss(loss: Any) -> Optional[tf.Tensor]:
  if loss is None:
    return None
  loss = tf.convert_to_tensor(loss)
  if loss.shape.rank == 0:
    return loss
  if loss.shape.num_elements() not in (None, 1):
    raise ValueError(f"EstimatorSpec.loss has shape {loss.shape}; it must be a scalar, reduce it first.")
  return tf.reshape(loss, [])


def _checked_train_op(train_op: Any) -> Union[tf.Operation, tf.Tensor, None]:
  if train_op is None or isinstance(train_op, (tf.Operation, tf.Tensor, tf.Variable)):
    return train_op
  raise TypeError(f"EstimatorSpec.train_op is {type(train_op).__name__}; it must be an Operation or a Tensor.")


def _checked_metrics(metrics: Optional[Mapping[str, Any]]) -> Dict[str, Tuple[tf.Tensor, Any]]:
  result = {}
  for name, metric in (metrics or {}).items():
    if not isinstance(metric, (tuple, list)) or len(metric) != 2:
      raise TypeError(f"eval_metric_ops[{name!r}] is {metric!r}; it must be a pair (value tensor, update op).")
    result[name] = (metric[0], metric[1])
  return result


def _hook_tuple(field: str, hooks: _Hooks) -> Tuple[tf.compat.v1.train.SessionRunHook, ...]:
  hooks = tuple(hooks or ())
  for hook in hooks:
    if not isinstance(hook, tf.compat.v1.train.SessionRunHook):
      raise TypeError(f"EstimatorSpec.{field} holds {hook!r}, which is no SessionRunHook.")
  return hooks
