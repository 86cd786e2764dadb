# SPDX-License-Identifier: Apache-2.0
"""Making occurrence filters."""

from monolith.native_training import hash_filter_ops

import pytest
import tensorflow as tf

FilterType = hash_filter_ops.FilterType


def test_dummy_filter_is_shared_by_name():
  one = hash_filter_ops.create_dummy_hash_filter("_t")
  two = hash_filter_ops.create_dummy_hash_filter("_t")
  assert one.dtype == tf.resource and one.shape == []
  assert "DummyHashFilter_t" in str(one)
  assert str(one) == str(two)


def test_local_table_has_one_filter():
  assert len(hash_filter_ops.create_hash_filters(0, False)) == 1


def test_every_server_has_its_filter():
  with tf.Graph().as_default():
    filters = hash_filter_ops.create_hash_filters(3, False)
    names = [f.op.get_attr("shared_name").decode() for f in filters]
    devices = [f.device for f in filters]
  assert names == ["DummyHashFilter_0", "DummyHashFilter_1", "DummyHashFilter_2"]
  for i, device in enumerate(devices):
    assert f"/job:ps/task:{i}" in device


def test_no_filter_may_be_enabled():
  assert len(hash_filter_ops.create_hash_filters(0, True, filter_type=FilterType.NO_FILTER)) == 1


@pytest.mark.parametrize("filter_type", [FilterType.SLIDING_HASH_FILTER, FilterType.PROBABILISTIC_FILTER])
def test_filters_that_count_are_refused_by_name(filter_type):
  with pytest.raises(ValueError, match=f"the {filter_type} is not supported yet; leave every slot's occurrence_thr"):
    hash_filter_ops.create_hash_filters(0, True, filter_type=filter_type)
  assert len(hash_filter_ops.create_hash_filters(0, False, filter_type=filter_type)) == 1


def test_unknown_type_is_refused_with_the_known_ones():
  with pytest.raises(ValueError, match="filter_type is 'bloom'; use one of sliding_hash_filter, probabilistic_filter"):
    hash_filter_ops.create_hash_filters(0, False, filter_type="bloom")
