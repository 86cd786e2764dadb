# SPDX-License-Identifier: Apache-2.0
"""Examples, Instances and ExampleBatches with random values."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Union

from idl.matrix.proto import example_pb2, proto_parser_pb2
from monolith.native_training.model_export import _feature_values
from monolith.native_training.model_export._feature_meta import (
  FeatureMeta,
  Features,
  dense_metas,
  extra_metas,
  sparse_metas,
)
from monolith.native_training.model_export._random_draws import Draws, Seed

__all__ = ["fidv1_slots", "gen_example", "gen_example_batch", "gen_instance"]

_LABEL, _INSTANCE_WEIGHT = "label", "instance_weight"
_LINE_ID_COLUMN, _LABEL_COLUMN = "__LINE_ID__", "__LABEL__"


def gen_example(
  sparse_features: Features,
  dense_features: Features = None,
  extra_features: Features = None,
  feature_list: Any = None,
  drop_rate: float = 0,
  actions: Optional[Sequence[int]] = None,
  rng: Seed = None,
) -> example_pb2.Example:
  """An Example with random values.

  Args:
    sparse_features: names, slots or FeatureMetas; fids are version 2, see `fill_features`.
    dense_features: names (one float32) or FeatureMetas. `label` gives the number of labels, 1 without it;
      `instance_weight` fills the field, with a number in (0, 1].
    extra_features: fields of LineId, names or FeatureMetas.
    feature_list: where features have their slots; the flag `feature_list` by default. Names that it lacks have that of
      their name (`slot_<n>`), or the next free one.
    drop_rate: share of fids left out.
    actions: what the action of LineId is drawn from; 0 to 10 by default.
    rng: a NumPy generator or a seed. Only `req_time` is then not the same again.

  Raises:
    ValueError: a feature has no slot, or LineId no such field.

  >>> example = gen_example(["slot_7"], ["label"], rng=0)
  >>> example.named_feature[0].name, example.named_feature[0].feature.fid_v2_list.value[0] >> 48, len(example.label)
  ('slot_7', 7, 1)
  """
  draws = Draws.of(rng)
  dense = dense_metas(dense_features)
  example = example_pb2.Example()
  for meta in sparse_metas(sparse_features, feature_list) + _columns(dense):
    column = example.named_feature.add(name=meta.name)
    _feature_values.fill_features(column.feature, meta, drop_rate, draws)
  _fill_fields(example, dense, extra_features, actions, draws)
  return example


def gen_instance(
  fidv1_features: Features = None,
  fidv2_features: Features = None,
  dense_features: Features = None,
  extra_features: Features = None,
  feature_list: Any = None,
  drop_rate: float = 0,
  actions: Optional[Sequence[int]] = None,
  rng: Seed = None,
) -> proto_parser_pb2.Instance:
  """An Instance with random values.

  Args:
    fidv1_features: slots, names or FeatureMetas whose fids are version 1, in the flat list: 0 to 3 of each, of slots 1
      and 200 one, of slots outside (0, 1023) none.
    fidv2_features: names or FeatureMetas whose fids are version 2, in features; see `fill_features`.
    dense_features: as in `gen_example`.
    extra_features: as in `gen_example`.
    feature_list: as in `gen_example`.
    drop_rate: as in `fill_features`.
    actions: as in `gen_example`.
    rng: as in `gen_example`.

  Raises:
    ValueError: a feature has no slot, or LineId no such field.
  """
  draws = Draws.of(rng)
  dense = dense_metas(dense_features)
  instance = proto_parser_pb2.Instance()
  for slot in fidv1_slots(fidv1_features, feature_list):
    instance.fid.extend(_feature_values.gen_fids_v1(slot, _feature_values.num_v1_fids(slot, draws), draws))
  for meta in sparse_metas(fidv2_features, feature_list) + _columns(dense):
    _feature_values.fill_features(instance.feature.add(), meta, drop_rate, draws)
  _fill_fields(instance, dense, extra_features, actions, draws)
  return instance


def gen_example_batch(
  sparse_features: Features,
  dense_features: Features = None,
  extra_features: Features = None,
  feature_list: Any = None,
  batch_size: int = 64,
  drop_rate: float = 0,
  actions: Optional[Sequence[int]] = None,
  rng: Seed = None,
) -> example_pb2.ExampleBatch:
  """An ExampleBatch with random values: `batch_size` rows, column by column.

  LineIds lie serialized in the column `__LINE_ID__`, labels in `__LABEL__`, instance weights in `instance_weight`.

  Args:
    sparse_features: as in `gen_example`, and so are the others.
    dense_features: see there.
    extra_features: see there.
    feature_list: see there.
    batch_size: rows, >= 1.
    drop_rate: share of fids left out.
    actions: what actions are drawn from.
    rng: a NumPy generator or a seed.

  Raises:
    ValueError: a feature has no slot, LineId no such field, or batch_size is below 1.
  """
  if batch_size < 1:
    raise ValueError(f"gen_example_batch: batch_size is {batch_size}; it must be >= 1.")
  draws = Draws.of(rng)
  dense = dense_metas(dense_features)
  batch = example_pb2.ExampleBatch(batch_size=batch_size)
  for meta in sparse_metas(sparse_features, feature_list) + _columns(dense):
    column = batch.named_feature_list.add(name=meta.name, type=example_pb2.INDIVIDUAL)
    for _ in range(batch_size):
      _feature_values.fill_features(column.feature.add(), meta, drop_rate, draws)
  _add_special_columns(batch, dense, extra_features, actions, draws)
  return batch


def _add_special_columns(
  batch: Any, dense: List[FeatureMeta], extra_features: Features, actions: Any, draws: Draws
) -> None:
  rows = [example_pb2.Example() for _ in range(batch.batch_size)]
  for row in rows:
    _fill_fields(row, dense, extra_features, actions, draws)
  line_ids = batch.named_feature_list.add(name=_LINE_ID_COLUMN, type=example_pb2.INDIVIDUAL)
  labels = batch.named_feature_list.add(name=_LABEL_COLUMN, type=example_pb2.INDIVIDUAL)
  for row in rows:
    line_ids.feature.add().bytes_list.value.append(row.line_id.SerializeToString())
    labels.feature.add().float_list.value.extend(row.label)
  if _named(dense, _INSTANCE_WEIGHT):
    weights = batch.named_feature_list.add(name=_INSTANCE_WEIGHT, type=example_pb2.INDIVIDUAL)
    for row in rows:
      weights.feature.add().float_list.value.append(row.instance_weight)


def _fill_fields(
  record: Union[example_pb2.Example, proto_parser_pb2.Instance],
  dense: List[FeatureMeta],
  extra_features: Features,
  actions: Optional[Sequence[int]],
  draws: Draws,
) -> None:
  """Labels, instance weight and LineId."""
  label = _named(dense, _LABEL)
  record.label.extend(float(value) for value in draws.below(2, label[0].shape if label else 1))
  if _named(dense, _INSTANCE_WEIGHT):
    record.instance_weight = 1 - draws.floats(1)[0]
  _feature_values.fill_line_id(record.line_id, extra_metas(extra_features), actions=actions, rng=draws)


def fidv1_slots(features: Features, feature_list: Any = None) -> List[int]:
  """The slots of features in an Instance's flat list, which are slots, names, or metas.

  Raises:
    ValueError: a feature has no slot.
  """
  slots = []
  for feature in features or ():
    if isinstance(feature, int):
      slots.append(feature)
    elif isinstance(feature, FeatureMeta) and feature.slot is not None:
      slots.append(feature.slot)
    else:
      slots.extend(meta.slot for meta in sparse_metas([feature], feature_list) if meta.slot is not None)
  return slots


def _columns(dense: List[FeatureMeta]) -> List[FeatureMeta]:
  return [meta for meta in dense if meta.name not in (_LABEL, _INSTANCE_WEIGHT)]


def _named(dense: List[FeatureMeta], name: str) -> List[FeatureMeta]:
  return [meta for meta in dense if meta.name == name]
