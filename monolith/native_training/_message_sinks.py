# SPDX-License-Identifier: Apache-2.0
"""Messages about the predictions of a training, sent to where the model's `metrics` settings say."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

import tensorflow as tf

from monolith.native_training import native_task_context
from monolith.native_training._head_spec import Heads

# Not by way of metric_hook, whose import installs handlers of signals.
from monolith.native_training.metric._message_hooks import FileMetricHook, KafkaMetricHook
from monolith.native_training.metric.utils import write_deep_insight
from monolith.native_training.model_export import export_context

__all__ = ["add_message_sinks"]

_SINKS = ("enable_deep_insight", "enable_kafka_metrics", "enable_file_metrics")
_COLLECTION = "deep_insight_op"  # where hooks look
_COLUMNS = ("req_time", "uid", "sample_rate")  # that every message has


def add_message_sinks(model: Any, features: Mapping[str, Any], heads: Heads) -> List[tf.Tensor]:
  """Makes the op that writes messages, and adds the hooks that take them to Kafka or into files.

  Heads without a label are left out. A message of one head without extra fields has no other field than those that
  every message has; see `metric.utils.write_deep_insight`.

  Args:
    model: a `MonolithBaseModel`; its `metrics` say which sinks are on and what they get.
    features: as `model_fn` gets them: dense `req_time`, `uid`, `sample_rate` and extra fields, a value a row.
    heads: labels and predictions, a number a row.

  Returns:
    What a step has to run; nothing if no sink is on, no user is sampled, or features have no `req_time`.

  Raises:
    ValueError: messages would go nowhere, no head has a label, or something has not one value a row; or the environment
      names no Kafka.
    KeyError: a feature is missing.
    ImportError: Kafka's package is not installed.
  """
  metrics = model.metrics
  sinks = [name for name in _SINKS if metrics[name]]
  if not sinks or metrics.deep_insight_sample_ratio <= 0:
    return []
  if sinks == ["enable_deep_insight"] and not metrics.dump_filename:
    raise ValueError(
      f"{model.name}: metrics.enable_deep_insight is on, but there is no databus that messages could go to; set "
      "metrics.dump_filename, enable_file_metrics or enable_kafka_metrics too, or leave enable_deep_insight False."
    )
  messages = _messages(model, _columns(model, features, sinks), heads)
  if isinstance(messages, tf.Operation):  # no req_time, as the log says
    return []
  tf.compat.v1.add_to_collection(_COLLECTION, messages)
  # Graphs that are not going to run must not take the hooks, of which a process has one each, from those that are.
  if not export_context.is_dry_run_or_exporting():
    _add_hooks(model, messages)
  return [messages]


def _messages(model: Any, columns: Mapping[str, tf.Tensor], heads: Heads) -> Any:
  metrics, context = model.metrics, native_task_context.get()
  rows = _labelled(model, heads)
  names, labels, preds = ([row[i] for row in rows] for i in range(3))
  if len(heads.names) == 1 and not metrics.extra_fields_keys:
    outputs: Dict[str, Any] = {"target": names[0], "labels": labels[0], "preds": preds[0]}
  else:
    outputs = {"targets": names, "labels_list": labels, "preds_list": preds}
  dump = f"{metrics.dump_filename}.part-{context.worker_index:05d}" if metrics.dump_filename else None
  return write_deep_insight(
    columns,
    metrics.deep_insight_sample_ratio,
    metrics.deep_insight_name or context.model_name or f"di_name_{type(model).__name__}",
    extra_fields_keys=list(metrics.extra_fields_keys),
    enable_deep_insight_metrics=metrics.enable_deep_insight,
    enable_kafka_metrics=metrics.enable_kafka_metrics or metrics.enable_file_metrics,
    dump_filename=dump,
    **outputs,
  )


def _labelled(model: Any, heads: Heads) -> List[Tuple[str, tf.Tensor, tf.Tensor]]:
  """(name, label, prediction) of the heads that have a label, float32 `[B]`."""
  rows = []
  for name, label, pred in zip(heads.names, heads.labels, heads.preds, strict=True):
    if label is not None:
      columns = [_column(f"{model.name}: {what} of head {name!r}", x) for what, x in (("label", label), ("pred", pred))]
      rows.append((name, *(tf.cast(column, tf.float32) for column in columns)))
  if not rows:
    raise ValueError(
      f"{model.name}: messages about predictions have labels, and none of the heads {heads.names} has one; give it in "
      "the EstimatorSpec, or set metrics.deep_insight_sample_ratio to 0."
    )
  return rows


def _columns(model: Any, features: Mapping[str, Any], sinks: List[str]) -> Dict[str, tf.Tensor]:
  """The features that messages have, as `[B]`; none if there is no `req_time`."""
  columns: Dict[str, tf.Tensor] = {}
  if "req_time" not in features:
    return columns
  for name in (*_COLUMNS, *model.metrics.extra_fields_keys):
    if name not in features:
      raise KeyError(
        f"{model.name}: metrics.{sinks[0]} needs the feature {name!r}; there are {sorted(features)}. Have the input "
        "parse it, as an extra feature, say."
      )
    columns[name] = _column(f"{model.name}: feature {name!r}", features[name])
  return columns


def _column(what: str, value: Any) -> tf.Tensor:
  """A dense tensor as `[B]`, in one of the dtypes that messages know.

  Raises:
    ValueError: it has not one value a row.
  """
  if isinstance(value, (tf.RaggedTensor, tf.SparseTensor)) or value.shape[1:].num_elements() not in (None, 1):
    raise ValueError(
      f"{what} is a {type(value).__name__} of shape {value.shape}; messages about predictions take dense tensors with "
      "one value a row."
    )
  value = tf.reshape(value, [-1])
  if value.dtype.is_floating:
    return tf.cast(value, tf.float32)
  return tf.cast(value, tf.int64) if value.dtype.is_integer or value.dtype.is_bool else value


def _add_hooks(model: Any, messages: tf.Tensor) -> None:
  metrics = model.metrics
  present = {type(hook) for hook in model._training_hooks}  # the author's own come first
  if metrics.enable_kafka_metrics and KafkaMetricHook not in present:
    model.add_training_hook(KafkaMetricHook(messages))
  if metrics.enable_file_metrics and FileMetricHook not in present:
    hook = FileMetricHook(
      messages,
      parse_fn=metrics.parse_fn,
      key_fn=metrics.key_fn,
      layout_fn=metrics.layout_fn,
      base_name=metrics.file_base_name,
      file_ext=metrics.file_ext,
    )
    model.add_training_hook(hook)
