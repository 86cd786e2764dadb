# SPDX-License-Identifier: Apache-2.0
"""From a loss to one training step: gradients, clipping, dense optimizers, tables, and the global step."""

from __future__ import annotations

import enum
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import tensorflow as tf

from monolith.core.errors import CallerError
from monolith.native_training.feature import FeatureColumn

__all__ = ["GradClipType", "apply_gradients_with_var_optimizer"]

Gradient = Union[tf.Tensor, tf.IndexedSlices]
GradAndVar = Tuple[Gradient, Any]


class GradClipType(enum.Enum):
  """How gradients are limited."""

  ClipByNorm = 1
  """Each tensor's norm."""
  ClipByGlobalNorm = 2
  """The norm of all of them together, dense and sparse."""
  ClipByValue = 3
  """Each number, to [-c, c]."""
  ClipByDenseAndSparse = 4
  """The norm of all dense ones by clip_norm, that of all sparse ones by sparse_clip_norm."""
  NoClip = 5


class _Clip(NamedTuple):
  kind: GradClipType
  norm: Optional[float]
  sparse_norm: Optional[float]
  sparse_warmup_steps: Optional[int]


def apply_gradients_with_var_optimizer(
  ctx: Any,
  feature_columns: Sequence[FeatureColumn],
  var_opt: tf.compat.v1.train.Optimizer,
  loss: tf.Tensor,
  clip_type: GradClipType = GradClipType.ClipByGlobalNorm,
  clip_norm: Optional[float] = None,
  global_step: Optional[tf.Variable] = None,
  grads_and_vars_summary: bool = False,
  use_allreduce: bool = False,
  ue_gradient_check: bool = False,
  ue_fc_names: Sequence[str] = (),
  ue_euclidean_norm_threshold: float = 0.0,
  dense_weight_decay: float = 0.0,
  features: Optional[Mapping[str, Any]] = None,
  sparse_clip_norm: Optional[float] = None,
  sparse_norm_warmup_steps: Optional[int] = None,
  dense_reduce_mean: bool = False,
  batch_size: Union[int, tf.Tensor] = 1,
  is_fused_layout: bool = False,
) -> tf.Operation:
  """One training step over the trainable variables (dense) and the embeddings of `feature_columns` (sparse).

  Args:
    ctx: the task's `NativeContext`.
    feature_columns: columns whose embeddings are trained.
    var_opt: the optimizer of variables that have no `optimizer` attribute of their own.
    loss: scalar.
    clip_type, clip_norm: how gradients are limited, and the limit; None is no limit.
    global_step: incremented by 1 after everything else; the graph's global step by default.
    grads_and_vars_summary: write histograms and norms of gradients and variables.
    use_allreduce: not supported yet.
    is_fused_layout: embeddings come in layouts. All of them are trained, also those of features without a column here.
    ue_gradient_check: of columns whose feature name contains one of ue_fc_names, or "uue", train only those fids whose
      embedding has a greater Euclidean norm than ue_euclidean_norm_threshold; gradients of the others become 0.
    ue_fc_names: such names; the norm is taken of the embeddings of the feature of that name, for "uue" alone of the
      first. They must be of the same number of fids.
    features: {feature name: embeddings [number of fids, D]}, as model functions get them; for ue_gradient_check.
    dense_weight_decay: adds this times the variable to its gradient, after clipping.
    sparse_clip_norm: the limit of sparse gradients; clip_norm by default (ClipByGlobalNorm), none by default
      (ClipByDenseAndSparse).
    sparse_norm_warmup_steps: below that global step the sparse limit of ClipByGlobalNorm grows linearly from 0.
    dense_reduce_mean, batch_size: divide dense gradients by batch_size, before any norm is taken.

  Returns:
    The op that makes the step.

  Raises:
    ValueError: a setting is not supported yet, the clip type needs a clip_norm, or an optimizer (var_opt, a variable's
      own) is no `tf.compat.v1.train.Optimizer`.
  """
  if use_allreduce:
    raise ValueError("apply_gradients_with_var_optimizer: use_allreduce is not supported yet; leave it False.")
  global_step = tf.compat.v1.train.get_or_create_global_step() if global_step is None else global_step
  clip = _checked_clip(clip_type, clip_norm, sparse_clip_norm, sparse_norm_warmup_steps)
  per_fid = grads_and_vars_summary or clip_type in (GradClipType.ClipByNorm, GradClipType.ClipByValue)
  has_embeddings = bool(feature_columns) or is_fused_layout
  dense, sparse = _compute_gradients(ctx, var_opt, loss, feature_columns, has_embeddings, per_fid or ue_gradient_check)
  if ue_gradient_check:
    sparse = _drop_small_embeddings(sparse, feature_columns, ue_fc_names, features or {}, ue_euclidean_norm_threshold)
  if dense_reduce_mean:
    dense = [(_scale(grad, 1.0 / tf.cast(batch_size, grad.dtype)), v) for grad, v in dense]
  dense, sparse = _clip_gradients(ctx, clip, dense, sparse, global_step)
  if grads_and_vars_summary:
    _add_summaries(dense, sparse, feature_columns)
  if dense_weight_decay:
    dense = [(grad + dense_weight_decay * v, v) for grad, v in dense]
  train_ops = _apply_dense(ctx, dense, var_opt)
  if sparse:
    train_ops.append(ctx.apply_embedding_gradients(sparse))
  return tf.group(*train_ops, _increment(ctx, global_step, train_ops))


