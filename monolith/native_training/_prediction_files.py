# SPDX-License-Identifier: Apache-2.0
"""Predictions as lines of text: `<output_path>/part-<worker>`."""

from __future__ import annotations

import os
from typing import Any, List, Mapping, NamedTuple

import tensorflow as tf

from monolith.native_training import file_ops, native_task_context
from monolith.native_training._head_spec import Heads

__all__ = ["PredictionFile", "write_predictions"]


class PredictionFile(NamedTuple):
  """A file that each run of `write` appends a batch to; `hook` closes it at the end of the loop."""

  write: tf.Operation
  hook: tf.compat.v1.train.SessionRunHook


def write_predictions(model: Any, features: Mapping[str, Any], heads: Heads) -> PredictionFile:
  """Makes the op that writes a line for every row: `output_fields` of the features, then predictions, by `delimiter`.

  Predictions come in the order of the heads, those of a dict in that of their names. Several numbers of a row are
  written as `[1 2 3]`.

  Args:
    model: its `output_path`, `output_fields` and `delimiter` say where and what.
    features: as the model function gets them; fields are dense, [B] or [B, ...].
    heads: the predictions.

  Raises:
    ValueError: `output_fields` is empty.
    KeyError: a field is not among the features.
  """
  columns = [*_fields(model.p.output_fields, features), *_predictions(heads)]
  template = model.p.delimiter.join(["{}"] * len(columns)) + "\n"

  def line(row: List[tf.Tensor]) -> tf.Tensor:
    return tf.strings.format(template, row, summarize=-1)

  lines = tf.map_fn(line, columns, fn_output_signature=tf.string)
  path = os.path.join(model.p.output_path, f"part-{native_task_context.get().worker_index:05d}")
  file = file_ops.WritableFile(path)
  return PredictionFile(file.append(tf.strings.reduce_join(lines)), file_ops.FileCloseHook([file]))


def _fields(names: Any, features: Mapping[str, Any]) -> List[tf.Tensor]:
  if not names:
    raise ValueError("output_path is set, but output_fields is empty; name the features to write, comma-separated.")
  fields = []
  for name in str(names).split(","):
    name = name.strip()
    if name not in features:
      raise KeyError(f"output_fields has {name!r}, which the features lack; there are {sorted(features)}.")
    fields.append(_squeezed(features[name]))
  return fields


def _predictions(heads: Heads) -> List[tf.Tensor]:
  pairs = list(zip(heads.names, heads.preds, strict=True))
  if heads.named:
    pairs.sort(key=lambda pair: pair[0])
  return [_squeezed(pred) for _, pred in pairs]


def _squeezed(value: Any) -> tf.Tensor:
  """`[B, 1]` as `[B]`; writing is no part of what is differentiated."""
  value = tf.stop_gradient(value)
  is_column = value.shape.rank is not None and value.shape.rank > 1 and value.shape[-1] == 1
  return tf.squeeze(value, -1) if is_column else value
