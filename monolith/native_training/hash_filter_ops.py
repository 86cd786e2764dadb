# SPDX-License-Identifier: Apache-2.0
"""Occurrence filters: which absent fids a table admits.

Only the filter that admits everything is built so far; asking for another one is an error.
"""

from __future__ import annotations

from monolith.native_training import utils
from monolith.native_training.model_export import export_context
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf

HASH_FILTER_CAPACITY = 300000000
HASH_FILTER_SPLIT_NUM = 7


class FilterType:
  """Names of the filters."""

  SLIDING_HASH_FILTER = "sliding_hash_filter"
  PROBABILISTIC_FILTER = "probabilistic_filter"
  NO_FILTER = "no_filter"


_FILTER_TYPES = (FilterType.SLIDING_HASH_FILTER, FilterType.PROBABILISTIC_FILTER, FilterType.NO_FILTER)


def create_dummy_hash_filter(name_suffix: str = "0") -> tf.Tensor:
  """Returns the handle of a filter that admits every fid, shared under `DummyHashFilter` + suffix."""
  return gen_monolith_ops.monolith_dummy_hash_filter(shared_name="DummyHashFilter" + name_suffix)


def create_hash_filters(
  ps_num: int,
  enable_hash_filter: bool,
  config: bytes = b"",
  filter_capacity: int = HASH_FILTER_CAPACITY,
  filter_split_num: int = HASH_FILTER_SPLIT_NUM,
  filter_equal_probability: bool = False,
  filter_type: str = FilterType.SLIDING_HASH_FILTER,
) -> list[tf.Tensor]:
  """Makes the filters of a job: one for a local table, else one on every parameter server.

  Args:
    ps_num: number of parameter servers; 0 for a local table.
    enable_hash_filter: whether any slot has an occurrence threshold.
    config: a serialized SlotOccurrenceThresholdConfig.
    filter_capacity: fids that a filter has room for.
    filter_split_num: parts of a sliding filter.
    filter_equal_probability: the mode of the probabilistic filter.
    filter_type: one of `FilterType`.

  Raises:
    ValueError: the type is unknown, or a filter that counts is asked for.
  """
  del config, filter_capacity, filter_split_num, filter_equal_probability
  if filter_type not in _FILTER_TYPES:
    raise ValueError(f"filter_type is {filter_type!r}; use one of {', '.join(_FILTER_TYPES)}.")
  if enable_hash_filter and filter_type != FilterType.NO_FILTER:
    raise ValueError(
      f"the {filter_type} is not supported yet; leave every slot's occurrence_threshold at 0, or set "
      f"filter_type={FilterType.NO_FILTER!r}."
    )
  if ps_num == 0:
    return [create_dummy_hash_filter()]
  filters = []
  for i in range(ps_num):
    # An exported model runs where there are no servers of that name.
    device = None if export_context.is_exporting() else utils.ps_device(i)
    with tf.compat.v1.device(device):
      filters.append(create_dummy_hash_filter(f"_{i}"))
  return filters
