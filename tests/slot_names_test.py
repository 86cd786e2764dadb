# SPDX-License-Identifier: Apache-2.0
"""Slot names of a module or a test are not those of others."""

from __future__ import annotations

import slot_names

from monolith.native_training.data import utils


def test_a_fresh_registry_ends_with_its_block():
  with slot_names.fresh():
    utils.register_slots({"user": 5})
    with slot_names.fresh():
      utils.enable_tob_env()
      utils.register_slots({"user": 6})  # no contradiction
      assert utils.get_slot_feature_name(6) == "fc_slot_6"
    assert utils.get_slot_feature_name(5) == "slot_5"
    assert utils.get_slot_from_feature_name("user") == 5


def test_names_of_a_module():
  assert utils.get_slot_from_feature_name("item") == 1


def test_are_kept_within_it():
  assert utils.get_slot_from_feature_name("other") == 2


def test_but_not_where_fresh_ones_are_asked_for(fresh_slot_names):
  del fresh_slot_names
  assert utils.get_slot_from_feature_name("other") == 1
