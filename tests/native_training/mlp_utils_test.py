# SPDX-License-Identifier: Apache-2.0
"""Processes of an MLP job: who they are, whom they wait for, and what they serve."""

from __future__ import annotations

import os
import socket
import sys
import types

import pytest
from absl import flags
from absl.testing import flagsaver
from tensorflow.data.experimental import service as dsvc

from monolith.native_training import _estimator_inputs, _mlp_roles, distribution_utils, mlp_utils, net_utils

import tensorflow as tf  # isort: skip

PREFIXES = ("MLP_", "MPI_", "OMPI_", "CLOUDNATIVE_", "YARN_")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
  """No variable of a job but those that a test sets."""
  for name in list(os.environ):
    if name.startswith(PREFIXES):
      monkeypatch.delenv(name)
  monkeypatch.setenv("CLOUDNATIVE_INET_ADDR", "127.0.0.1")

  def set_all(**variables):
    for name, value in variables.items():
      monkeypatch.setenv(name, str(value))

  return set_all


class _Time:
  """A clock that pauses move."""

  def __init__(self):
    self.now, self.pauses = 0.0, []

  def clock(self):
    return self.now

  def pause(self, seconds):
    self.pauses.append(seconds)
    self.now += seconds

  @property
  def arguments(self):
    return {"clock": self.clock, "pause": self.pause}


@pytest.fixture
def listening():
  with socket.create_server(("127.0.0.1", 0)) as server:
    yield server.getsockname()[1]


@pytest.fixture
def closed():
  with socket.socket() as unused:
    unused.bind(("127.0.0.1", 0))
    yield unused.getsockname()[1]  # bound, and nobody listens


class TestCheckPort:
  def test_who_listens_answers(self, listening):
    assert mlp_utils.check_port("127.0.0.1", listening)

  @pytest.mark.parametrize("host", ["::1", "[::1]"])
  def test_ipv6(self, host):
    try:
      server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
      pytest.skip("no IPv6 here")
    with server:
      assert mlp_utils.check_port(host, server.getsockname()[1])

  def test_refused_connections_are_tried_until_the_time_is_over(self, closed):
    time = _Time()
    assert not mlp_utils.check_port("127.0.0.1", closed, 0.35, **time.arguments)
    assert time.now == pytest.approx(0.35) and len(time.pauses) == 4

  def test_who_comes_in_time_is_found(self, monkeypatch):
    time = _Time()

    def connect(self, address):
      if len(time.pauses) < 2:
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    assert mlp_utils.check_port("127.0.0.1", 1, 10, **time.arguments)
    assert len(time.pauses) == 2

  def test_silence_is_no_answer(self, monkeypatch):
    def connect(self, address):
      raise TimeoutError

    monkeypatch.setattr(socket.socket, "connect", connect)
    time = _Time()
    assert not mlp_utils.check_port("127.0.0.1", 1, 10, **time.arguments)
    assert time.pauses == []

  def test_no_time_is_no_answer(self):
    assert not mlp_utils.check_port("127.0.0.1", 1, 0)


JOB = {
  "MLP_FRAMEWORK": "TensorFlow",
  "MLP_SSH_PORT": "22",
  "MLP_LOG_PATH": "'logs'",
  "MLP_DEBUG_PORT": "3333",
  "MLP_ENTRYPOINT_DIR": "src",
  "MLP_TASK_CMD": '"python run.py"',
  "MLP_ROLE": "worker",
  "MLP_ROLE_INDEX": "1",
  "MLP_PORT": "7001",
  "MLP_CPU": "8",
  "MLP_GPU": "2",
  "MLP_GPU_TYPE": "A100",
  "MLP_MEM": "64Gi",
  "MLP_WORKER_NUM": "2",
  "MLP_PS_NUM": "1",
  "MLP_DISPATCHER_NUM": "1",
  "MLP_WORKER_ALL_PRIMARY_HOSTS": "w0,w1",
  "MLP_WORKER_ALL_HOSTS": "v0,v1",
  "MLP_WORKER_ALL_PRIMARY_ADDRS": "w0:7000, w1:7001",
  "MLP_WORKER_ALL_ADDRS": "v0:7000,v1:7001",
  "MLP_WORKER_0_PRIMARY_HOST": "w0",
  "MLP_WORKER_0_HOST": "v0",
  "MLP_WORKER_0_PORT": "7000",
  "MLP_WORKER_1_PRIMARY_HOST": "w1",
  "MLP_WORKER_1_PORT": "7001",
  "MLP_PS_0_PRIMARY_HOST": "[fd00::1]",
  "MLP_PS_0_PORT": "8000",
  "MLP_DISPATCHER_0_PRIMARY_HOST": "d0",
  "MLP_DISPATCHER_0_PORT": "9000",
}


