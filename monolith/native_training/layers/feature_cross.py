# SPDX-License-Identifier: Apache-2.0
"""Layers that cross features with one another."""

from __future__ import annotations

from monolith.native_training.layers._all_int import AllInt
from monolith.native_training.layers._can import CAN
from monolith.native_training.layers._cdot import CDot
from monolith.native_training.layers._cin import CIN
from monolith.native_training.layers._dcn import DCN
from monolith.native_training.layers._group_int import GroupInt

FFM = GroupInt

__all__ = ["AllInt", "CAN", "CDot", "CIN", "DCN", "FFM", "GroupInt"]
