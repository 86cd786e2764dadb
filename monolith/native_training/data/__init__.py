# SPDX-License-Identifier: Apache-2.0
"""Training data: sources of records, parsers into tensors, lists of features.

What the package exports is imported when it is asked for, so that names and numbers of slots need no op library.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
  "InstanceReweightDataset": "datasets",
  "NegativeGenDataset": "datasets",
  "PBDataset": "datasets",
  "PbType": "datasets",
  "feature_combine": "feature_utils",
  "filter_by_feature_value": "feature_utils",
  "filter_by_fids": "feature_utils",
  "filter_by_value": "feature_utils",
  "negative_sample": "feature_utils",
  "parse_example_batch": "parsers",
  "parse_examples": "parsers",
  "parse_instances": "parsers",
  "special_strategy": "feature_utils",
  "switch_slot": "feature_utils",
}

__all__ = sorted([*_EXPORTS, "datasets"])


def __getattr__(name: str) -> Any:
  if name == "datasets":
    return importlib.import_module(f"{__name__}.datasets")
  if name in _EXPORTS:
    return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