class TestEnv:
  def test_no_job(self):
    env = mlp_utils.MLPEnv()
    assert not env.avaiable and not env.enable_mpi
    assert (env.role, env.index, env.all_roles, env.port) == ("", 0, {}, 2222)
    assert (env.cpu, env.gpu, env.mem, env.ssh_port) == (0, 0, 0, None)
    assert env.dispatcher_target() == "grpc://localhost:5050" and env.dispatcher_addr() is None
    assert env.queue_device == "/device:CPU:0"
    assert env.get_all_addrs("worker") == [] and env.get_all_host("worker") is None and env.num_replicas("worker") == 0

  def test_this_process(self, environment):
    environment(**JOB)
    env = mlp_utils.MLPEnv()
    assert env.avaiable and not env.enable_mpi
    assert (env.framework, env.log_path, env.entrypoint_dir, env.task_cmd) == (
      "TensorFlow", "logs", "src", "python run.py"
    )  # fmt: skip
    assert (env.ssh_port, env.debug_port, env.port) == (22, 3333, 7001)
    assert (env.role, env.index) == ("WORKER", 1)
    assert env.all_roles == {"WORKER": 2, "PS": 1, "DISPATCHER": 1}
    assert (env.cpu, env.gpu, env.gpu_type, env.mem) == (8, 2, "A100", "64Gi")

  def test_the_others(self, environment):
    environment(**JOB)
    env = mlp_utils.MLPEnv()
    assert env.num_replicas() == 2 and env.num_replicas("ps") == 1 and env.num_replicas("none") == 0
    assert env.get_all_host() == "w0,w1" and env.get_all_host("worker", is_primary=False) == "v0,v1"
    assert env.get_all_addrs() == ["w0:7000", "w1:7001"]
    assert env.get_all_addrs("Worker", is_primary=False) == ["v0:7000", "v1:7001"]
    assert env.get_host() == "w1" and env.get_host(index=0) == "w0" and env.get_host(index=0, is_primary=False) == "v0"
    assert env.get_host(is_primary=False) is None
    assert env.get_addr() == "w1:7001" and env.get_addr("worker", 0) == "w0:7000"
    assert env.get_addr("worker", 0, is_primary=False) == "v0:7000"
    assert env.get_addr("worker", 2) is None
    # Of another role it is the first, whatever the index of this one.
    assert env.get_addr("ps") == "[fd00::1]:8000"
    assert env.dispatcher_addr() == "d0:9000" and env.dispatcher_target() == "grpc://d0:9000"
    assert env.dispatcher_addr("ps") == "[fd00::1]:8000"

  def test_ports_are_ints(self, environment):
    environment(**JOB)
    env = mlp_utils.MLPEnv()
    ports = [env.get_port(), env.get_port("ps"), env.get_port("worker", 7)]
    assert ports == [7001, 8000, 2222] and all(type(port) is int for port in ports)

  def test_an_address_needs_a_host_and_a_port(self, environment):
    environment(MLP_PS_0_PRIMARY_HOST="h", MLP_DISPATCHER_0_PORT="1")
    env = mlp_utils.MLPEnv()
    assert env.get_addr("ps", 0) is None and env.get_addr("dispatcher", 0) is None

  @pytest.mark.parametrize("name", ["MLP_PORT", "MLP_ROLE_INDEX", "MLP_WORKER_NUM", "MLP_SSH_PORT"])
  def test_what_is_no_number_is_named(self, environment, name):
    environment(**JOB)
    environment(**{name: "many"})
    with pytest.raises(ValueError, match=f"environment variable {name} is 'many'; it must be an integer"):
      mlp_utils.MLPEnv()

  def test_workers_of_mpirun(self, environment):
    environment(**JOB)
    environment(OMPI_COMM_WORLD_RANK=5, OMPI_COMM_WORLD_SIZE=8, OMPI_COMM_WORLD_LOCAL_SIZE=4)
    environment(MLP_PORT=7000)
    env = mlp_utils.MLPEnv()
    assert env.enable_mpi and (env.index, env.port) == (5, 7005)
    assert env.all_roles["WORKER"] == env.num_replicas() == 8 and env.num_replicas("ps") == 1
    assert env.get_port() == 7005 and env.get_port(index=3) == 7003 and env.get_port("ps") == 8000
    # Ranks 4 to 7 are on the second machine.
    assert [env.get_addr(index=rank) for rank in (0, 3, 4)] == ["w0:7000", "w0:7003", "w1:7004"]
    assert env.get_addr() == "w1:7005"

  def test_others_of_mpirun_are_no_workers(self, environment):
    environment(**JOB)
    environment(OMPI_COMM_WORLD_RANK=5, MLP_ROLE="ps")
    env = mlp_utils.MLPEnv()
    assert not env.enable_mpi and env.index == 1 and env.num_replicas("worker") == 2

  @pytest.mark.parametrize(
    "variables, device",
    [
      ({"MLP_PS_NUM": 2, "MLP_WORKER_NUM": 2}, "/job:ps/task:0/device:CPU:0"),
      ({"MLP_WORKER_NUM": 2}, "/job:worker/task:0/device:CPU:0"),
      ({"MLP_WORKER_NUM": 2, "OMPI_COMM_WORLD_RANK": 1, "MLP_ROLE": "worker"}, "/device:CPU:0"),
      ({"MLP_PS_NUM": 0, "MLP_OTHER_NUM": 2}, "/device:CPU:0"),
    ],
  )
  def test_queue_device(self, environment, variables, device):
    environment(**variables)
    assert mlp_utils.MLPEnv().queue_device == device

  @pytest.mark.parametrize(
    "cloud, yarn, host",
    [("1.2.3.4,5.6.7.8", "9.9.9.9", "1.2.3.4"), ("", "9.9.9.9", "9.9.9.9"), ("", "", net_utils.get_local_ip())],
  )
  def test_host(self, environment, cloud, yarn, host):
    environment(CLOUDNATIVE_INET_ADDR=cloud, YARN_INET_ADDR=yarn)
    assert mlp_utils.MLPEnv().host == host