def _drop_small_embeddings(
  sparse: List[GradAndVar],
  feature_columns: Sequence[FeatureColumn],
  names: Sequence[str],
  features: Mapping[str, Any],
  threshold: float,
) -> List[GradAndVar]:
  """Gradients, 0 where the embedding of a fid of a named feature is not longer than `threshold`."""
  feature_of = {column.get_all_embeddings_concat().ref(): column.feature_name for column in feature_columns}
  result = []
  for grad, v in sparse:
    feature_name = feature_of[v.ref()]
    named = [name for name in names if name in feature_name] or (list(names[:1]) if "uue" in feature_name else [])
    if named:
      if named[0] not in features:
        raise KeyError(f"ue_gradient_check: features lack {named[0]!r}, which ue_fc_names has; pass its embeddings.")
      long = tf.norm(features[named[0]], axis=-1, keepdims=True) > threshold
      grad = tf.where(long, grad, tf.zeros_like(grad))
    result.append((grad, v))
  return result


def _check_optimizer(optimizer: Any, name: str) -> None:
  if not isinstance(optimizer, tf.compat.v1.train.Optimizer):
    raise CallerError(f"{name} is {type(optimizer).__name__}; it must be a tf.compat.v1.train.Optimizer.")


def _checked_clip(
  kind: GradClipType,
  norm: Optional[float],
  sparse_norm: Optional[float],
  sparse_warmup_steps: Optional[int],
) -> _Clip:
  needs_norm = (GradClipType.ClipByNorm, GradClipType.ClipByValue, GradClipType.ClipByDenseAndSparse)
  if kind in needs_norm and norm is None:
    raise ValueError(f"clip_type {kind.name} needs clip_norm; give it, or choose NoClip.")
  for name, value in (("clip_norm", norm), ("sparse_clip_norm", sparse_norm)):
    if value is not None and value < 0:
      raise ValueError(f"{name} is {value}; it must be >= 0, or None for no limit.")
  return _Clip(kind, norm, sparse_norm, sparse_warmup_steps)


def _compute_gradients(
  ctx: Any,
  var_opt: tf.compat.v1.train.Optimizer,
  loss: tf.Tensor,
  feature_columns: Sequence[FeatureColumn],
  has_embeddings: bool,
  per_fid: bool,
) -> Tuple[List[GradAndVar], List[GradAndVar]]:
  """(dense, sparse) gradients in one backward pass, without those that the loss does not depend on."""
  _check_optimizer(var_opt, "var_opt")
  variables = tf.compat.v1.trainable_variables()
  embeddings = ctx.gradient_targets(feature_columns, per_fid=per_fid) if has_embeddings else []
  if not variables and not embeddings:
    return [], []
  pairs = var_opt.compute_gradients(loss, [*variables, *embeddings], colocate_gradients_with_ops=True)
  dense = [(grad, v) for grad, v in pairs[: len(variables)] if grad is not None]
  sparse = [(tf.convert_to_tensor(grad), v) for grad, v in pairs[len(variables) :] if grad is not None]
  return dense, sparse


def _clip_gradients(
  ctx: Any, clip: _Clip, dense: List[GradAndVar], sparse: List[GradAndVar], global_step: tf.Variable
) -> Tuple[List[GradAndVar], List[GradAndVar]]:
  if clip.kind is GradClipType.ClipByGlobalNorm and clip.norm is not None:
    parts = [grad for grad, _ in dense]
    if sparse:
      parts.append(ctx.gradient_norm(sparse))
    norm = tf.linalg.global_norm(parts) if parts else 0.0
    tf.compat.v1.summary.scalar("global_gradient_norm", norm)
    sparse_limit = _sparse_limit(clip, global_step)
    return _limit(dense, norm, clip.norm), _limit(sparse, norm, sparse_limit)
  if clip.kind is GradClipType.ClipByDenseAndSparse:
    dense_norm = tf.linalg.global_norm([grad for grad, _ in dense]) if dense else None
    sparse_norm = ctx.gradient_norm(sparse) if sparse else None
    return (
      _limit_own_norm(dense, dense_norm, clip.norm, "global_gradient_norm/dense"),
      _limit_own_norm(sparse, sparse_norm, clip.sparse_norm, "global_gradient_norm/sparse"),
    )
  if clip.kind is GradClipType.ClipByValue:
    return _map(dense, _clip_value, clip.norm), _map(sparse, _clip_value, clip.norm)
  if clip.kind is GradClipType.ClipByNorm:
    return _map(dense, tf.clip_by_norm, clip.norm), _map(sparse, tf.clip_by_norm, clip.norm)
  return dense, sparse


