# SPDX-License-Identifier: Apache-2.0
"""Operations on columns of fids."""

import pytest

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training.data import feature_utils
from monolith.native_training.runtime.ops import gen_monolith_ops


def test_signatures_stay():
  fids = [[(305 << 48) | 77], [], [(32767 << 48) | (2**48 - 1), 1]]
  switched = feature_utils.switch_slot(tf.ragged.constant(fids, dtype=tf.int64), 306)
  assert switched.to_list() == [[(306 << 48) | 77], [], [(306 << 48) | (2**48 - 1), (306 << 48) | 1]]


def test_odd_slots_leak_no_bit():
  # The lowest bit of the old slot lies just above the signature.
  for old, new in ((305, 306), (1, 0), (32767, 32766)):
    assert gen_monolith_ops.monolith_switch_slot([(old << 48) | 5], slot=new).numpy().tolist() == [(new << 48) | 5]
  v1 = gen_monolith_ops.monolith_switch_slot([(305 << 54) | 5], slot=306, fid_version=1)
  assert v1.numpy().tolist() == [(306 << 54) | 5]


def test_refusals():
  ids = tf.ragged.constant([[1]], dtype=tf.int64)
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"slot 32768 is not in \[0, 32768\)"):
    feature_utils.switch_slot(ids, 32768)
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"slot 1024 is not in \[0, 1024\)"):
    gen_monolith_ops.monolith_switch_slot([1], slot=1024, fid_version=1)
  with pytest.raises(tf.errors.InvalidArgumentError, match="fid_version 3; use 1 or 2"):
    gen_monolith_ops.monolith_switch_slot([1], slot=1, fid_version=3)
  with pytest.raises(AttributeError, match="use_f100_multi_head is not built: its math"):
    feature_utils.use_f100_multi_head  # noqa: B018
  with pytest.raises(AttributeError, match="no attribute 'nothing'"):
    feature_utils.nothing  # noqa: B018