class _Exit(BaseException):
  pass


@pytest.fixture
def exits(monkeypatch):
  """os._exit raises, and says its status."""

  def exit_now(status):
    raise _Exit(status)

  monkeypatch.setattr(os, "_exit", exit_now)


class _Port:
  """Answers of ports, one after the other; a no takes all the time that there is."""

  def __init__(self, monkeypatch, answers):
    self.asked, answers = [], iter(answers)

    def check_port(host, port, timeout, clock, pause):
      self.asked.append((host, port, timeout))
      is_there = next(answers)
      if not is_there:
        pause(timeout)
      return is_there

    monkeypatch.setattr("monolith.native_training._mlp_env.check_port", check_port)


class TestWaiting:
  @pytest.fixture(autouse=True)
  def _job(self, environment):
    environment(**JOB)

  def test_until_it_answers(self, monkeypatch):
    time = _Time()
    port = _Port(monkeypatch, [False, False, True])
    assert mlp_utils.MLPEnv(**time.arguments).wait("ps", 0)
    assert port.asked == [("[fd00::1]", 22, 1)] * 3
    assert time.pauses == [1, 5, 1, 5]

  def test_not_longer_than_the_timeout(self, monkeypatch):
    time = _Time()
    port = _Port(monkeypatch, [False] * 10)
    assert not mlp_utils.MLPEnv(**time.arguments).wait(index=0, timeout=10, use_ssh=False)
    assert port.asked == [("w0", 7000, 1)] * 3 and time.now == 13

  def test_a_real_port(self, environment, listening):
    environment(MLP_WORKER_0_PRIMARY_HOST="127.0.0.1", MLP_WORKER_0_PORT=listening)
    assert mlp_utils.MLPEnv().wait(use_ssh=False)

  def test_unknown_places_are_refused(self, monkeypatch):
    with pytest.raises(ValueError, match="MLP_WORKER_7_PRIMARY_HOST is not set"):
      mlp_utils.MLPEnv().wait("worker", 7)
    monkeypatch.delenv("MLP_SSH_PORT")
    with pytest.raises(ValueError, match="MLP_SSH_PORT is not set; pass use_ssh=False"):
      mlp_utils.MLPEnv().wait("worker", 0)

  def test_join_ends_the_process_when_the_other_has_gone(self, monkeypatch, exits):
    time = _Time()
    port = _Port(monkeypatch, [False, True, True, True, False])
    with pytest.raises(_Exit, match="0"):
      mlp_utils.MLPEnv(**time.arguments).join()
    assert port.asked == [("w0", 22, 1)] * 2 + [("w0", 22, 60)] * 3
    assert time.now == 1 + 5 + 5 + 5 + 60

  @pytest.mark.parametrize("error", [None, tf.errors.UnavailableError(None, None, "nothing runs")])
  def test_join_stops_the_profiler(self, monkeypatch, exits, error):
    stopped = []

    def stop():
      stopped.append(1)
      if error:
        raise error

    monkeypatch.setattr(tf.profiler.experimental, "stop", stop)
    monkeypatch.setattr(tf.profiler.experimental.server, "start", lambda port: None)
    for starts in (False, True):
      _Port(monkeypatch, [True, False])
      env = mlp_utils.MLPEnv(**_Time().arguments)
      if starts:
        env.start_profiler()
      with pytest.raises(_Exit):
        env.join("worker", 0)
      assert len(stopped) == starts


