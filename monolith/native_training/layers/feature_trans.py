# SPDX-License-Identifier: Apache-2.0
"""Layers that transform features: attention among them, a choice of their widths, weights for each."""

from __future__ import annotations

from monolith.native_training.layers._auto_int import AutoInt
from monolith.native_training.layers._irazor import iRazor
from monolith.native_training.layers._senet import SeNet

__all__ = ["AutoInt", "SeNet", "iRazor"]
