# SPDX-License-Identifier: Apache-2.0
"""The modes that a layer may be fixed to when it is made."""

from __future__ import annotations

TRAIN = "train"
MODES = (TRAIN, "eval", "infer")


def check_mode(owner: str, mode: str) -> str:
  """Returns `mode`.

  Raises:
    ValueError: it is none of MODES.
  """
  if mode not in MODES:
    raise ValueError(f"{owner}: mode is {mode!r}; it must be one of {', '.join(MODES)}.")
  return mode