class TestProfiler:
  @pytest.fixture(autouse=True)
  def _job(self, environment):
    environment(**JOB)

  @pytest.fixture
  def traces(self, monkeypatch):
    traces = []
    monkeypatch.setattr(tf.profiler.experimental.client, "trace", lambda *args, options: traces.append((args, options)))
    return traces

  @pytest.mark.parametrize("variables, port", [({}, 6666), ({"OMPI_COMM_WORLD_RANK": 3}, 6669)])
  def test_port(self, environment, monkeypatch, variables, port):
    environment(**variables)
    ports = []
    monkeypatch.setattr(tf.profiler.experimental.server, "start", ports.append)
    mlp_utils.MLPEnv().start_profiler()
    assert ports == [port]

  def test_trace_of_all_and_of_one(self, traces):
    env = mlp_utils.MLPEnv()
    env.profiler_trace(duration_ms=500)
    env.profiler_trace("ps", 0, host_tracer_level=3, delay_ms=10, logdir="there")
    assert traces[0][0] == ("grpc://w0:6666,grpc://w1:6666", "logs", 500)
    assert traces[1][0] == ("grpc://[fd00::1]:6666", "there", 1000)
    assert (traces[0][1].host_tracer_level, traces[0][1].device_tracer_level, traces[0][1].delay_ms) == (2, 1, None)
    assert (traces[1][1].host_tracer_level, traces[1][1].delay_ms) == (3, 10)

  def test_ranks_have_ports_of_their_own(self, environment, traces):
    environment(OMPI_COMM_WORLD_RANK=0, OMPI_COMM_WORLD_SIZE=2, OMPI_COMM_WORLD_LOCAL_SIZE=2)
    mlp_utils.MLPEnv().profiler_trace()
    assert traces[0][0][0] == "grpc://w0:6666,grpc://w0:6667"

  def test_what_is_missing_is_named(self, monkeypatch, traces):
    env = mlp_utils.MLPEnv()
    with pytest.raises(ValueError, match="MLP_OTHER_NUM is not set"):
      env.profiler_trace("other")
    with pytest.raises(ValueError, match="MLP_PS_3_PRIMARY_HOST is not set"):
      env.profiler_trace("ps", 3)
    monkeypatch.delenv("MLP_LOG_PATH")
    with pytest.raises(ValueError, match="pass a logdir, as MLP_LOG_PATH is not set"):
      mlp_utils.MLPEnv().profiler_trace()


