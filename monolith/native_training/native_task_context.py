# SPDX-License-Identifier: Apache-2.0
"""Who this process is in the training job: the task context.

One value per process. Code far from the trainer (metric writers, file outputs, exporters) reads it with `get()`.
"""

from __future__ import annotations

import contextlib
from typing import Iterator, NamedTuple, Optional

__all__ = ["NativeTaskContext", "get", "with_ctx"]


class NativeTaskContext(NamedTuple):
  """The identity of one process.

  Attributes:
    num_ps: number of parameter servers; 0 means that everything is local.
    ps_index: index of this parameter server; 0 on a worker.
    num_workers: number of workers, the chief included.
    worker_index: index of this worker; 0 is the chief.
    model_name: name under which the model is served.
    sync_backend: where online servers are looked up, or None.
    server_type: "worker" or "ps"; "" outside a training job.
  """

  num_ps: int
  ps_index: int
  num_workers: int
  worker_index: int
  model_name: str
  sync_backend: Optional[object]
  server_type: str


_CTX: Optional[NativeTaskContext] = None


@contextlib.contextmanager
def with_ctx(ctx: NativeTaskContext) -> Iterator[None]:
  """Makes `ctx` the process' context inside the `with` block; blocks nest.

  Leaving the outermost block keeps the last context: metrics that are emitted while the process exits still read it.
  """
  global _CTX
  old_ctx = _CTX
  _CTX = ctx
  try:
    yield
  finally:
    if old_ctx is not None:
      _CTX = old_ctx


def get() -> NativeTaskContext:
  """The current context, or that of a lone local worker when none was entered."""
  if _CTX is None:
    return NativeTaskContext(
      num_ps=0,
      ps_index=0,
      num_workers=1,
      worker_index=0,
      model_name="",
      sync_backend=None,
      server_type="",
    )
  return _CTX
