# SPDX-License-Identifier: Apache-2.0
"""Tables of many slots behind one interface."""

from __future__ import annotations

from monolith.native_training._base_multi_type_hash_table import BaseMultiTypeHashTable
from monolith.native_training._merged_multi_type_hash_table import MergedMultiTypeHashTable, _IndexedValues
from monolith.native_training._multi_type_hash_table import MultiTypeHashTable

__all__ = ["BaseMultiTypeHashTable", "MergedMultiTypeHashTable", "MultiTypeHashTable", "_IndexedValues"]