class TestMpiExceptionHook:
  @pytest.fixture(autouse=True)
  def _hook(self, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)

  def test_without_mpirun_nothing_changes(self):
    mlp_utils.add_mpi_exception_hook()
    assert sys.excepthook is sys.__excepthook__

  def test_without_the_package_it_is_named(self, environment, monkeypatch):
    environment(OMPI_COMM_WORLD_RANK=1)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match="needs the package mpi4py; pip install mpi4py"):
      mlp_utils.add_mpi_exception_hook()

  @pytest.mark.parametrize("previous_fails", [False, True])
  def test_an_error_ends_all_ranks(self, environment, monkeypatch, capsys, previous_fails):
    environment(OMPI_COMM_WORLD_RANK=1)
    statuses, seen = [], []
    mpi = types.SimpleNamespace(COMM_WORLD=types.SimpleNamespace(Abort=statuses.append))
    monkeypatch.setitem(sys.modules, "mpi4py", types.SimpleNamespace(MPI=mpi))
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", mpi)

    def previous(*error):
      seen.append(error)
      if previous_fails:
        raise RuntimeError("no terminal")

    monkeypatch.setattr(sys, "excepthook", previous)
    mlp_utils.add_mpi_exception_hook()
    error = ValueError("bad batch")
    try:
      sys.excepthook(ValueError, error, None)
    except RuntimeError:
      assert previous_fails
    assert statuses == [1] and seen == [(ValueError, error, None)]
    assert "Rank 1 failed with ValueError: bad batch" in capsys.readouterr().err


def _dispatcher_flag():
  return flags.FLAGS["data_service_dispatcher"].value  # nobody has parsed the flags


@pytest.fixture
def service_flag():
  """The flag that asks for a service; flags and what they change are as before afterwards."""
  hook = _estimator_inputs.DatasetInitializerHook
  names = ("begin", "after_create_session")
  before = {name: hook.__dict__.get(name) for name in names}
  with flagsaver.flagsaver():
    flags.FLAGS.dataset_use_dataservice = True
    yield
  for name, method in before.items():
    if method is None:
      if name in hook.__dict__:
        delattr(hook, name)
    else:
      setattr(hook, name, method)


