# SPDX-License-Identifier: Apache-2.0
"""What `MonolithModel.lookup_embedding_slice` takes and gives: groups of features, layouts, combiners."""

from __future__ import annotations

import hashlib
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import tensorflow as tf

from idl.matrix.proto import example_pb2
from monolith.native_training import embedding_combiners
from monolith.native_training.feature import FeatureColumn, FeatureSlice

__all__ = [
  "SliceRequest",
  "build_out_config",
  "join",
  "layout_name",
  "merge_embeddings",
  "parse_requests",
  "resolve_combiner",
]

_OUT_TYPES = {
  "concat": example_pb2.OutType.CONCAT,
  "stack": example_pb2.OutType.STACK,
  "addn": example_pb2.OutType.ADDN,
  "add_n": example_pb2.OutType.ADDN,
  "none": example_pb2.OutType.NONE,
}

_Feature = Union[str, int, FeatureColumn]


class SliceRequest(NamedTuple):
  """Features whose slices of equal width become one tensor; most groups hold one feature."""

  features: Tuple[_Feature, ...]
  dim: int


def layout_name(slice_name: str, features: Any, out_type: Optional[str], taken: Dict[str, List[Any]]) -> str:
  """The name of the layout of one lookup: the slice's name and a digest of the features' names.

  Args:
    slice_name, features, out_type: of the lookup.
    taken: {such a name: (features, out_type) of the graph's lookups that would have it}, which are numbered as they
      come; a new one is added.
  """
  names = [_text(item) for item in features]
  name = f"{slice_name}_{hashlib.md5(','.join(sorted(names)).encode()).hexdigest()}"
  lookups = taken.setdefault(name, [])
  if (names, out_type) not in lookups:
    lookups.append((names, out_type))
  number = lookups.index((names, out_type))
  return f"{name}_{number}" if number else name


def _text(item: Any) -> str:
  if isinstance(item, FeatureColumn):
    return item.feature_name
  if isinstance(item, (list, tuple)):
    return str(tuple(_text(part) for part in item))
  return str(item)


def parse_requests(features: Any, slice_dim: Optional[int], group_out_type: str) -> List[SliceRequest]:
  """Splits the `features` argument of `lookup_embedding_slice` into groups.

  Args:
    features: {feature: width}; a list of features, or of groups of features, with `slice_dim`; or a list of
      (feature, width).
    slice_dim: the common width.
    group_out_type: `concat` or `add_n`, how a group becomes one tensor.

  Raises:
    ValueError: the argument has none of these forms.
  """
  if isinstance(features, dict):
    return [SliceRequest((name,), int(dim)) for name, dim in features.items()]
  if isinstance(features, (list, tuple)) and features:
    if isinstance(slice_dim, int):
      if all(isinstance(item, (str, int, FeatureColumn)) for item in features):
        return [SliceRequest((item,), slice_dim) for item in features]
      if all(isinstance(item, (list, tuple)) and item for item in features):
        if group_out_type not in ("concat", "add_n"):
          raise ValueError(f"group_out_type is {group_out_type!r}; it must be 'concat' or 'add_n'.")
        return [SliceRequest(tuple(item), slice_dim) for item in features]
    elif all(isinstance(item, (list, tuple)) and len(item) == 2 and isinstance(item[1], int) for item in features):
      return [SliceRequest((name,), dim) for name, dim in features]
  raise ValueError(
    f"ValueError for features: {features!r} with slice_dim={slice_dim!r}; give {{feature: dim}}, a list "
    "of features (or of groups) with slice_dim, or a list of (feature, dim)."
  )


def join(
  found: Sequence[tf.Tensor], requests: Sequence[SliceRequest], group_out_type: str, out_type: Optional[str]
) -> Union[tf.Tensor, List[tf.Tensor]]:
  """Joins the embeddings of the features of all groups, within groups and then over them."""
  rest, groups = list(found), []
  for request in requests:
    group, rest = rest[: len(request.features)], rest[len(request.features) :]
    groups.append(group[0] if len(group) == 1 else merge_embeddings(group, group_out_type))
  return groups if out_type is None else merge_embeddings(groups, out_type)


def merge_embeddings(embeddings: Sequence[tf.Tensor], out_type: str) -> tf.Tensor:
  """Joins the looked-up tensors: `concat` and `stack` along axis 1, `add_n` (or `addn`) by adding.

  Raises:
    ValueError: out_type is another.
  """
  if out_type == "concat":
    return tf.concat(list(embeddings), axis=1)
  if out_type == "stack":
    return tf.stack(list(embeddings), axis=1)
  if out_type in ("add_n", "addn"):
    return tf.add_n(list(embeddings))
  raise ValueError(f"out_type is {out_type!r}; it must be None, 'concat', 'stack', 'add_n' or 'addn'.")


def build_out_config(
  slice_list: Sequence[Tuple[str, FeatureSlice]],
  out_type: Optional[str],
  shape_list: Sequence[Any],
) -> example_pb2.OutConfig:
  """The record of one layout: which slices, joined how, to which shapes (first size -1: the batch).

  Raises:
    ValueError: out_type is unknown.
  """
  kind = "none" if out_type is None else out_type
  if kind not in _OUT_TYPES:
    raise ValueError(f"out_type is {out_type!r}; it must be None or one of {sorted(_OUT_TYPES)}.")
  config = example_pb2.OutConfig(out_type=_OUT_TYPES[kind])
  for feature_name, feature_slice in slice_list:
    config.slice_configs.add(feature_name=feature_name, start=feature_slice.start, end=feature_slice.end)
  for shape in shape_list:
    sizes = [size if isinstance(size, int) else getattr(size, "value", None) for size in shape]
    config.shape.add(dims=[-1, *(-1 if size is None else size for size in sizes[1:])])
  return config


def resolve_combiner(
  combiner: Union[None, str, embedding_combiners.Combiner], max_seq_length: int
) -> embedding_combiners.Combiner:
  """A combiner from its name; by default the first `max_seq_length` of a sequence, else the sum.

  Raises:
    ValueError: the name is unknown, or `first_n` lacks a length.
  """
  if combiner is None:
    combiner = "first_n" if max_seq_length > 0 else "reduce_sum"
  if not isinstance(combiner, str):
    return combiner
  makers: Dict[str, Any] = {
    "reduce_sum": FeatureColumn.reduce_sum,
    "reduce_mean": FeatureColumn.reduce_mean,
    "first_n": lambda: FeatureColumn.first_n(max_seq_length),
  }
  if combiner not in makers:
    raise ValueError(f"combiner is {combiner!r}; it must be one of {sorted(makers)}.")
  return makers[combiner]()
