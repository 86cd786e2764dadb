# SPDX-License-Identifier: Apache-2.0
"""Checks everything that a machine can: `python build_tools/lint.py [--only STEP ...]`.

The steps, in order: ruff's rules, ruff's format, mypy on the package, clang-format on the C++ code, and the rules of
this house, each a function below. Every step runs even if one before it fails. Tools are taken from beside the running
Python first, then from PATH.
"""

from __future__ import annotations

import argparse
import ast
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE_SUFFIXES = frozenset([".py", ".cc", ".h", ".proto", ".sh", ".bzl"])
TEXT_SUFFIXES = SOURCE_SUFFIXES | {".md", ".toml", ".cfg", ".bazel", ".txt", ".json", ".yaml", ".yml", ""}
DATA = pathlib.PurePath("examples/movielens/data")
LONGEST_FILE = 900  # lines; a longer one holds more than one idea
PLAIN_LIBRARIES = tuple(
  f"cc/{name}" for name in ("hash_table", "distribution", "data", "layers", "losses", "dense_optimizers", "monitoring")
)

Problem = tuple[int, str]  # line, what is wrong and what to do


def _is_below(path: pathlib.PurePath, *directories: str) -> bool:
  return any(pathlib.PurePath(d) in path.parents for d in directories)


def check_license(path: pathlib.PurePath, text: str) -> Iterator[Problem]:
  """Every source that is not empty names its licence in its first two lines."""
  if path.suffix in SOURCE_SUFFIXES and text.strip():
    if not any("SPDX-License-Identifier: Apache-2.0" in line for line in text.splitlines()[:2]):
      yield 1, "no licence; make 'SPDX-License-Identifier: Apache-2.0' a comment in the first line"


def check_file_length(path: pathlib.PurePath, text: str) -> Iterator[Problem]:
  """No source is longer than LONGEST_FILE lines."""
  lines = len(text.splitlines())
  if path.suffix in SOURCE_SUFFIXES and lines > LONGEST_FILE:
    yield LONGEST_FILE + 1, f"the file has {lines} lines, more than {LONGEST_FILE}; split it"


def check_no_assert(path: pathlib.PurePath, text: str) -> Iterator[Problem]:
  """The package has no assert: `python -O` drops it, and callers need an error that says what to do."""
  if path.suffix == ".py" and _is_below(path, "monolith"):
    for node in ast.walk(ast.parse(text)):
      if isinstance(node, ast.Assert):
        yield node.lineno, "assert in the library; raise ValueError, KeyError or another error with a message"


def check_op_declarations(path: pathlib.PurePath, text: str) -> Iterator[Problem]:
  """Every op is documented and has a shape function that knows something."""
  if path.suffix != ".cc":
    return
  starts = [match.start() for match in re.finditer(r"^REGISTER_OP\(", text, re.MULTILINE)]
  for start, end in zip(starts, [*starts, len(text)][1:], strict=True):
    declaration = text[start:end]
    line = text.count("\n", 0, start) + 1
    name = declaration.split('"')[1]
    if ".Doc(" not in declaration:
      yield line, f"op {name} has no .Doc; say what it does and what each input and output is"
    if ".SetShapeFn(" not in declaration or "UnknownShape" in declaration:
      yield line, f"op {name} has no shape function; check the ranks of its inputs and set its outputs"


def check_plain_libraries(path: pathlib.PurePath, text: str) -> Iterator[Problem]:
  """The libraries below the kernels know no TensorFlow."""
  if _is_below(path, *PLAIN_LIBRARIES):
    for number, line in enumerate(text.splitlines(), 1):
      if re.match(r'\s*#\s*include\s+["<](third_party/)?(tensorflow|xla|tsl)/', line):
        yield number, "a TensorFlow header in a plain library; move the code that needs it to cc/kernels"


_HOME_PATH = re.compile(r"(?<![\w.])/(?:home|root|work|Users)/\w")


def check_no_machine_paths(path: pathlib.PurePath, text: str) -> Iterator[Problem]:
  """Nothing names a directory of one person's machine."""
  if path.suffix in TEXT_SUFFIXES:
    for number, line in enumerate(text.splitlines(), 1):
      if _HOME_PATH.search(line):
        yield number, "a path of somebody's machine; use a relative path, a temporary directory or a variable"


RULES: Sequence[Callable[[pathlib.PurePath, str], Iterator[Problem]]] = (
  check_license,
  check_file_length,
  check_no_assert,
  check_op_declarations,
  check_plain_libraries,
  check_no_machine_paths,
)


def project_files(root: pathlib.Path) -> list[pathlib.PurePath]:
  """Files that are tracked or could be, relative to `root`; without data sets."""
  command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
  listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
  paths = sorted(pathlib.PurePath(name) for name in set(listed.split("\0")) if name)
  return [p for p in paths if DATA not in p.parents and (root / p).is_file()]


def house_rules(root: pathlib.Path) -> list[str]:
  """Applies RULES to all files; returns `path:line: problem` lines."""
  problems = []
  for path in project_files(root):
    if path.suffix not in TEXT_SUFFIXES:
      continue
    try:
      text = (root / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
      continue  # a binary file without a suffix
    problems += [f"{path}:{line}: {what}" for rule in RULES for line, what in rule(path, text)]
  return problems


def _tool(name: str) -> str:
  found = shutil.which(name, path=str(pathlib.Path(sys.executable).parent)) or shutil.which(name)
  if found is None:
    raise FileNotFoundError(f"{name} is not installed; install the package with its extra: pip install -e '.[dev]'")
  return found


def _run_tool(root: pathlib.Path, name: str, *arguments: str) -> list[str]:
  finished = subprocess.run(
    [_tool(name), *arguments], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
  )
  return [] if finished.returncode == 0 else finished.stdout.splitlines()


def clang_format(root: pathlib.Path) -> list[str]:
  """Checks the format of every C++ file below cc/ and tests/cc/."""
  files = [str(p) for p in project_files(root) if p.suffix in (".cc", ".h") and _is_below(p, "cc", "tests/cc")]
  return _run_tool(root, "clang-format", "--dry-run", "--Werror", *files)


STEPS: dict[str, Callable[[pathlib.Path], list[str]]] = {
  "ruff": lambda root: _run_tool(root, "ruff", "check", "--output-format=concise", "."),
  "ruff-format": lambda root: _run_tool(root, "ruff", "format", "--check", "--output-format=concise", "."),
  "mypy": lambda root: _run_tool(root, "mypy"),
  "clang-format": clang_format,
  "house-rules": house_rules,
}


def main(arguments: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
  parser.add_argument("--only", nargs="+", choices=list(STEPS), default=list(STEPS), help="some of the steps")
  failed = []
  for name in parser.parse_args(arguments).only:
    try:
      problems = STEPS[name](ROOT)
    except FileNotFoundError as error:
      problems = [str(error)]
    print(f"{name}: {'failed' if problems else 'ok'}", flush=True)
    print("".join(f"  {problem}\n" for problem in problems), end="", flush=True)
    failed += [name] if problems else []
  return 1 if failed else 0


if __name__ == "__main__":
  sys.exit(main())
