# SPDX-License-Identifier: Apache-2.0
"""Compiles the C++ floors of the throughput benchmark into `.build/benchmarks`."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FLAGS = ["-std=c++17", "-O3", "-DNDEBUG", "-pthread", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
# The table chooses its instructions at run time; the floor beside it gets those of this machine too.
SWISS_FLAGS = ["-march=native"]


class FloorError(RuntimeError):
  """A floor cannot be built; the message says why and what to do."""


def _run(command: list[str], advice: str) -> None:
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode:
    raise FloorError(f"{advice}\n{done.stderr[-2000:]}")


def _compiler() -> list[str]:
  compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
  if not compiler:
    raise FloorError("no C++ compiler found; install g++.")
  return compiler.split()


def _absl_libraries() -> list[str]:
  pkg_config = shutil.which("pkg-config")
  command = [pkg_config or "pkg-config", "--libs", "absl_flat_hash_map"]
  if pkg_config and subprocess.run(command, capture_output=True, check=False).returncode == 0:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
  names = ("raw_hash_set", "hashtablez_sampler", "hash", "city", "low_level_hash")
  return [f"-labsl_{name}" for name in names]


def _compile(source: pathlib.Path, flags: list[str], out: pathlib.Path) -> pathlib.Path:
  """Compiles one file unless what went into it is as it was."""
  command = [*_compiler(), *FLAGS, *flags, f"-I{ROOT}"]
  preprocessed = subprocess.run([*command, "-E", str(source)], capture_output=True, check=False)
  if preprocessed.returncode:
    raise FloorError(f"{source.name} does not compile:\n{preprocessed.stderr.decode()[-2000:]}")
  digest = hashlib.sha256("\0".join(command).encode() + preprocessed.stdout).hexdigest()[:16]
  target = out / f"{source.stem}-{digest}.o"
  if not target.is_file():
    _run([*command, "-c", str(source), "-o", str(target)], f"{source.name} does not compile:")
  return target


def _link(objects: list[pathlib.Path], libraries: list[str], target: pathlib.Path, advice: str) -> pathlib.Path:
  _run([*_compiler(), "-pthread", *map(str, objects), *libraries, "-o", str(target)], advice)
  return target


def build_swiss() -> pathlib.Path:
  """Builds swiss_floor.cc.

  Raises:
    FloorError: Abseil's headers or libraries are missing, or the compiler is.
  """
  advice = "the swiss-table floor needs Abseil; on Debian: apt-get install libabsl-dev."
  probe = [*_compiler(), "-std=c++17", "-x", "c++", "-fsyntax-only", "-include", "absl/container/flat_hash_map.h"]
  _run([*probe, os.devnull], advice)
  out = ROOT / ".build" / "benchmarks"
  out.mkdir(parents=True, exist_ok=True)
  source = ROOT / "benchmarks" / "tables" / "swiss_floor.cc"
  return _link([_compile(source, SWISS_FLAGS, out)], _absl_libraries(), out / "swiss_floor", advice)


def build_own(program: str = "table_floor") -> pathlib.Path:
  """Builds a program of this directory with cc/hash_table.

  Raises:
    FloorError: it does not compile.
  """
  out = ROOT / ".build" / "benchmarks"
  out.mkdir(parents=True, exist_ok=True)
  ends = ("_test", "_benchmark", "_fuzzer", "_main")
  sources = [p for p in sorted((ROOT / "cc" / "hash_table").rglob("*.cc")) if not p.stem.endswith(ends)]
  sources.append(ROOT / "benchmarks" / "tables" / f"{program}.cc")
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    objects = list(pool.map(lambda source: _compile(source, [], out), sources))
  return _link(objects, [], out / program, f"{program} does not link:")
