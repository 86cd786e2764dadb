# SPDX-License-Identifier: Apache-2.0
"""What every benchmark prints around its numbers."""

from __future__ import annotations

import os
import platform
import sys


def machine() -> str:
  """One line: processor, cores, memory, Python and TensorFlow."""
  import tensorflow as tf

  model = platform.processor() or platform.machine()
  try:
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
      model = next((line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")), model)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    memory = f"{pages / 2**30:.0f} GiB"
  except (OSError, ValueError):
    memory = "unknown memory"
  return f"{model}, {os.cpu_count()} cores, {memory}, Python {platform.python_version()}, TensorFlow {tf.__version__}"


def header(module: str) -> None:
  """Prints the command and the machine."""
  print(f"command: python -m {module} {' '.join(sys.argv[1:])}".rstrip())
  print(f"machine: {machine()}", flush=True)


def resident_bytes() -> int:
  """Resident memory of this process."""
  with open("/proc/self/statm", encoding="utf-8") as statm:
    return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def forget_peak() -> None:
  """Makes `peak_bytes` count from now on."""
  with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
    file.write("5")


def peak_bytes() -> int:
  """The most resident memory of this process since it began, or since `forget_peak`."""
  with open("/proc/self/status", encoding="utf-8") as status:
    line = next(line for line in status if line.startswith("VmHWM"))
  return int(line.split()[1]) * 1024
