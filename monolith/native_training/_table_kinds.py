# SPDX-License-Identifier: Apache-2.0
"""Which kind of tables a training goes on with."""

from __future__ import annotations

from monolith.native_training import save_utils
from monolith.native_training._training_config import CpuTrainingConfig

__all__ = ["make_config_backward_compatible"]


def make_config_backward_compatible(model_dir: str, config: CpuTrainingConfig) -> None:
  """Adapts `config` to the kind of tables that the checkpoints in `model_dir` hold.

  Raises:
    ValueError: they hold tables of another kind than `config` asks for.
  """
  state = save_utils.get_monolith_checkpoint_state(model_dir)
  # An operator may write the file to exempt checkpoints; then it says nothing of tables.
  if state is None or not state.HasField("builtin_hash_table_type"):
    return
  native = state.builtin_hash_table_type == type(state).MULTI_CUCKOO_HASH_MAP
  if config.use_native_multi_hash_table not in (None, native):
    kind = type(state).HashTableType.Name(state.builtin_hash_table_type)
    raise ValueError(
      f"the checkpoints in {model_dir} hold tables of kind {kind}, but use_native_multi_hash_table is "
      f"{config.use_native_multi_hash_table}; leave it None, or give another model_dir."
    )
  config.use_native_multi_hash_table = native