class TestPass:
  def _read(self, target):
    dataset = tf.data.Dataset.range(6).apply(dsvc.distribute(processing_mode=dsvc.ShardingPolicy.OFF, service=target))
    return sorted(int(x) for x in dataset)

  def test_outside_a_job_nothing_happens(self):
    method = _estimator_inputs.DatasetInitializerHook.after_create_session
    mlp_utils.mlp_pass()
    assert _estimator_inputs.DatasetInitializerHook.after_create_session is method
    assert mlp_utils.EXTRA_DSWORKERS == []

  def test_a_dispatcher_serves(self, environment, monkeypatch):
    with socket.socket() as unused:
      unused.bind(("127.0.0.1", 0))
      port = unused.getsockname()[1]
    joined = []
    monkeypatch.setattr(
      mlp_utils.MLPEnv, "join", lambda self, role: joined.append((role, mlp_utils.check_port("127.0.0.1", port)))
    )
    environment(MLP_ROLE="boss", MLP_BOSS_NUM=1, MLP_PORT=port)
    mlp_utils.mlp_pass(dispatcher_role="Boss", worker_role="learner")
    assert joined == [("learner", True)]

  def test_a_dsworker_serves_what_a_worker_reads(self, environment, monkeypatch, service_flag):
    dispatcher = dsvc.DispatchServer()
    port = dispatcher.target.rsplit(":", 1)[1]
    environment(
      MLP_ROLE="dsworker", MLP_ROLE_INDEX=0, MLP_DSWORKER_NUM=1, MLP_PORT=0, MLP_DISPATCHER_0_PORT=port,
      MLP_DISPATCHER_0_PRIMARY_HOST="127.0.0.1"
    )  # fmt: skip
    profilers, read = [], []
    monkeypatch.setattr(tf.profiler.experimental.server, "start", profilers.append)
    monkeypatch.setattr(mlp_utils.MLPEnv, "join", lambda self, role: read.append(self._read_as_a_worker()))

    def read_as_a_worker(self):
      environment(MLP_ROLE="worker", MLP_WORKER_NUM=1, MLP_GPU=1, MLP_DSWORKER_NUM=0)
      with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr(_mlp_roles, "EXTRA_DSWORKERS", [])
        if "num_extra_dsworker_on_gpu_worker" not in flags.FLAGS:
          flags.DEFINE_integer("num_extra_dsworker_on_gpu_worker", 0, "")
        flags.FLAGS.num_extra_dsworker_on_gpu_worker = 1
        mlp_utils.mlp_pass()
        extra = len(_mlp_roles.EXTRA_DSWORKERS)
        return extra, _dispatcher_flag(), TestPass()._read(_dispatcher_flag())

    monkeypatch.setattr(mlp_utils.MLPEnv, "_read_as_a_worker", read_as_a_worker, raising=False)
    mlp_utils.mlp_pass()
    assert profilers == [6666]
    # Two servers, each of which reads all.
    assert read == [(1, f"grpc://127.0.0.1:{port}", sorted([*range(6)] * 2))]

  def test_a_worker_waits_for_all_servers(self, environment, monkeypatch, service_flag):
    environment(**JOB)
    environment(MLP_DSWORKER_NUM=2)
    waited = []
    monkeypatch.setattr(
      mlp_utils.MLPEnv, "wait", lambda self, role, index=0, use_ssh=True: waited.append((role, index, use_ssh))
    )
    mlp_utils.mlp_pass()
    assert waited == [("dispatcher", 0, False), ("dsworker", 0, False), ("dsworker", 1, False)]
    assert _dispatcher_flag() == "grpc://d0:9000"
    assert _estimator_inputs.DatasetInitializerHook.begin is mlp_utils.begin
    assert _estimator_inputs.DatasetInitializerHook.after_create_session is mlp_utils.after_create_session

  def test_a_worker_without_a_service_goes_on(self, environment, monkeypatch):
    environment(**JOB)
    monkeypatch.setattr(mlp_utils.MLPEnv, "wait", lambda *args, **kwargs: pytest.fail("nobody to wait for"))
    mlp_utils.mlp_pass()
    assert _dispatcher_flag() == ""

  @pytest.mark.parametrize(
    "role, said", [("ps", "PS 0 at "), ("other", "Role 'OTHER' is none of the job's known ones")]
  )
  def test_other_roles_go_on(self, environment, monkeypatch, role, said):
    environment(**JOB)
    environment(MLP_ROLE=role, MLP_ROLE_INDEX=0)
    told = []
    for level in ("info", "warning"):
      monkeypatch.setattr(_mlp_roles.logging, level, lambda text, *args: told.append(text % args))
    for server in ("DispatchServer", "WorkerServer"):
      monkeypatch.setattr(dsvc, server, lambda *_: pytest.fail("this role serves nothing"))
    mlp_utils.mlp_pass()
    assert len(told) == 1 and told[0].startswith(said)

  def test_a_dsworker_without_a_dispatcher_is_refused(self, environment, monkeypatch):
    environment(MLP_ROLE="dsworker", MLP_DSWORKER_NUM=1)
    with pytest.raises(ValueError, match="MLP_DISPATCHER_0_PRIMARY_HOST is not set"):
      mlp_utils.mlp_pass()
    environment(MLP_DISPATCHER_0_PRIMARY_HOST="d0")
    monkeypatch.setattr(mlp_utils.MLPEnv, "wait", lambda *args, **kwargs: True)
    with pytest.raises(ValueError, match="MLP_DISPATCHER_0_PORT is not set, so there is no dispatcher to join"):
      mlp_utils.mlp_pass()


