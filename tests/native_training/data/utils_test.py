# SPDX-License-Identifier: Apache-2.0
"""Tests of names and numbers of slots."""

from __future__ import annotations

import pytest

from monolith.native_training.data import utils


def test_names_of_numbers():
  assert utils.get_slot_feature_name(7) == "slot_7"
  assert utils.get_feature_name_and_slot(7) == ("slot_7", 7)
  utils.enable_tob_env()
  assert utils.get_feature_name_and_slot(7) == ("fc_slot_7", 7)


def test_numbers_of_names():
  utils.register_slots({"user": 200})
  utils.register_slots([3, "fc_slot_4"])
  assert utils.get_slot_from_feature_name("user") == 200
  assert utils.get_slot_from_feature_name("fc_slot_12") == 12
  assert utils.get_slot_from_feature_name("slot_x") is None
  # Others get the smallest free numbers; 3 and 4 are taken.
  names = ["a", "b", "a", "c"]
  assert [utils.get_slot_from_feature_name(name) for name in names] == [1, 2, 1, 5]


def test_columns_have_both():
  class Column:
    feature_name, feature_slot = "f", 9

  assert utils.get_feature_name_and_slot(Column()) == ("f", 9)


def test_mistakes_are_named():
  utils.register_slots({"user": 1})
  with pytest.raises(ValueError, match="'user' has slot 1 already, not 2"):
    utils.register_slots({"user": 2})
  with pytest.raises(ValueError, match="'slot_x' carries no slot number"):
    utils.register_slots(["slot_x"])
  with pytest.raises(ValueError, match="2.5 is no feature"):
    utils.get_feature_name_and_slot(2.5)
