# SPDX-License-Identifier: Apache-2.0
"""The handlers that count ends by signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from monolith.native_training import native_task_context
from monolith.native_training.metric import cli, exit_hook

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
DEFAULTS = (signal.SIG_DFL, signal.default_int_handler, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def handlers(monkeypatch):
  """The handlers and the module's state are as after a start of Python."""
  monkeypatch.setattr(exit_hook, "sig_no", None)
  monkeypatch.setattr(exit_hook, "_has_interrupted", False)
  monkeypatch.setattr(exit_hook, "_previous", {})
  before = [signal.signal(signum, handler) for signum, handler in zip(SIGNALS, DEFAULTS)]
  yield
  for signum, handler in zip(SIGNALS, before):
    signal.signal(signum, handler)


class _Client:
  def __init__(self):
    self.calls = []

  def emit_counter(self, *args):
    self.calls.append(args)

  def flush(self):
    pass


@pytest.fixture
def client(monkeypatch):
  client = _Client()
  monkeypatch.setattr(cli, "get_cli", lambda prefix: client)
  return client


def test_import_takes_the_place_of_default_handlers():
  exit_hook._install()
  assert [signal.getsignal(signum) for signum in SIGNALS] == [exit_hook.sig_handler] * 3


@pytest.mark.parametrize("own", [signal.SIG_IGN, lambda signum, frame: None])
def test_other_handlers_stay(own):
  signal.signal(signal.SIGTERM, own)
  exit_hook._install()
  assert signal.getsignal(signal.SIGTERM) is own
  assert signal.getsignal(signal.SIGHUP) is exit_hook.sig_handler


def test_other_threads_install_nothing():
  thread = threading.Thread(target=exit_hook._install)
  thread.start()
  thread.join()
  assert tuple(signal.getsignal(signum) for signum in SIGNALS) == DEFAULTS


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_is_remembered_and_ends_the_process(signum):
  with pytest.raises(SystemExit) as caught:
    exit_hook.sig_handler(signum, None)
  assert caught.value.code == signum and exit_hook.sig_no == signum


def test_ctrl_c_stays_a_keyboard_interrupt():
  exit_hook._install()
  with pytest.raises(KeyboardInterrupt):
    signal.raise_signal(signal.SIGINT)
  assert exit_hook.sig_no == signal.SIGINT


@pytest.mark.parametrize("server_type, index", [("worker", "2"), ("ps", "1")])
def test_the_counter_says_who_ended_by_what(monkeypatch, client, server_type, index):
  context = native_task_context.get()._replace(server_type=server_type, worker_index=2, ps_index=1)
  monkeypatch.setattr(exit_hook, "sig_no", 15)
  monkeypatch.setattr(native_task_context, "get", lambda: context)
  exit_hook.exit_hook()
  assert client.calls == [("exit_hook", 1, {"server_type": server_type, "index": index, "sig": "15"})]


def test_other_ends_are_not_counted(client):
  exit_hook.exit_hook()
  assert client.calls == []


def _interrupt():
  exit_hook._install()
  with pytest.raises(KeyboardInterrupt):
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("uncaught", [None, ValueError("later")])
def test_a_ctrl_c_that_was_handled_is_not_counted(monkeypatch, client, uncaught):
  monkeypatch.setattr(sys, "last_value", uncaught, raising=False)
  _interrupt()
  exit_hook.exit_hook()
  assert client.calls == []


def test_a_ctrl_c_that_nobody_caught_is_counted_unless_a_prompt_goes_on(monkeypatch, client):
  monkeypatch.setattr(sys, "last_value", KeyboardInterrupt(), raising=False)
  _interrupt()
  with monkeypatch.context() as context:
    context.setattr(sys, "ps1", ">>> ", raising=False)
    exit_hook.exit_hook()
  assert client.calls == []
  exit_hook.exit_hook()
  assert [call[2]["sig"] for call in client.calls] == ["2"]


def test_a_signal_after_a_handled_ctrl_c_is_counted(monkeypatch, client):
  monkeypatch.setattr(sys, "last_value", None, raising=False)
  _interrupt()
  with pytest.raises(SystemExit):
    signal.raise_signal(signal.SIGTERM)
  exit_hook.exit_hook()
  assert [call[2]["sig"] for call in client.calls] == ["15"]


_PROGRAM = """
import signal
from monolith.native_training.metric import cli, exit_hook
class Client:
  def emit_counter(self, name, value, tags):
    print(name, value, tags["sig"], flush=True)
  def flush(self):
    print("flushed", flush=True)
cli.get_cli = lambda prefix: Client()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
  "ending, status, lines",
  [
    ("signal.raise_signal(signal.SIGTERM)", signal.SIGTERM, ["exit_hook 1 15", "flushed"]),
    ("signal.raise_signal(signal.SIGINT)", -signal.SIGINT, ["exit_hook 1 2", "flushed"]),
    ("try: signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt: pass", 0, []),
  ],
)
def test_a_process_counts_what_ended_it(ending, status, lines):
  finished = subprocess.run([sys.executable, "-c", _PROGRAM + ending], capture_output=True, text=True)
  assert finished.returncode == status
  assert finished.stdout.splitlines() == lines
