# SPDX-License-Identifier: Apache-2.0
"""Training-time metrics of a model's heads: streaming AUC or mean squared error."""

from __future__ import annotations

import sys
from typing import Any, Dict, List, Mapping, Tuple

import tensorflow as tf

from monolith.native_training import _flags
from monolith.native_training._head_spec import Heads
from monolith.native_training._streaming_auc import streaming_auc
from monolith.native_training.hooks import progress_hook

__all__ = ["add_native_metrics", "head_metrics", "show_metrics"]


def head_metrics(heads: Heads) -> Dict[str, Tuple[tf.Tensor, tf.Operation]]:
  """{`<head>_auc` or `<head>_mse`: (value, update op)} of the heads that have a label."""
  result = {}
  for name, label, pred, is_classification in zip(
    heads.names, heads.labels, heads.preds, heads.classification, strict=True
  ):
    if label is None:
      continue
    label, pred = tf.reshape(label, [-1]), tf.reshape(pred, [-1])
    if is_classification:
      result[f"{name}_auc"] = streaming_auc(label > 0, pred, name=f"{name}_auc")
    else:
      result[f"{name}_mse"] = tf.compat.v1.metrics.mean_squared_error(
        labels=tf.cast(label, pred.dtype), predictions=pred, name=f"{name}_mse"
      )
  return result


def show_metrics(metrics: Mapping[str, Tuple[tf.Tensor, tf.Operation]]) -> None:
  """Adds the values of `head_metrics` to summaries and to the progress line; a lone one without its head's name."""
  for name, (value, _) in metrics.items():
    tf.compat.v1.summary.scalar(name, value)
    shown = name.rsplit("_", 1)[1] if len(metrics) == 1 else name
    progress_hook.add_progress_metric(shown, value)


def add_native_metrics(heads: Heads) -> List[Any]:
  """Adds summaries and progress values of the heads' metrics; returns the ops that update them.

  The flag `disable_native_metrics`, where somebody sets it, turns them off (true), or has each step print them to
  standard error too (false).
  """
  is_set = _flags.is_flag_set("disable_native_metrics")
  if is_set and _flags.flag_value("disable_native_metrics", False):
    return []
  metrics = head_metrics(heads)
  show_metrics(metrics)
  updates: List[Any] = []
  for name, (value, update) in metrics.items():
    updates.append(update)
    if is_set:
      updates.append(tf.print(f"{name}:", value, output_stream=sys.stderr))
  return updates
