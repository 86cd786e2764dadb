# SPDX-License-Identifier: Apache-2.0
"""Samples per second of the MovieLens example's training, in this process and with parameter servers.

    python -m benchmarks.movielens.step_rate [--num_ps 0 2] [--batch_size 128] [--steps 2000]

A hook takes the time from step 100 to the last, so that building and warming up do not count. The checksum is the test
AUC of what was trained: the same for every number of parameter servers, up to the order of additions.
"""

from __future__ import annotations

import argparse
import tempfile
import time

from benchmarks import report
from examples.movielens import dataset, train
from examples.movielens.model import Settings
from examples.movielens.paths import BUNDLED_DATA
from monolith.native_training import cpu_training

import numpy as np
import tensorflow as tf

WARM_UP = 100


class Clock(tf.compat.v1.train.SessionRunHook):
  """Notes when the warm-up ended and when the last step ended."""

  def __init__(self) -> None:
    self.steps = 0
    self.started = self.ended = 0.0

  def after_run(self, run_context, run_values) -> None:
    self.steps += 1
    self.ended = time.perf_counter()
    if self.steps == WARM_UP:
      self.started = self.ended

  def rate(self, batch_size: int) -> float:
    """Samples per second after the warm-up."""
    return (self.steps - WARM_UP) * batch_size / (self.ended - self.started)


def measure(num_ps: int, batch_size: int, steps: int) -> tuple[float, float]:
  """Returns samples per second and the test AUC."""
  data = dataset.load(BUNDLED_DATA)
  clock = Clock()
  with tempfile.TemporaryDirectory() as model_dir:
    settings = Settings(batch_size=batch_size, epochs=100)
    experiment = train.Experiment(data, model_dir, num_ps, settings, steps)
    config = cpu_training.CpuTrainingConfig(num_ps=num_ps, save_checkpoints_steps=10**8)
    cpu_training.local_train_internal(
      experiment.model(), config, experiment.directory(), steps=steps, user_hooks=[clock]
    )
    return clock.rate(batch_size), train.auc(data.liked[experiment.is_test], np.asarray(experiment.predict()))


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--num_ps", type=int, nargs="+", default=[0, 2])
  parser.add_argument("--batch_size", type=int, default=128)
  parser.add_argument("--steps", type=int, default=2000)
  arguments = parser.parse_args()
  report.header("benchmarks.movielens.step_rate")
  for num_ps in arguments.num_ps:
    rate, checksum = measure(num_ps, arguments.batch_size, arguments.steps)
    print(f"num_ps {num_ps}: {rate:10.0f} samples/s   test AUC {checksum:.6f}", flush=True)


if __name__ == "__main__":
  main()
