# SPDX-License-Identifier: Apache-2.0
"""Processes that an MLP (machine learning platform) job starts: who they are, and the tf.data service among them.

The platform tells every process of its role by variables that begin with MLP_ (`MLPEnv`). `mlp_pass()` at the start of
a program makes servers of those whose role is dispatcher or dsworker, and never comes back in them; a worker waits for
them and finds the service's address in the flag `data_service_dispatcher`, for an input_fn that calls
`tf.data.experimental.service.distribute` itself: `PBDataset` does not read through a service, and refuses its glob
patterns while the flag is set.
"""

from __future__ import annotations

from monolith.native_training._mlp_env import MLPEnv, check_port
from monolith.native_training._mlp_roles import (
  EXTRA_DSWORKERS,
  add_mpi_exception_hook,
  after_create_session,
  begin,
  mlp_pass,
)

__all__ = [
  "EXTRA_DSWORKERS",
  "MLPEnv",
  "add_mpi_exception_hook",
  "after_create_session",
  "begin",
  "check_port",
  "mlp_pass",
]
