# SPDX-License-Identifier: Apache-2.0
"""Training data: sources of records, parsers into tensors, lists of features.

What the package exports is imported when it is asked for, so that names and numbers of slots need no op library.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
  "PBDataset": "datasets",
  "PbType": "datasets",
  "parse_example_batch": "parsers",
  "parse_examples": "parsers",
  "parse_instances": "parsers",
  "switch_slot": "feature_utils",
}

__all__ = sorted([*_EXPORTS, "datasets"])


def __getattr__(name: str) -> Any:
  if name == "datasets":
    return importlib.import_module(f"{__name__}.datasets")
  if name in _EXPORTS:
    return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
