# SPDX-License-Identifier: Apache-2.0
"""What a user's `model_fn` returns: labels, predictions and losses of its heads."""

from __future__ import annotations

from typing import Any, List, Mapping, NamedTuple, Optional, Sequence

import tensorflow as tf
from absl import logging

from monolith.core.errors import CallerError

__all__ = ["EstimatorSpec", "Heads", "normalize_heads", "to_spec"]


class EstimatorSpec(NamedTuple):
  """The outputs of a user's `model_fn`.

  Attributes:
    label: targets of the heads: a tensor, a list, or {head name: tensor}. May be None in PREDICT.
    pred: predictions, in the same form; a dict also names the heads.
    head_name: the name, or names, of the heads where `pred` is no dict.
    loss: scalar. None in PREDICT.
    optimizer: dense optimizer; the model's `_default_dense_optimizer` when None.
    classification: whether AUC (True) or mean squared error is the metric; one bool, or one per head.
  """

  label: Any
  pred: Any
  head_name: Any = None
  loss: Optional[tf.Tensor] = None
  optimizer: Any = None
  classification: Any = True


class Heads(NamedTuple):
  """The heads of a model, one entry each.

  Attributes:
    names: their names.
    labels: their targets; None where there is none.
    preds: their predictions.
    classification: whether each is a classification.
    predictions: what prediction yields: the lone tensor of a model that names no heads, else {name: tensor}.
    named: whether the model gave predictions by name, so that their order says nothing.
  """

  names: List[str]
  labels: List[Optional[tf.Tensor]]
  preds: List[tf.Tensor]
  classification: List[bool]
  predictions: Any
  named: bool = False


def to_spec(result: Any) -> EstimatorSpec:
  """`result` of a user's model_fn as an EstimatorSpec; (label, loss, pred) is taken for a classification.

  Raises:
    ValueError: it is neither.
  """
  if isinstance(result, EstimatorSpec):
    return result
  if isinstance(result, (tuple, list)) and len(result) == 3:
    logging.warning(
      "model_fn returned (label, loss, pred), which counts as classification; for regression return "
      "an EstimatorSpec with classification=False."
    )
    label, loss, pred = result
    return EstimatorSpec(label=label, pred=pred, loss=loss)
  raise ValueError(
    f"EstimatorSpec Error! model_fn returned {type(result).__name__}; it must return an "
    "EstimatorSpec(label, pred, ...) or (label, loss, pred)."
  )


def normalize_heads(spec: EstimatorSpec, default_head_name: str) -> Heads:
  """Lines up names, labels and predictions of the heads.

  Args:
    spec: what the user returned.
    default_head_name: comma-separated names for predictions that bring none.

  Raises:
    CallerError: the numbers of names, labels and predictions differ, or a label lacks its head.
  """
  if isinstance(spec.pred, Mapping):
    names, preds = [str(name) for name in spec.pred], list(spec.pred.values())
    predictions: Any = dict(spec.pred)
  elif isinstance(spec.pred, (list, tuple)):
    preds = list(spec.pred)
    names = _names(spec.head_name or default_head_name)
    _check_count("head_name", names, len(preds))
    predictions = dict(zip(names, preds, strict=True))
  else:
    preds, predictions = [spec.pred], spec.pred
    names = _names(spec.head_name or default_head_name)
    _check_count("head_name", names, 1)
  labels = [_identity(label) for label in _aligned("label", spec.label, names)]
  kinds = spec.classification
  if isinstance(kinds, bool) or kinds is None:
    kinds = [bool(kinds)] * len(names)
  kinds = [bool(kind) for kind in _aligned("classification", kinds, names)]
  return Heads(names, labels, preds, kinds, predictions, named=isinstance(spec.pred, Mapping))


def _names(head_name: Any) -> List[str]:
  if isinstance(head_name, str):
    return [name.strip() for name in head_name.split(",")]
  return [str(name) for name in head_name]


def _check_count(field: str, values: Sequence[Any], expected: int) -> None:
  if len(values) != expected:
    raise CallerError(
      f"EstimatorSpec: {field} has {len(values)} entries {list(values)} for {expected} predictions; give one each."
    )


def _aligned(field: str, value: Any, names: List[str]) -> List[Any]:
  if value is None:
    return [None] * len(names)
  if isinstance(value, Mapping):
    unknown = sorted(set(map(str, value)) - set(names))
    if unknown:
      raise CallerError(f"EstimatorSpec: {field} has {unknown}, but the heads are {names}.")
    return [value.get(name) for name in names]
  values = list(value) if isinstance(value, (list, tuple)) else [value]
  _check_count(field, values, len(names))
  return values


def _identity(label: Optional[tf.Tensor]) -> Optional[tf.Tensor]:
  if label is None:
    return None
  label = tf.convert_to_tensor(label)
  node_name = label.op.name.rsplit("/", 1)[-1]
  return tf.identity(label, name=f"label_{node_name}")
