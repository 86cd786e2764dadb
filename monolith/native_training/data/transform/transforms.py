# SPDX-License-Identifier: Apache-2.0
"""Filters and label makers as one chain, which a dataset runs without a function call a record.

>>> chain = Compose([FilterByFid(has_fids=[1]), LogicalOr(FilterByAction([2]), FilterByLabel([0.5]))])
>>> len(chain.as_proto().configs)
2
"""

from __future__ import annotations

import abc
from typing import Iterable, List, Optional, Sequence

from monolith.native_training.data._record_settings import Operand, fid_bits, label_tasks, line_id_operands
from monolith.native_training.data.transform import transform_config_pb2 as pb

__all__ = [
  "AddLabel",
  "Compose",
  "FilterByAction",
  "FilterByFid",
  "FilterByLabel",
  "FilterByValue",
  "LogicalOr",
  "Transform",
]

_MASK = (1 << 64) - 1


class Transform(abc.ABC):
  """What `Dataset.transform` takes."""

  @abc.abstractmethod
  def as_proto(self) -> pb.TransformConfig:
    """The chain of this transform alone."""


class _Basic(Transform):
  """A transform that a chain or an alternative is made of."""

  @abc.abstractmethod
  def as_basic(self) -> pb.BasicTransformConfig:
    """The transform's settings."""

  def as_proto(self) -> pb.TransformConfig:
    config = pb.TransformConfig()
    config.configs.add().basic_config.CopyFrom(self.as_basic())
    return config


class FilterByFid(_Basic):
  """Keeps records by their fids, as `feature_utils.filter_by_fids` does. None tests nothing.

  Args:
    has_fids: one of these must be in the record.
    filter_fids: none of these may be.
    select_fids: all of these must be.

  Raises:
    ValueError: a fid has more than 64 bits.
  """

  def __init__(
    self,
    has_fids: Optional[Iterable[int]] = None,
    filter_fids: Optional[Iterable[int]] = None,
    select_fids: Optional[Iterable[int]] = None,
  ):
    self._config = pb.FilterByFidConfig(
      has_fids=[fid & _MASK for fid in fid_bits(has_fids, "has_fids")],
      filter_fids=[fid & _MASK for fid in fid_bits(filter_fids, "filter_fids")],
      select_fids=[fid & _MASK for fid in fid_bits(select_fids, "select_fids")],
    )

  def as_basic(self) -> pb.BasicTransformConfig:
    return pb.BasicTransformConfig(filter_by_fid=self._config)


class FilterByAction(_Basic):
  """Keeps records that have one of some actions; None keeps all.

  Args:
    has_actions: the actions.
  """

  def __init__(self, has_actions: Optional[Iterable[int]] = None):
    self._config = pb.FilterByActionConfig(has_actions=has_actions or ())

  def as_basic(self) -> pb.BasicTransformConfig:
    return pb.BasicTransformConfig(filter_by_action=self._config)


class FilterByLabel(_Basic):
  """Keeps records with some label at or above the threshold of its place; fewer labels than thresholds are dropped.

  Args:
    thresholds: one a label.

  Raises:
    ValueError: no thresholds.
  """

  def __init__(self, thresholds: Sequence[float]):
    if not thresholds:
      raise ValueError("thresholds is empty; give one for every label.")
    self._config = pb.FilterByLabelConfig(thresholds=thresholds)

  def as_basic(self) -> pb.BasicTransformConfig:
    return pb.BasicTransformConfig(filter_by_label=self._config)


class FilterByValue(_Basic):
  """Keeps records for whose LineId a comparison holds, as `feature_utils.filter_by_value` does.

  Args:
    field_name: the field of LineId.
    op: the comparison.
    operand: a value or several, of the field's kind.
    keep_empty: whether a record stays whose repeated field has no values.

  Raises:
    ValueError: there is no such field, or an operand is of another kind.
  """

  def __init__(self, field_name: str, op: str, operand: Operand, keep_empty: bool = False):
    operands = line_id_operands(field_name, operand)
    operands = {name: [v.decode() if isinstance(v, bytes) else v for v in values] for name, values in operands.items()}
    self._config = pb.FilterByValueConfig(field_name=field_name, op=op, keep_empty=keep_empty, **operands)

  def as_basic(self) -> pb.BasicTransformConfig:
    return pb.BasicTransformConfig(filter_by_value=self._config)


class AddLabel(_Basic):
  """Appends a label a task, as `feature_utils.add_label` does.

  Args:
    config: `pos,..:neg,..:rate` for each task, with `;` between them.
    negative_value: label of negatives.
    new_sample_rate: becomes the LineId's sample_rate, in (0, 1].

  Raises:
    ValueError: config cannot be read, or a rate is out of range.
  """

  def __init__(self, config: str, negative_value: float, new_sample_rate: float):
    if not 0 < new_sample_rate <= 1:
      raise ValueError(f"new_sample_rate is {new_sample_rate}; it must be in (0, 1].")
    self._config = pb.AddLabelConfig(negative_value=negative_value, new_sample_rate=new_sample_rate)
    for pos_actions, neg_actions, rate in label_tasks(config):
      self._config.task_label_configs.add(pos_actions=pos_actions, neg_actions=neg_actions, sample_rate=rate)

  def as_basic(self) -> pb.BasicTransformConfig:
    return pb.BasicTransformConfig(add_label=self._config)


def _basic(name: str, transform: Transform) -> pb.BasicTransformConfig:
  if not isinstance(transform, _Basic):
    raise ValueError(f"LogicalOr: {name} is a {type(transform).__name__}; give a single filter or AddLabel.")
  return transform.as_basic()


class LogicalOr(Transform):
  """Keeps records that one of two transforms keeps. Both run; AddLabel keeps all.

  Args:
    x: a filter or AddLabel.
    y: the same.

  Raises:
    ValueError: one of them is a Compose or a LogicalOr.
  """

  def __init__(self, x: Transform, y: Transform):
    self._config = pb.LogicalOrTransformConfig(x=_basic("x", x), y=_basic("y", y))

  def as_proto(self) -> pb.TransformConfig:
    config = pb.TransformConfig()
    config.configs.add().logical_or_config.CopyFrom(self._config)
    return config


class Compose(Transform):
  """Transforms one after another; a record stays if all keep it. None of them keeps all.

  Args:
    transforms: in their order.

  Raises:
    ValueError: one of them is no transform.
  """

  def __init__(self, transforms: Sequence[Transform]):
    self._transforms: List[Transform] = list(transforms)
    for transform in self._transforms:
      if not isinstance(transform, Transform):
        raise ValueError(f"Compose: {transform!r} is no transform; use those of this module.")

  def as_proto(self) -> pb.TransformConfig:
    config = pb.TransformConfig()
    for transform in self._transforms:
      config.configs.extend(transform.as_proto().configs)
    return config
