# SPDX-License-Identifier: Apache-2.0
"""Fids of ratings: slots, genres, histories that never look ahead, hashing."""

import copy

from examples.movielens import dataset
from examples.movielens.features import SLOTS, FeatureBuilder

import numpy as np
import pytest

# user 1 rates 10, 20, 30, 40, 50 in that order; 50 is the test part. User 2 rates 10 only.
DATA = dataset.MovieLens(
  users=np.int32([1, 1, 2, 1, 1, 1]),
  movies=np.int32([20, 10, 10, 30, 40, 50]),
  ratings=np.float32([2, 5, 3, 4, 5, 5]),
  timestamps=np.int64([2, 1, 9, 3, 4, 5]),
  titles={10: "A (1990)", 20: "B", 30: "C (2000)", 40: "D", 50: "E"},
  genres={10: ("War", "Drama"), 20: (), 30: ("Drama",), 40: (), 50: ()},
)


def _builder(**kwargs):
  return FeatureBuilder(DATA, dataset.last_fifth(DATA.users, DATA.timestamps), **kwargs)


def _ids(ragged, slot):
  """The ids of each row, once their slot is checked."""
  assert (ragged.values >> 48 == slot).all()
  ids = ragged.values & (1 << 48) - 1
  return [ids[a:b].tolist() for a, b in zip(ragged.row_splits[:-1], ragged.row_splits[1:], strict=True)]


def test_every_slot_is_in_its_fids():
  batch = _builder().batch(np.arange(6))
  assert sorted(batch) == sorted(SLOTS)
  assert _ids(batch["user"], 1) == [[1], [1], [2], [1], [1], [1]]
  assert _ids(batch["movie"], 2) == [[20], [10], [10], [30], [40], [50]]
  assert _ids(batch["year"], 4) == [[0], [1990], [1990], [2000], [0], [0]]


def test_genres_are_multi_valued_and_crossed_with_the_user():
  batch = _builder().batch(np.array([3, 0, 2]))  # Drama is 1, War is 2
  assert _ids(batch["genre"], 3) == [[1], [], [2, 1]]
  assert _ids(batch["user_genre"], 5) == [[1 << 6 | 1], [], [2 << 6 | 2, 2 << 6 | 1]]


def test_history_holds_what_was_liked_before_in_the_training_part():
  batch = _builder().batch(np.arange(6))
  assert _ids(batch["liked"], 6) == [[10], [], [], [10], [10, 30], [10, 30, 40]]


def test_history_is_cut_to_the_latest():
  assert _ids(_builder(history=2).batch(np.array([5]))["liked"], 6) == [[30, 40]]


def test_pairs_of_a_user_have_the_history_of_the_whole_training_part():
  pairs = _builder().pairs(1, np.array([50, 10]))
  assert _ids(pairs["movie"], 2) == [[50], [10]]
  assert _ids(pairs["liked"], 6) == [[10, 30, 40]] * 2
  with pytest.raises(KeyError, match="user 9 has rated nothing; give one of 2 users"):
    _builder().pairs(9, np.array([50]))


def test_test_ratings_change_no_training_feature():
  changed = dataset.MovieLens(**{**DATA.__dict__, "ratings": np.float32([2, 5, 3, 4, 5, 1])})
  is_test = dataset.last_fifth(DATA.users, DATA.timestamps)
  before, after = (FeatureBuilder(d, is_test).batch(np.arange(6)) for d in (DATA, changed))
  for name in SLOTS:
    np.testing.assert_array_equal(before[name].values, after[name].values)


def test_hashed_ids_stay_in_their_buckets_and_slots():
  batch = _builder(hash_buckets=4).batch(np.arange(6))
  for name, slot in SLOTS.items():
    assert all(i < 4 for row in _ids(batch[name], slot) for i in row)
  plain = _builder().batch(np.arange(6))
  np.testing.assert_array_equal(batch["genre"].row_splits, plain["genre"].row_splits)


def test_copies_share_the_builder():
  builder = _builder()
  assert copy.deepcopy(builder) is builder
