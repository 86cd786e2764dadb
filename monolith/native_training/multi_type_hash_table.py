# SPDX-License-Identifier: Apache-2.0
"""Tables of many slots behind one interface."""

from __future__ import annotations

from typing import Any

from monolith.native_training._base_multi_type_hash_table import BaseMultiTypeHashTable
from monolith.native_training._merged_multi_type_hash_table import MergedMultiTypeHashTable, _IndexedValues

__all__ = ["BaseMultiTypeHashTable", "MergedMultiTypeHashTable", "_IndexedValues"]


def __getattr__(name: str) -> Any:
  if name == "MultiTypeHashTable":
    raise AttributeError(
      "multi_type_hash_table.MultiTypeHashTable (one op a slot) is not supported "
      "yet; use distributed_ps_factory.create_native_multi_hash_table."
    )
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
