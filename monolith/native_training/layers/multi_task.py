# SPDX-License-Identifier: Apache-2.0
"""Layers that share parts among tasks: MMoE and SNR."""

from __future__ import annotations

from monolith.native_training.layers._mmoe import MMoE
from monolith.native_training.layers._snr import SNR, hard_concrete_ste

__all__ = ["MMoE", "SNR", "hard_concrete_ste"]