def _map(pairs: List[GradAndVar], fn: Callable[..., Gradient], limit: Optional[float]) -> List[GradAndVar]:
  return [(fn(grad, limit), v) for grad, v in pairs]


def _clip_value(grad: Gradient, limit: float) -> Gradient:
  return tf.clip_by_value(grad, -limit, limit)


def _sparse_limit(clip: _Clip, global_step: tf.Variable) -> Union[float, tf.Tensor]:
  limit = clip.norm if clip.sparse_norm is None else clip.sparse_norm
  if not clip.sparse_warmup_steps:
    return limit
  progress = tf.cast(global_step, tf.float32) / float(clip.sparse_warmup_steps)
  return limit * tf.minimum(progress, 1.0)


def _limit_own_norm(
  pairs: List[GradAndVar], norm: Optional[tf.Tensor], limit: Optional[float], summary_name: str
) -> List[GradAndVar]:
  if norm is None:
    return pairs
  tf.compat.v1.summary.scalar(summary_name, norm)
  return pairs if limit is None else _limit(pairs, norm, limit)


def _limit(pairs: List[GradAndVar], norm: tf.Tensor, limit: Union[float, tf.Tensor]) -> List[GradAndVar]:
  """Scales gradients so that a global norm above `limit` becomes `limit`; a norm of NaN makes them NaN."""
  if not pairs:
    return pairs
  limit = tf.cast(limit, norm.dtype)
  # Adding 0 * norm passes NaN on, which the comparison would swallow.
  factor = tf.where(norm > limit, limit / norm, 1.0 + 0.0 * norm)
  return [(_scale(grad, tf.cast(factor, grad.dtype)), v) for grad, v in pairs]


def _scale(grad: Gradient, factor: tf.Tensor) -> Gradient:
  if isinstance(grad, tf.IndexedSlices):
    return tf.IndexedSlices(grad.values * factor, grad.indices, grad.dense_shape)
  return grad * factor


def _add_summaries(dense: List[GradAndVar], sparse: List[GradAndVar], feature_columns: Sequence[FeatureColumn]) -> None:
  summary = tf.compat.v1.summary
  sizes = []
  for grad, v in dense:
    name = v.name.replace(":", "_")
    grad = tf.convert_to_tensor(grad)
    sizes.append(tf.size(grad))
    summary.histogram(f"trainable_variable/{name}", v)
    summary.histogram(f"gradient/{name}", grad)
    summary.scalar(f"trainable_variable_norm/{name}", tf.norm(v))
    summary.scalar(f"gradient_norm/{name}", tf.norm(grad))
  if dense:
    flat = [tf.reshape(tf.convert_to_tensor(grad), [-1]) for grad, _ in dense]
    summary.histogram("variable_gradient", tf.concat(flat, axis=0))
    summary.histogram("dense_grad_sizes", tf.stack(sizes))
    summary.scalar("dense_grad_total_size", tf.add_n(sizes))
    summary.scalar("dense_grad_total_num", len(dense))
  names = {c.get_all_embeddings_concat().ref(): c.feature_name for c in feature_columns}
  for grad, v in sparse:
    summary.histogram(f"{names[v.ref()]}_gradient", grad)


def _apply_dense(ctx: Any, dense: List[GradAndVar], var_opt: tf.compat.v1.train.Optimizer) -> List[Any]:
  groups: Dict[int, Tuple[tf.compat.v1.train.Optimizer, List[GradAndVar]]] = {}
  for grad, v in dense:
    optimizer = getattr(v, "optimizer", None) or var_opt
    _check_optimizer(optimizer, f"the optimizer of variable {v.name}")
    groups.setdefault(id(optimizer), (optimizer, []))[1].append((grad, v))
  return [
    ctx.add_async_function(target=optimizer.apply_gradients, args=(pairs,)) for optimizer, pairs in groups.values()
  ]


def _increment(ctx: Any, global_step: tf.Variable, train_ops: Sequence[Any]) -> Any:
  # Learning rates read the step while the update ops run, so those come first. The step is counted at once also where
  # the updates run one step later: a checkpoint of step n holds, after the flush before it, n updates.
  # The counter's server has the one beside it: else the worker would send it there each step.
  with tf.device(global_step.device):
    one = tf.constant(1, global_step.dtype)
  with tf.control_dependencies([op for op in train_ops if op is not None]):
    return tf.group(global_step.assign_add(one, read_value=False))