class TestInitializerHook:
  @pytest.fixture(autouse=True)
  def _graph(self):
    with tf.Graph().as_default():
      yield

  @pytest.fixture
  def collectives(self, monkeypatch):
    """Horovod as on a rank whose neighbour 0 has registered dataset 70."""
    horovod = types.SimpleNamespace(broadcast=lambda tensor, root_rank: tensor * 0 + 70 + root_rank)
    monkeypatch.setattr(distribution_utils, "enable_sync_training", lambda: True)

    def install(name):
      monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(tensorflow=horovod))
      monkeypatch.setitem(sys.modules, f"{name}.tensorflow", horovod)

    for name in ("horovod", "byteps"):  # the other one is not there
      monkeypatch.setitem(sys.modules, name, None)
    return install

  def _hook(self):
    return types.SimpleNamespace(
      _iterator=tf.compat.v1.data.make_initializable_iterator(tf.data.Dataset.range(3)),
    )

  def _first(self, hook):
    value = hook._iterator.get_next()
    with tf.compat.v1.Session() as session:
      mlp_utils.after_create_session(hook, session, None)
      return session.run(value)

  def test_the_iterator_is_initialized(self):
    hook = self._hook()
    tf.compat.v1.add_to_collection("registed_dataset_id", tf.constant(7))
    mlp_utils.begin(hook)
    assert hook._broadcast_dataset_id is None
    assert self._first(hook) == 0

  @pytest.mark.parametrize("with_byteps, name", [(None, "horovod"), ("0", "horovod"), ("1", "byteps")])
  def test_the_dataset_of_rank_0_is_broadcast_once(self, monkeypatch, collectives, with_byteps, name):
    if with_byteps is None:
      monkeypatch.delenv("MONOLITH_WITH_BYTEPS", raising=False)
    else:
      monkeypatch.setenv("MONOLITH_WITH_BYTEPS", with_byteps)
    collectives(name)
    hook, logged = self._hook(), []
    monkeypatch.setattr("absl.logging.info", lambda text, *args: logged.append(args))
    tf.compat.v1.add_to_collection("registed_dataset_id", tf.constant(7))
    mlp_utils.begin(hook)
    assert tf.compat.v1.get_collection("registed_dataset_id") == []
    assert self._first(hook) == 0
    assert logged == [(7, 70)] and hook._broadcast_dataset_id is None
    assert self._first(hook) == 0
    assert len(logged) == 1

  def test_without_a_registered_dataset_no_package_is_needed(self, monkeypatch):
    monkeypatch.setattr(distribution_utils, "enable_sync_training", lambda: True)
    hook = self._hook()
    mlp_utils.begin(hook)
    assert self._first(hook) == 0

  def test_a_missing_package_is_named(self, monkeypatch):
    monkeypatch.setattr(distribution_utils, "enable_sync_training", lambda: True)
    monkeypatch.setitem(sys.modules, "horovod", None)
    tf.compat.v1.add_to_collection("registed_dataset_id", tf.constant(7))
    with pytest.raises(ImportError, match="need the package horovod, which is not installed"):
      mlp_utils.begin(self._hook())

  def test_hooks_of_the_training_loop(self, service_flag):
    mlp_utils.mlp_pass()
    dataset = tf.data.Dataset.range(3)
    features, _, hooks = _estimator_inputs.parse_input(dataset)
    with tf.compat.v1.train.SingularMonitoredSession(hooks=hooks) as session:
      assert session.run(features) == 0
