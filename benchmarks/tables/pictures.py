# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of docs/tables.md from runs of the table: index_shape.cc, and the memory of this process.

python -m benchmarks.tables.pictures [--keys 2000000] [--out docs/pictures]

Needs matplotlib.
"""

from __future__ import annotations

import argparse
import csv
import io
import pathlib
import subprocess

import matplotlib

from benchmarks import report
from benchmarks.tables import floor, memory

import numpy as np

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402  (after the choice of what draws)

STEPS = 200
STYLE = {"svg.hashsalt": "monolith", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def index_shapes(keys: int) -> dict[str, np.ndarray]:
  """The columns of index_shape.cc, each float64 `[STEPS]`."""
  program = floor.build_own("index_shape")
  command = [str(program), str(keys), str(keys // STEPS)]
  rows = list(csv.DictReader(io.StringIO(subprocess.run(command, check=True, capture_output=True, text=True).stdout)))
  return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def save(figure: pyplot.Figure, path: pathlib.Path) -> None:
  figure.tight_layout()
  figure.savefig(path, metadata={"Date": None})
  pyplot.close(figure)
  print(path)


def draw_load(shapes: dict[str, np.ndarray], path: pathlib.Path) -> None:
  figure, (load, size) = pyplot.subplots(1, 2, figsize=(8, 2.8))
  millions = shapes["keys"] / 1e6
  load.plot(millions, shapes["load"])
  load.axhline(0.8, color="grey", linestyle=":")
  load.set(xlabel="million keys", ylabel="load of the cells", ylim=(0, 1))
  size.plot(millions, shapes["bytes_per_key"] + 4)
  size.axhline(24, color="grey", linestyle=":")
  size.set(xlabel="million keys", ylabel="bytes a key beside the entry", ylim=(0, 32))
  save(figure, path)


def draw_probes(shapes: dict[str, np.ndarray], path: pathlib.Path) -> None:
  figure, axes = pyplot.subplots(figsize=(5, 2.8))
  order = np.argsort(shapes["load"])
  for name, label in (("first", "first bucket"), ("second", "second"), ("further", "further on")):
    axes.plot(shapes["load"][order], 100 * shapes[name][order], ".", markersize=3, label=label)
  axes.set(xlabel="load of the cells", ylabel="% of lookups that end there", ylim=(0, 100))
  axes.legend(frameon=False)
  save(figure, path)


def draw_bytes(keys: int, path: pathlib.Path) -> None:
  figure, axes = pyplot.subplots(figsize=(8, 2.8))
  names = []
  for name, (optimizer, state_floats) in memory.OPTIMIZERS.items():
    for dim in (8, 16, 64):
      table = memory.make_table(dim, optimizer)
      before = report.resident_bytes()
      memory.fill(table, dim, keys)
      measured = (report.resident_bytes() - before) / keys
      state = 4 * state_floats(dim)
      at = len(names)
      axes.bar(at, 4 * dim, color="C0", label="embedding" if not names else None)
      axes.bar(at, state, bottom=4 * dim, color="C1", label="optimizer state" if not names else None)
      axes.bar(at, measured - 4 * dim - state, bottom=4 * dim + state, color="C2", label=None if names else "the rest")
      names.append(f"{name}\n{dim}")
  axes.set(ylabel=f"bytes an entry, {keys} entries")
  axes.set_xticks(range(len(names)), names)
  axes.legend(frameon=False)
  save(figure, path)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--keys", type=int, default=2_000_000)
  parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("docs/pictures"))
  arguments = parser.parse_args()
  report.header("benchmarks.tables.pictures")
  arguments.out.mkdir(parents=True, exist_ok=True)
  memory.fill(memory.make_table(4, memory.OPTIMIZERS["sgd"][0]), 4, 1000)  # what the framework allocates once
  shapes = index_shapes(arguments.keys)
  with pyplot.rc_context(STYLE):
    draw_load(shapes, arguments.out / "table_load.svg")
    draw_probes(shapes, arguments.out / "table_probes.svg")
    draw_bytes(arguments.keys // 2, arguments.out / "table_bytes.svg")
  first, further = shapes["first"].min(), shapes["further"].max()
  load, size = shapes["load"].max(), shapes["bytes_per_key"].mean()
  print(f"load at most {load:.3f}; bytes a key in the index {size:.1f} on average")
  print(f"lookups that end in the first bucket: at least {first:.3f}; behind the second: at most {further:.4f}")


if __name__ == "__main__":
  main()
