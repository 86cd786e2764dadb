# SPDX-License-Identifier: Apache-2.0
"""Trains the small FFM model in this process.

python -m monolith.native_training.demo [--num_ps=2] [--model_dir=/tmp/demo] [--steps=100]
"""

from __future__ import annotations

import os
import tempfile
from typing import Any, Dict, List

from absl import app, flags

from monolith.native_training import cpu_training
from monolith.native_training.model import FFMParams

_DEFAULTS: Dict[str, Any] = {
  "num_ps": (flags.DEFINE_integer, 0, "In-process parameter servers; 0 keeps the tables in this process."),
  "model_dir": (flags.DEFINE_string, os.path.join(tempfile.gettempdir(), "monolith_demo"), "Checkpoints go there."),
  "steps": (flags.DEFINE_integer, 100, "Steps to train."),
}


def define_flags() -> None:
  """Defines the demo's flags, but for those that a program around it has defined."""
  for name, (define, default, text) in _DEFAULTS.items():
    if name not in flags.FLAGS:
      define(name, default, text)


def main(argv: List[str]) -> None:
  """Trains by the flags.

  Raises:
    app.UsageError: there are other arguments.
  """
  if len(argv) > 1:
    raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
  settings = flags.FLAGS
  estimator = cpu_training.local_train(
    FFMParams().task(), num_ps=settings.num_ps, model_dir=settings.model_dir, steps=settings.steps
  )
  if estimator is not None:
    print(f"trained {settings.steps} steps; the checkpoint is {estimator.latest_checkpoint()}")


if __name__ == "__main__":
  define_flags()
  app.run(main)
