# SPDX-License-Identifier: Apache-2.0
"""A job killed at any moment resumes from its last complete checkpoint, tables and dense variables of one step."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import random
import subprocess
import sys

import pytest

import monolith
from monolith.native_training import save_utils

_JOB = pathlib.Path(__file__).with_name("kill_resume_job.py")
_MAX_STEPS = 60


def _load_job():
  spec = importlib.util.spec_from_file_location("kill_resume_job", _JOB)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def _start(model_dir, num_ps):
  root = pathlib.Path(monolith.__file__).parent.parent
  path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
  return subprocess.Popen(
    [sys.executable, str(_JOB), str(model_dir), str(num_ps), str(_MAX_STEPS)],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env={**os.environ, "PYTHONPATH": path},
  )


def _step(line):
  return int(line.split()[1])


def _kill_during_training(process, rng):
  """Kills after a random number of steps; returns the step the job resumed at, None if it died before."""
  lines = rng.randint(1, 12)
  resumed = None
  for line in process.stdout:
    if line.startswith("resumed"):
      resumed = _step(line)
    lines -= 1
    if lines <= 0:
      break
  process.kill()
  return resumed


def _kill_during_save(process, rng, model_dir):
  """Kills when a new table directory has come so far in its making."""
  known = set(os.listdir(model_dir)) if model_dir.exists() else set()
  wanted = rng.choice(["directory", "table file", "dense index"])
  resumed = None
  for line in process.stdout:
    if line.startswith("resumed"):
      resumed = _step(line)
    # The step before a save is done, so one is about to begin: watch the files, not the clock.
    if line.startswith("step") and (_step(line) + 1) % 3 == 0:
      break
  while process.poll() is None and not _save_has_reached(model_dir, known, wanted):
    pass
  process.kill()
  return resumed


def _save_has_reached(model_dir, known, wanted):
  fresh = {name for name in os.listdir(model_dir) if name not in known}
  if wanted == "dense index":
    return any(name.endswith(".index") for name in fresh)
  assets = [name for name in fresh if name.endswith(".assets")]
  if wanted == "directory":
    return bool(assets)
  return any(os.listdir(model_dir / name) for name in assets)


def _check_one_step(job, model_dir, num_ps):
  """The newest checkpoint, if any, holds tables and dense variables of its own step; returns the step."""
  latest = save_utils.latest_checkpoint(str(model_dir))
  if latest is None:
    return 0
  step = save_utils.step_of_checkpoint(latest)
  (found,) = job.make_estimator(str(model_dir), num_ps).predict()
  assert found == {"lowest": step, "highest": step, "dense": step, "step": step}
  return step


@pytest.mark.slow
@pytest.mark.parametrize("num_ps, seed", [(0, 1), (2, 2)])
def test_killed_job_resumes_with_tables_and_dense_of_one_step(tmp_path, num_ps, seed):
  rng = random.Random(seed)
  job = _load_job()
  model_dir = tmp_path / "model"
  model_dir.mkdir()
  saved = 0
  for round_number in range(6):
    process = _start(model_dir, num_ps)
    if round_number % 2:
      resumed = _kill_during_training(process, rng)
    else:
      resumed = _kill_during_save(process, rng, model_dir)
    process.communicate()
    assert resumed in (None, saved), f"round {round_number} of seed {seed}"
    now_saved = _check_one_step(job, model_dir, num_ps)
    assert now_saved >= saved
    saved = now_saved
  process = _start(model_dir, num_ps)
  _, errors = process.communicate()
  assert process.returncode == 0, errors
  assert _check_one_step(job, model_dir, num_ps) == _MAX_STEPS
