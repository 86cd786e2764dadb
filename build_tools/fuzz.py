# SPDX-License-Identifier: Apache-2.0
"""Looks for inputs that break a driver in `tests/cc/fuzz/`, with libFuzzer under AddressSanitizer.

    python build_tools/fuzz.py [--seconds N] [--minimize] [TARGET]

Starts from the inputs in `tests/cc/fuzz/corpus/TARGET`, which the C++ tests play as well. What it finds lies in
`.build/fuzz/TARGET`: new inputs in `found`, those that fail as `crash-*`. Copy an input that failed into the corpus
under a name that says what it shows, and repair the code. `--minimize` instead adds to the corpus the few found inputs
that reach code which its own do not. Needs clang with its fuzzer library (Debian: clang, libclang-rt-14-dev).
"""

from __future__ import annotations

import argparse
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "build_tools"))

import cc_tests  # noqa: E402

DRIVERS = {
  "entry_dump": "RunEntryDump",
  "table_file": "RunTableFile",
  "table_ops": "RunTableOps",
  "records": "RunRecords",
  "messages": "RunMessages",
}
CORPUS = ROOT / "tests" / "cc" / "fuzz" / "corpus"
FLAGS = [
  "-O1",
  "-g",
  "-fsanitize=fuzzer-no-link,address,undefined",
  "-fno-sanitize-recover=all",
  "-fno-omit-frame-pointer",
  "-D__SANITIZE_ADDRESS__",
]
LONGEST_INPUT = 1024  # bytes


def build(target: str) -> pathlib.Path:
  """Returns the fuzzer of a target."""
  compiler = shutil.which("clang++")
  if compiler is None:
    raise SystemExit("error: fuzzing needs clang++; install clang and its runtime library.")
  fuzz = ROOT / "tests" / "cc" / "fuzz"
  drivers = [p for p in sorted(fuzz.glob("*.cc")) if p.name not in ("fuzz_main.cc", "fuzz_test.cc")]
  work = ROOT / ".build" / "fuzz"
  objects = cc_tests.compile_all(compiler, FLAGS, cc_tests.library_sources() + drivers, work / "objects")
  entry_flags = [*FLAGS, f"-DFUZZ_DRIVER={DRIVERS[target]}"]
  objects += cc_tests.compile_all(compiler, entry_flags, [fuzz / "fuzz_main.cc"], work / target)
  program = work / target / "fuzzer"
  link = [compiler, "-fsanitize=fuzzer,address,undefined", "-pthread", *map(str, objects), "-o", str(program)]
  subprocess.run(link, check=True)
  return program


def run(target: str, seconds: int, minimize: bool) -> int:
  """Fuzzes a target, or merges what was found into its corpus; returns the fuzzer's exit status."""
  program = build(target)
  found = program.parent / "found"
  found.mkdir(exist_ok=True)
  corpus = CORPUS / target
  corpus.mkdir(exist_ok=True)
  options = [f"-max_len={LONGEST_INPUT}", f"-artifact_prefix={program.parent}/", "-print_final_stats=0"]
  if minimize:
    # What counts is the code that an input reaches, not how often it does.
    options += ["-merge=1", "-use_counters=0", str(corpus), str(found)]
  else:
    options += [f"-max_total_time={seconds}", "-timeout=60", "-len_control=0", str(found), str(corpus)]
  print(f"{target}: {'merging' if minimize else f'{seconds} seconds'}", flush=True)
  return subprocess.run([str(program), *options], cwd=ROOT).returncode


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("target", nargs="?", choices=[*DRIVERS], help="one of them instead of all")
  parser.add_argument("--seconds", type=int, default=60, help="for each target")
  parser.add_argument("--minimize", action="store_true", help="merge what was found into the corpus instead")
  arguments = parser.parse_args()
  statuses = [
    run(target, arguments.seconds, arguments.minimize)
    for target in ([arguments.target] if arguments.target else DRIVERS)
  ]
  return max(statuses)


if __name__ == "__main__":
  sys.exit(main())
