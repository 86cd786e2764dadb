# SPDX-License-Identifier: Apache-2.0
"""The heads of summaries about features, and architecture weights read from checkpoints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)

import tensorflow as tf

__all__ = ["PLUGIN_NAME", "TAG_TYPES", "get_nas_weight_json", "prepare_head"]

PLUGIN_NAME = "monolith"
TAG_TYPES = ("gating", "selecting", "fi_train", "fi_eval")
_WITH_GROUPS = ("gating", "fi_train")
_NAS_WEIGHT = "nas_weight"


def prepare_head(
  segment_names: Sequence[str],
  segment_sizes: Sequence[Any],
  group_info: Sequence[Sequence[str]] | None = None,
  raw_tag: str | None = None,
  out_type: str = "tensor",
) -> tuple[Any, str]:
  """Describes the segments (features) that a summary is about.

  >>> prepare_head(["a", "b"], [2, 3], [["b", "a"]], out_type="json")
  ('{"tag_type": "gating", "segment_names": ["a", "b"], "segment_sizes": [2, 3], "group_index": [0, 0]}', 'gating')

  Args:
    segment_names: n names.
    segment_sizes: of each the width, or the list of widths to choose from.
    group_info: names that belong together; of a segment in none of the groups, the index is -1. Without it each segment
      is a group of its own.
    raw_tag: one of TAG_TYPES; default 'gating' if every size is a number, else 'selecting'.
    out_type: 'tensor' for a string tensor, 'json' for a str, 'bytes' for UTF-8.

  Returns:
    JSON with keys tag_type, segment_names, segment_sizes and, for 'gating' and 'fi_train', group_index (of each segment
    the number of its group); and the tag type.

  Raises:
    ValueError: an argument is unknown, or there are not as many sizes as names.
    KeyError: a group has a name that is no segment's.
  """
  names, sizes = list(segment_names), [_size(size) for size in segment_sizes]
  if not names or len(names) != len(sizes):
    raise ValueError(f"prepare_head: {len(names)} segment_names and {len(sizes)} segment_sizes; give one of each.")
  tag = raw_tag or ("gating" if all(isinstance(size, int) for size in sizes) else "selecting")
  if tag not in TAG_TYPES:
    raise ValueError(f"prepare_head: raw_tag is {tag!r}; use one of {', '.join(TAG_TYPES)}.")
  head = {"tag_type": tag, "segment_names": names, "segment_sizes": sizes}
  if tag in _WITH_GROUPS:
    head["group_index"] = _group_index(names, group_info)
  return _written(json.dumps(head), out_type), tag


def _size(size: Any) -> int | list[int]:
  return [int(one) for one in size] if isinstance(size, Sequence) else int(size)


def _group_index(names: Sequence[str], group_info: Sequence[Sequence[str]] | None) -> list[int]:
  if not group_info:
    return list(range(len(names)))
  index = {}
  for number, group in enumerate(group_info):
    for name in group:
      if name not in names:
        raise KeyError(f"prepare_head: group_info names {name!r}, which is none of the segments {list(names)}.")
      index[name] = number
  return [index.get(name, -1) for name in names]


def _written(text: str, out_type: str) -> Any:
  if out_type == "json":
    return text
  if out_type == "bytes":
    return text.encode()
  if out_type == "tensor":
    return tf.constant(text)
  raise ValueError(f"prepare_head: out_type is {out_type!r}; use tensor, json or bytes.")


def get_nas_weight_json(ckpt: str, prefix: str | None = None) -> str:
  """Reads the architecture weights (variables called nas_weight, as iRazor makes) of a checkpoint.

  Args:
    ckpt: a checkpoint, or a directory, of which the latest is read.
    prefix: only names that begin with it.

  Returns:
    JSON: {variable name: its values as nested lists}.

  Raises:
    ValueError: there is no checkpoint.
  """
  try:
    reader = tf.train.load_checkpoint(ckpt)
  except (tf.errors.NotFoundError, tf.errors.DataLossError) as error:
    raise ValueError(f"get_nas_weight_json: {ckpt!r} is no checkpoint and has none; give one.") from error
  names = sorted(name for name in reader.get_variable_to_shape_map() if _is_nas_weight(name))
  chosen = [name for name in names if name.startswith(prefix or "")]
  return json.dumps({name: reader.get_tensor(name).tolist() for name in chosen})


def _is_nas_weight(name: str) -> bool:
  return name.split("/")[-1].startswith(_NAS_WEIGHT)
