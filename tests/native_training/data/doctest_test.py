# SPDX-License-Identifier: Apache-2.0
"""Examples in docstrings of the data package run."""

import doctest
import importlib

import pytest

MODULES = (
  "_cache_one_dataset",
  "_fid_ops",
  "_input_patterns",
  "_item_pool",
  "_negative_gen",
  "_pb_type",
  "_record_dataset",
  "_record_filters",
  "_record_labels",
  "_record_settings",
  "_record_strings",
  "_record_transforms",
  "datasets",
  "feature_list",
  "parsers",
  "transform.transforms",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
  module = importlib.import_module(f"monolith.native_training.data.{name}")
  helpers = ("parsers", "feature_utils")
  namespace = {}
  for helper in helpers:
    namespace.update(vars(importlib.import_module(f"monolith.native_training.data.{helper}")))
  namespace.update(vars(module))
  failed, tried = doctest.testmod(module, extraglobs=namespace)
  assert tried > 0 and failed == 0
