# SPDX-License-Identifier: Apache-2.0
"""Summaries of tensors that tell how much each feature matters.

They belong to the plugin `monolith`; the summary's metadata hold the head (`utils.prepare_head`) that says what the
numbers stand for. In a TF1 graph a summary joins the collection SUMMARIES, elsewhere it goes to the default writer if
there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monolith.native_training.runtime.ops import gen_monolith_ops
from monolith.native_training.summary import utils

import tensorflow as tf

__all__ = ["feature_insight_data", "nas_data"]


def nas_data(
  weight: tf.Tensor,
  segment_names: Sequence[str] | None = None,
  segment_sizes: Sequence[Any] | None = None,
  group_info: Sequence[Sequence[str]] | None = None,
  raw_tag: str | None = None,
  collections: Sequence[str] | None = None,
  description: str | None = None,
  name: str | None = None,
) -> tf.Tensor | None:
  """Records the weights of a searched architecture.

  Args:
    weight: float, one number a segment ('gating') or one a candidate width of a segment ('selecting').
    segment_names, segment_sizes, group_info, raw_tag: see `utils.prepare_head`.
    collections: graph collections the summary joins.
    description: for people.
    name: of the summary; default `nas_data`.

  Returns:
    In a TF1 graph the serialized summary, a string scalar; elsewhere None.

  Raises:
    ValueError: names or sizes are missing, or the number of weights is known and does not fit them.
  """
  if not segment_names or not segment_sizes:
    raise ValueError("nas_data: segment_names and segment_sizes are needed; give a name and a size for each weight.")
  head, tag = utils.prepare_head(segment_names, segment_sizes, group_info, raw_tag, out_type="bytes")
  weight = tf.convert_to_tensor(weight)
  needed = len(segment_names) if tag != "selecting" else sum(len(size) for size in segment_sizes)
  if weight.shape.num_elements() not in (None, needed):
    raise ValueError(f"nas_data: weight is {weight.shape}, but the segments have {needed} weights; give one for each.")
  return _record(name or "nas_data", weight, head, collections, description)


def feature_insight_data(
  input_tensor: tf.Tensor,
  segment_names: Sequence[str],
  segment_sizes: Sequence[int],
  weight: tf.Tensor | None = None,
  group_info: Sequence[Sequence[str]] | None = None,
  label: tf.Tensor | None = None,
  collections: Sequence[str] | None = None,
  description: str | None = None,
  name: str | None = None,
) -> tf.Tensor | None:
  """Records how much each feature adds to a dense layer: the squared length of `x_f @ weight[rows of f]`.

  Args:
    input_tensor: float `[B, S]`, the features' columns side by side.
    segment_names: of the n features.
    segment_sizes: their widths, which add up to S.
    weight: float `[S, K]`, the layer's kernel; without it the squared length of `x_f` itself counts.
    group_info: names that belong together.
    label: `[B]` or `[B, 1]`: then the numbers of every row are recorded, with its label behind them, so that a model of
      the label can be fitted to them (tag type `fi_train`); else their means over the batch (`fi_eval`).
    collections: graph collections the summary joins.
    description: for people.
    name: of the summary; default `feature_insight_data`.

  Returns:
    In a TF1 graph the serialized summary, a string scalar, of float32 `[B, n + 1]` or `[n]`; elsewhere None.

  Raises:
    ValueError: names and sizes do not fit each other, or the sizes the input.
  """
  tag = "fi_eval" if label is None else "fi_train"
  head, _ = utils.prepare_head(segment_names, segment_sizes, group_info, tag, out_type="bytes")
  shares = _shares(tf.cast(input_tensor, tf.float32), [int(size) for size in segment_sizes], weight)
  if label is None:
    shares = tf.reduce_mean(shares, axis=0)
  else:
    shares = tf.concat([shares, tf.reshape(tf.cast(label, tf.float32), [-1, 1])], axis=1)
  return _record(name or "feature_insight_data", shares, head, collections, description)


def _shares(x: tf.Tensor, sizes: list[int], weight: tf.Tensor | None) -> tf.Tensor:
  """float32 `[B, n]`, the squared length of what each feature adds."""
  if x.shape.rank != 2 or x.shape[1] not in (None, sum(sizes)):
    raise ValueError(f"feature_insight_data: segment_sizes add up to {sum(sizes)}, but input_tensor is {x.shape}.")
  if weight is None:
    return tf.concat([tf.reduce_sum(tf.square(part), 1, keepdims=True) for part in tf.split(x, sizes, axis=1)], axis=1)
  weight = tf.cast(weight, tf.float32)
  out = gen_monolith_ops.feature_insight(input=x, weight=weight, segment_sizes=sizes)
  return tf.reduce_sum(tf.square(tf.reshape(out, [-1, len(sizes), tf.shape(weight)[1]])), axis=2)


def _record(
  name: str, values: tf.Tensor, head: bytes, collections: Sequence[str] | None, description: str | None
) -> tf.Tensor | None:
  metadata = tf.compat.v1.SummaryMetadata(
    summary_description=description or "",
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name=utils.PLUGIN_NAME, content=head),
  )
  if not tf.compat.v1.executing_eagerly_outside_functions():
    return tf.compat.v1.summary.tensor_summary(
      name, values, summary_metadata=metadata, collections=None if collections is None else list(collections)
    )
  if tf.summary.experimental.get_step() is not None:
    with tf.summary.experimental.summary_scope(name) as (tag, _):
      tf.summary.write(tag, values, metadata=metadata)
  return None
