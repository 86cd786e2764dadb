# SPDX-License-Identifier: Apache-2.0
"""What the environment of an MLP job says about this process and the others, and waiting for them."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
from absl import logging

from monolith.native_training import distribution_utils, net_utils

__all__ = ["MLPEnv", "check_port"]

_DEFAULT_PORT = 2222
_PROFILER_PORT = 6666
_DISPATCHER = "grpc://localhost:5050"  # where the platform has one that it says nothing of
_PAUSE_SECONDS = 5.0
_RETRY_SECONDS = 0.1
_GONE_SECONDS = 60.0  # that a process may be silent before it counts as gone


def check_port(
  host: str,
  port: int,
  timeout: float = 1,
  clock: Callable[[], float] = time.monotonic,
  pause: Callable[[float], Any] = time.sleep,
) -> bool:
  """Whether somebody accepts connections at an address.

  Args:
    host: a name or an address, IPv6 with or without brackets.
    port: the port.
    timeout: seconds; until they are over a refused connection is tried again.
    clock: seconds since some fixed moment.
    pause: waits so many seconds.
  """
  host = host.strip("[]")
  family = socket.AF_INET6 if ":" in host else socket.AF_INET
  deadline = clock() + timeout
  while True:
    left = deadline - clock()
    if left <= 0:
      return False
    try:
      with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(left)
        probe.connect((host, int(port)))
        return True
    except TimeoutError:
      return False
    except OSError:
      pass  # nobody there yet
    pause(min(_RETRY_SECONDS, left))


def _local_host() -> str:
  """The address of this machine, as the platform gives it or else as the network does."""
  cloud = os.environ.get("CLOUDNATIVE_INET_ADDR", "").split(",")[0].strip()
  return cloud or os.environ.get("YARN_INET_ADDR", "") or net_utils.get_local_ip()


def _number(text: str | None) -> Any:
  """An amount: an int if it is one (0 if there is none), else the text, such as 64Gi."""
  return int(text or 0) if (text or "0").isdigit() else text


class MLPEnv:
  """This process of an MLP job, and the addresses of the others.

  Roles are any names, in any case: `worker`, `ps`, `dispatcher`, `dsworker`. Where a role or an index may be left out,
  it is that of this process; of another role it is the first process. A worker that mpirun started is numbered by its
  rank: machines have as many of them as mpirun says, at consecutive ports from that of worker 0 on.

  Args:
    clock: seconds since some fixed moment.
    pause: waits so many seconds.

  Attributes:
    framework, ssh_port, log_path, debug_port, entrypoint_dir, task_cmd: MLP_FRAMEWORK and so on; None where not set.
      Ports are ints.
    role: MLP_ROLE in upper case, "" outside a job.
    all_roles: {role: number of its processes}, of MLP_<ROLE>_NUM.
    index: of this process within its role.
    port: that this process should serve at.
    avaiable: whether this is an MLP job. (The name is the interface's.)
    cpu, gpu, mem: amounts, of MLP_CPU and so on; an int, or text if it has a unit.
    gpu_type: MLP_GPU_TYPE.
    host: address of this machine.

  Raises:
    ValueError: a variable that should be a number is none.
  """

  def __init__(self, clock: Callable[[], float] = time.monotonic, pause: Callable[[float], Any] = time.sleep):
    self._clock = clock
    self._pause = pause
    self._mlp_env: Mapping[str, str] = {k: v for k, v in os.environ.items() if k.startswith(("MLP_", "MPI_"))}
    self._profiler_started = False
    self.framework = self._get("MLP_FRAMEWORK")
    self.ssh_port = self._get_int("MLP_SSH_PORT", None)
    self.log_path = self._get("MLP_LOG_PATH")
    self.debug_port = self._get_int("MLP_DEBUG_PORT", None)
    self.entrypoint_dir = self._get("MLP_ENTRYPOINT_DIR")
    self.task_cmd = self._get("MLP_TASK_CMD")
    self.role = (self._get("MLP_ROLE") or "").upper()
    self.all_roles: dict[str, int] = {}
    for name in self._mlp_env:
      if match := re.fullmatch(r"MLP_(\w+)_NUM", name):
        self.all_roles[match[1].upper()] = self._get_int(name, 0)
    port = self._get_int("MLP_PORT", _DEFAULT_PORT)
    if self.enable_mpi:
      self.index = distribution_utils.get_mpi_rank()
      self.all_roles["WORKER"] = distribution_utils.get_mpi_size()
      self.port = port + self.index
    else:
      self.index = self._get_int("MLP_ROLE_INDEX", 0)
      self.port = port
    self.avaiable = bool(self._mlp_env) and bool(self.all_roles)
    self.cpu = _number(self._get("MLP_CPU"))
    self.gpu = _number(self._get("MLP_GPU"))
    self.gpu_type = self._get("MLP_GPU_TYPE")
    self.mem = _number(self._get("MLP_MEM"))
    self.host = _local_host()

  @property
  def enable_mpi(self) -> bool:
    """Whether this process is a worker that mpirun started."""
    return "OMPI_COMM_WORLD_RANK" in os.environ and self.role == "WORKER"

  def _get(self, name: str, default: str | None = None) -> str | None:
    value = self._mlp_env.get(name)
    return default if value is None else value.strip().strip("'\"")

  def _get_int(self, name: str, default: Any) -> Any:
    text = self._get(name)
    if not text:
      return default
    try:
      return int(text)
    except ValueError as error:
      raise ValueError(f"environment variable {name} is {text!r}; it must be an integer.") from error

  def _role(self, role: str | None) -> str:
    return (role or self.role).upper()

  def _is_mpi_worker(self, role: str) -> bool:
    return self.enable_mpi and role == "WORKER"

  def _index(self, role: str, index: int | None) -> int:
    if index is not None:
      return index
    return self.index if role == self.role else 0

  def num_replicas(self, role: str | None = None) -> int:
    """Number of processes of a role; 0 if there are none."""
    role = self._role(role)
    if self._is_mpi_worker(role):
      return distribution_utils.get_mpi_size()
    return self._get_int(f"MLP_{role}_NUM", 0)

  def get_all_host(self, role: str | None = None, is_primary: bool = True) -> str | None:
    """Hosts of a role's processes, as the platform writes them; None if it does not."""
    return self._get(f"MLP_{self._role(role)}_ALL_{'PRIMARY_' if is_primary else ''}HOSTS")

  def get_all_addrs(self, role: str | None = None, is_primary: bool = True) -> list[str]:
    """Addresses `host:port` of a role's processes; none if the platform does not say."""
    addrs = self._get(f"MLP_{self._role(role)}_ALL_{'PRIMARY_' if is_primary else ''}ADDRS") or ""
    return [addr.strip() for addr in addrs.split(",") if addr.strip()]

  def get_host(self, role: str | None = None, index: int | None = None, is_primary: bool = True) -> str | None:
    """Host of a process; None if the platform does not say."""
    role = self._role(role)
    index = self._index(role, index)
    if self._is_mpi_worker(role):
      index //= distribution_utils.get_mpi_local_size()
    return self._get(f"MLP_{role}_{index}_{'PRIMARY_' if is_primary else ''}HOST")

  def get_port(self, role: str | None = None, index: int | None = None) -> int:
    """Port of a process; 2222 if the platform does not say."""
    role = self._role(role)
    index = self._index(role, index)
    if self._is_mpi_worker(role):
      return self._get_int(f"MLP_{role}_0_PORT", _DEFAULT_PORT) + index
    return self._get_int(f"MLP_{role}_{index}_PORT", _DEFAULT_PORT)

  def get_addr(self, role: str | None = None, index: int | None = None, is_primary: bool = True) -> str | None:
    """Address `host:port` of a process; None if the platform does not say both."""
    role = self._role(role)
    index = self._index(role, index)
    host = self.get_host(role, index, is_primary)
    port_index = 0 if self._is_mpi_worker(role) else index
    if not host or not self._get(f"MLP_{role}_{port_index}_PORT"):
      return None
    return net_utils.concat_ip_and_port(host.strip("[]"), self.get_port(role, index))

  def dispatcher_target(self, role: str | None = None) -> str:
    """The tf.data service, as `distribute` takes it."""
    addr = self.dispatcher_addr(role)
    return f"grpc://{addr}" if addr else _DISPATCHER

  def dispatcher_addr(self, role: str | None = None) -> str | None:
    """Address `host:port` of the dispatcher of the tf.data service; None if there is none."""
    return self.get_addr(role or "dispatcher", 0)

  def wait(self, role: str | None = None, index: int = 0, timeout: float = -1, use_ssh: bool = True) -> bool:
    """Waits until a process answers.

    Args:
      role: its role.
      index: its index.
      timeout: seconds; negative to wait for ever.
      use_ssh: asks the machine's ssh port, which answers before the process serves, instead of the process' port.

    Returns:
      Whether it answered in time.

    Raises:
      ValueError: the platform does not say where it is.
    """
    host, port = self._where(role, index, use_ssh)
    begun = self._clock()
    while not self._answers(host, port, 1):
      if 0 <= timeout <= self._clock() - begun:
        logging.warning("%s:%d did not answer for %.0f seconds.", host, port, timeout)
        return False
      logging.log_every_n_seconds(logging.INFO, "Waiting for %s:%d.", 60, host, port)
      self._pause(_PAUSE_SECONDS)
    return True

  def join(self, role: str = "worker", index: int = 0, use_ssh: bool = True) -> None:
    """Waits until a process has come and gone, then ends this one, with status 0 and without clean-up.

    Raises:
      ValueError: the platform does not say where it is.
    """
    self.wait(role, index, use_ssh=use_ssh)
    host, port = self._where(role, index, use_ssh)
    while self._answers(host, port, _GONE_SECONDS):
      self._pause(_PAUSE_SECONDS)
    logging.info("%s:%d has gone, and so does this process.", host, port)
    if self._profiler_started:
      try:
        tf.profiler.experimental.stop()
      except tf.errors.UnavailableError:
        pass  # nobody profiles at the moment
    logging.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)

  def _where(self, role: str | None, index: int, use_ssh: bool) -> tuple[str, int]:
    role = self._role(role)
    host = self.get_host(role, index)
    if not host:
      raise ValueError(
        f"MLP_{role}_{index}_PRIMARY_HOST is not set, so nobody knows where {role} {index} is; give the job that role, "
        "or set the variable to its host."
      )
    if use_ssh and self.ssh_port is None:
      raise ValueError("MLP_SSH_PORT is not set; pass use_ssh=False to ask the process' own port.")
    return host, self.ssh_port if use_ssh else self.get_port(role, index)

  def _answers(self, host: str, port: int, timeout: float) -> bool:
    return check_port(host, port, timeout, self._clock, self._pause)

  @property
  def queue_device(self) -> str:
    """Where queues that all processes share belong."""
    if self.num_replicas("ps") > 0:
      return "/job:ps/task:0/device:CPU:0"
    if self.num_replicas("worker") > 0 and not self.enable_mpi:
      return "/job:worker/task:0/device:CPU:0"
    return "/device:CPU:0"

  def start_profiler(self, port: int = _PROFILER_PORT) -> None:
    """Starts a profiler server, at consecutive ports for the processes of one mpirun; for `profiler_trace`."""
    tf.profiler.experimental.server.start(self._profiler_port(self.role, port, self.index))
    self._profiler_started = True

  def _profiler_port(self, role: str, port: int, index: int) -> int:
    return port + index if self._is_mpi_worker(role) else port

  def profiler_trace(
    self,
    role: str = "worker",
    index: int = -1,
    host_tracer_level: int = 2,
    python_tracer_level: int = 0,
    device_tracer_level: int = 1,
    delay_ms: int | None = None,
    duration_ms: int = 1000,
    logdir: str | None = None,
    port: int = _PROFILER_PORT,
  ) -> None:
    """Has processes that started a profiler trace what they do.

    Args:
      role: their role.
      index: that of one process; negative for all.
      host_tracer_level, python_tracer_level, device_tracer_level, delay_ms: see `ProfilerOptions`.
      duration_ms: how long.
      logdir: where traces go; MLP_LOG_PATH by default.
      port: that of `start_profiler`.

    Raises:
      ValueError: the platform does not say where a process is, or neither logdir nor MLP_LOG_PATH is given.
    """
    logdir = logdir or self.log_path
    if not logdir:
      raise ValueError("profiler_trace: pass a logdir, as MLP_LOG_PATH is not set.")
    indices = range(self.num_replicas(role)) if index < 0 else [index]
    if not indices:
      raise ValueError(
        f"profiler_trace: MLP_{self._role(role)}_NUM is not set, so there is nobody to trace; name a role of the job "
        f"({', '.join(sorted(self.all_roles)) or 'it has none'}), or pass an index."
      )
    addrs = []
    for i in indices:
      host, _ = self._where(role, i, use_ssh=False)
      addr = net_utils.concat_ip_and_port(host, self._profiler_port(self._role(role), port, i))
      addrs.append(f"grpc://{addr}")
    options = tf.profiler.experimental.ProfilerOptions(
      host_tracer_level=host_tracer_level,
      python_tracer_level=python_tracer_level,
      device_tracer_level=device_tracer_level,
      delay_ms=delay_ms,
    )
    tf.profiler.experimental.client.trace(",".join(addrs), logdir, duration_ms, options=options)
