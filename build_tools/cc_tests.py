# SPDX-License-Identifier: Apache-2.0
"""Builds and runs the C++ unit tests: plain, under AddressSanitizer and under ThreadSanitizer.

    python build_tools/cc_tests.py [--only plain|address|thread] [--filter GTEST_FILTER]

The libraries below `cc/` that need no TensorFlow are compiled with every `tests/cc/**/*.cc` into one program.
Needs GoogleTest and GoogleMock with their headers (Debian: libgtest-dev, libgmock-dev); the sanitizers need clang.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys

import build_ops

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBRARIES = ("hash_table", "distribution", "data", "layers", "losses", "dense_optimizers", "monitoring")
FLAGS = [
  "-std=c++17",
  "-pthread",
  "-fno-math-errno",
  "-fno-trapping-math",
  "-ffp-contract=off",
  "-Wall",
  "-Wextra",
  "-Werror",
]
MODES = {
  "plain": (["g++", "clang++"], ["-O3"]),
  "address": (
    ["clang++"],
    ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"],
  ),
  "thread": (["clang++"], ["-O1", "-g", "-fsanitize=thread", "-D__SANITIZE_THREAD__"]),
}


def library_sources() -> list[pathlib.Path]:
  """The C++ sources that need no TensorFlow."""
  return [
    p for name in LIBRARIES for p in sorted((ROOT / "cc" / name).rglob("*.cc")) if not p.stem.endswith("_benchmark")
  ]


def sources() -> list[pathlib.Path]:
  """What the test program is made of; the entry point of the fuzzers (build_tools/fuzz.py) would be a second one."""
  return library_sources() + [p for p in sorted((ROOT / "tests" / "cc").rglob("*.cc")) if p.name != "fuzz_main.cc"]


def compile_one(compiler: list[str], flags: list[str], source: pathlib.Path, obj: pathlib.Path) -> None:
  obj.parent.mkdir(parents=True, exist_ok=True)
  every = [*FLAGS, *flags, *build_ops.own_flags(source)]
  subprocess.run([*compiler, *every, f"-I{ROOT}", "-c", str(source), "-o", str(obj)], check=True)


def compile_all(compiler: str, flags: list[str], files: list[pathlib.Path], work: pathlib.Path) -> list[pathlib.Path]:
  """Compiles files into objects below `work`; returns the objects."""
  command = [c for c in (shutil.which("ccache"), compiler) if c]
  objects = [work / f.relative_to(ROOT).with_suffix(".o") for f in files]
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(lambda fo: compile_one(command, flags, *fo), zip(files, objects, strict=True)))
  return objects


def run_mode(mode: str, gtest_filter: str | None) -> None:
  """Builds and runs all tests in one mode; raises if either fails."""
  candidates, flags = MODES[mode]
  compiler = next((c for c in candidates if shutil.which(c)), None)
  if compiler is None:
    raise SystemExit(f"error: the {mode} run needs {' or '.join(candidates)}; install it.")
  work = ROOT / ".build" / "cc_tests" / mode
  objects = compile_all(compiler, flags, sources(), work)
  program = work / "cc_tests"
  libraries = ["-lgmock", "-lgtest", "-lgtest_main", "-ldl"]
  subprocess.run([compiler, *flags, "-pthread", *map(str, objects), *libraries, "-o", str(program)], check=True)
  arguments = [f"--gtest_filter={gtest_filter}"] if gtest_filter else []
  print(f"C++ tests, {mode}", flush=True)
  # A writer may hold 64 shards, always in one order; ThreadSanitizer's search for other orders ends at 64 locks.
  environment = {"TSAN_OPTIONS": "detect_deadlocks=0", **os.environ}
  command = [str(program), "--gtest_brief=1", *arguments]
  subprocess.run(command, check=True, timeout=900, cwd=ROOT, env=environment)


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--only", choices=sorted(MODES), help="one mode instead of all")
  parser.add_argument("--filter", help="a GoogleTest filter")
  arguments = parser.parse_args()
  for mode in [arguments.only] if arguments.only else list(MODES):
    try:
      run_mode(mode, arguments.filter)
    except subprocess.CalledProcessError as error:
      print(f"error: C++ tests, {mode}: {error.cmd[0]} failed with status {error.returncode}", file=sys.stderr)
      return 1
  return 0


if __name__ == "__main__":
  sys.exit(main())
