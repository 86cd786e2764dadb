# SPDX-License-Identifier: Apache-2.0
"""Deep insight messages of a model's heads, from the features of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from monolith.native_training.metric import deep_insight_ops

__all__ = ["write_deep_insight"]

_UID = "uid"


def write_deep_insight(
  features: Mapping[str, tf.Tensor],
  sample_ratio: float,
  model_name: str,
  labels: tf.Tensor | None = None,
  preds: tf.Tensor | None = None,
  target: str | None = None,
  targets: Sequence[str] | None = None,
  labels_list: Sequence[tf.Tensor | None] | None = None,
  preds_list: Sequence[tf.Tensor | None] | None = None,
  sample_rates_list: Sequence[tf.Tensor | None] | None = None,
  extra_fields_keys: Sequence[str] = (),
  enable_deep_insight_metrics: bool = True,
  enable_kafka_metrics: bool = False,
  dump_filename: str | None = None,
) -> tf.Tensor | tf.Operation:
  """Makes messages of the sampled users' rows; `deep_insight_ops` says what is in them and where they go.

  A model with one head gives labels, preds and target; one with several gives targets and the lists.

  Args:
    features: `req_time` int64, and `uid` int64 and `sample_rate` float32, which may be left out where they are not
      needed: `sample_rate` with a sample_rates_list. Each has B elements, of any shape.
    sample_ratio: share of the users that are sampled, 0 to 1.
    model_name: name of the model in the messages.
    labels: float32, B elements.
    preds: float32, B elements.
    target: name of the head in the messages.
    targets: names of the heads.
    labels_list: float32, B elements for each target. A head whose label or prediction is None is left out.
    preds_list: likewise.
    sample_rates_list: likewise; without it all heads have the feature `sample_rate`.
    extra_fields_keys: features that get into messages of several targets, B elements each.
    enable_deep_insight_metrics: whether the log says how many rows were sampled.
    enable_kafka_metrics: whether somebody else sends the messages: they are returned.
    dump_filename: file of the messages, which are returned too. Later clients of the process append to it.

  Returns:
    string `[B]`; an op that does nothing if features have no `req_time`.

  Raises:
    KeyError: a feature is missing.
    ValueError: lists are missing, no sequences, or of other lengths than targets.
  """
  if "req_time" not in features:
    logging.info("Disabling deep_insight because req_time is absent")
    return tf.no_op()
  returns_messages = enable_kafka_metrics or bool(dump_filename)
  client = deep_insight_ops.deep_insight_client(enable_deep_insight_metrics, returns_messages, dump_filename)
  common = {
    "deep_insight_client_tensor": client,
    "req_times": tf.reshape(features["req_time"], [-1]),
    "model_name": model_name,
    "sample_ratio": sample_ratio,
    "return_msgs": returns_messages,
  }
  if targets:
    heads = _heads(features, targets, labels_list, preds_list, sample_rates_list)
    fields = _extra_fields(features, extra_fields_keys)
    return deep_insight_ops.write_deep_insight_v2(**heads, **fields, **common)
  return deep_insight_ops.write_deep_insight(**_head(features, labels, preds, target), **common)


def _column(features: Mapping[str, tf.Tensor], key: str) -> tf.Tensor:
  if key not in features:
    raise KeyError(f"write_deep_insight: feature '{key}' is missing; add it to {sorted(features)}.")
  return tf.reshape(features[key], [-1])


def _flat(values: Any) -> tf.Tensor:
  values = tf.convert_to_tensor(values)
  return values if values.shape.rank == 1 else tf.reshape(values, [-1])


def _extra_fields(features: Mapping[str, tf.Tensor], keys: Sequence[str]) -> dict[str, Any]:
  keys = [*keys, *([] if _UID in keys else [_UID])]
  return {"extra_fields_keys": keys, "extra_fields_values": [_column(features, key) for key in keys]}


def _head(features: Mapping[str, tf.Tensor], labels: Any, preds: Any, target: str | None) -> dict[str, Any]:
  """Arguments about the only head."""
  needed = {"labels": labels, "preds": preds, "target": target}
  missing = [name for name, value in needed.items() if value is None]
  if missing:
    raise ValueError(f"write_deep_insight: {' and '.join(missing)} missing; give them, or targets and the lists.")
  return {
    "uids": _column(features, _UID),
    "labels": _flat(labels),
    "preds": _flat(preds),
    "sample_rates": _column(features, "sample_rate"),
    "target": target,
  }


def _heads(
  features: Mapping[str, tf.Tensor], targets: Sequence[str], labels_list: Any, preds_list: Any, sample_rates_list: Any
) -> dict[str, Any]:
  """Arguments about the heads that have both a label and a prediction, and a sample rate."""
  rates = sample_rates_list
  if rates is None or (isinstance(rates, (list, tuple)) and not rates):
    rates = [_column(features, "sample_rate")] * len(targets)
  lists = {"labels_list": labels_list, "preds_list": preds_list, "sample_rates_list": rates}
  for name, values in lists.items():
    if not isinstance(values, (list, tuple)):
      raise ValueError(f"write_deep_insight: {name} is {values!r}; pass a list with a tensor for each target.")
    if len(values) != len(targets):
      raise ValueError(f"write_deep_insight: {name} has {len(values)} elements for the targets {list(targets)}.")
  rows = [row for row in zip(targets, *lists.values(), strict=True) if all(value is not None for value in row)]
  if not rows:
    raise ValueError(f"write_deep_insight: none of the targets {list(targets)} has both a label and a prediction.")
  names, labels, preds, sample_rates = zip(*rows, strict=True)
  return {
    "targets": list(names),
    "labels": tf.stack([_flat(label) for label in labels]),
    "preds": tf.stack([_flat(pred) for pred in preds]),
    "sample_rates": tf.stack([_flat(rate) for rate in sample_rates]),
  }
