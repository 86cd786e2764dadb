# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: their files, when they are written, and by whom.

A save runs in this order: guards, tables and other assets, dense variables, the state file `checkpoint` (the commit
point), pruning, listeners after the save, `monolith_checkpoint`. A process killed at any moment leaves the last
committed checkpoint loadable; what it wrote after that is deleted when the same step is saved again.
"""

from __future__ import annotations

from monolith.native_training._checkpoint_files import (
  MONOLITH_CHECKPOINT_FILE,
  SaveHelper,
  atomic_write_text,
  check_writable,
  checkpoint_to_restore,
  get_monolith_checkpoint_state,
  latest_checkpoint,
  remove_checkpoint_files,
  set_checkpoint_to_restore,
  step_of_checkpoint,
)
from monolith.native_training._checkpoint_saver import PartialRecoverySaver
from monolith.native_training._ps_monitor import PsMonitor, SaverBuilder
from monolith.native_training._save_timer import SecondOrStepTimerWithTideSetting
from monolith.native_training._saver_hook import NoFirstSaveCheckpointSaverHook

__all__ = [
  "MONOLITH_CHECKPOINT_FILE",
  "NoFirstSaveCheckpointSaverHook",
  "PartialRecoverySaver",
  "PsMonitor",
  "SaveHelper",
  "SaverBuilder",
  "SecondOrStepTimerWithTideSetting",
  "atomic_write_text",
  "check_writable",
  "checkpoint_to_restore",
  "get_monolith_checkpoint_state",
  "latest_checkpoint",
  "remove_checkpoint_files",
  "set_checkpoint_to_restore",
  "step_of_checkpoint",
]
