# SPDX-License-Identifier: Apache-2.0
"""Examples in docstrings of the data package run."""

import doctest
import importlib

import pytest

MODULES = (
  "_cache_one_dataset",
  "_input_patterns",
  "_pb_type",
  "_record_dataset",
  "datasets",
  "feature_list",
  "feature_utils",
  "parsers",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
  module = importlib.import_module(f"monolith.native_training.data.{name}")
  namespace = {**vars(importlib.import_module("monolith.native_training.data.parsers")), **vars(module)}
  failed, tried = doctest.testmod(module, extraglobs=namespace)
  assert tried > 0 and failed == 0
