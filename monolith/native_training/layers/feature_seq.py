# SPDX-License-Identifier: Apache-2.0
"""What a user did, as a sequence, seen from the item at hand: DIN, DIEN and DMR_U2I."""

from __future__ import annotations

from monolith.native_training.layers._dien import DIEN
from monolith.native_training.layers._din import DIN
from monolith.native_training.layers._dmr import DMR_U2I

__all__ = ["DIEN", "DIN", "DMR_U2I"]
