# SPDX-License-Identifier: Apache-2.0
"""Trains the benchmark's model with one peer; deepfm.py runs it in a process of its own. Prints one line of JSON.

PYTHON -m benchmarks.training.worker --peer PEER --ids N [--steps N]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from benchmarks.training import workload

WARM_UP = workload.POOL  # every batch once
# Peer: settings of our trainer.
OWN: dict[str, dict[str, Any]] = {
  "ceiling": {},
  "ours": {},
  "separate": {"fuse_lookups": False},
  "overlapped": {"embedding_prefetch_capacity": 1, "enable_embedding_postpush": True},
  "ps1": {"num_ps": 1},
  "ps2": {"num_ps": 2},
  "files": {},
  "files_ps2": {"num_ps": 2},
  "parsed": {"enable_fused_layout": False},
  "parsed_ps2": {"enable_fused_layout": False, "num_ps": 2},
}
SESSIONS = ("dense", "tfra")
KERAS = {"tf_keras": "tf_keras", "keras3": "keras"}
READER = "reader"
PEERS = (*OWN, READER, *SESSIONS, *KERAS)


def _train(peer: str, clicks: workload.Clicks, num_ids: int, steps: int) -> dict[str, Any]:
  if peer in OWN:
    from benchmarks.training import own

    return own.train(clicks, peer, WARM_UP, steps, OWN[peer])
  if peer == READER:
    from benchmarks.training import own

    return {"rate": own.read(clicks, steps), "losses": [math.nan]}
  from benchmarks.training import peers

  if peer in SESSIONS:
    rate, losses = peers.train_in_session(peer, clicks, num_ids, WARM_UP, steps)
  else:
    rate, losses = peers.train_by_fit(KERAS[peer], clicks, num_ids, WARM_UP, steps)
  return {"rate": rate, "losses": losses}


def measure(peer: str, num_ids: int, steps: int) -> dict[str, Any]:
  """What a peer gives; of its losses the mean, beside the fids and the process's greatest resident memory in bytes."""
  clicks = workload.make(num_ids)
  result = {"ops": math.nan, "start": math.nan, **_train(peer, clicks, num_ids, steps)}
  result["loss"] = statistics.fmean(result.pop("losses"))
  result["fids"] = clicks.distinct
  result["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
  return result


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--peer", choices=PEERS, required=True)
  parser.add_argument("--ids", type=int, required=True, help="ids a field")
  parser.add_argument("--steps", type=int, default=128)
  arguments = parser.parse_args()
  print(json.dumps(measure(arguments.peer, arguments.ids, arguments.steps)))


if __name__ == "__main__":
  main()
