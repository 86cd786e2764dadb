# SPDX-License-Identifier: Apache-2.0
"""Tests of the hooks that keep workers and chief in step at both ends."""

from __future__ import annotations

import threading

import pytest

from monolith.native_training import sync_hooks

import tensorflow as tf  # isort: skip


@pytest.fixture(name="graph", autouse=True)
def _graph():
  with tf.Graph().as_default() as graph:
    yield graph


def _session():
  session = tf.compat.v1.Session()
  session.run(tf.compat.v1.local_variables_initializer())
  return session


def test_worker_waits_for_the_chief_s_restore_and_chief_for_the_worker_s_end(monkeypatch):
  polled = threading.Semaphore(0)
  helper = sync_hooks.SyncHelper(2, is_chief=True, var_device="")
  chief, worker = sync_hooks.ChiefSyncHook(helper), sync_hooks.WorkerSyncHook(1, helper)
  with _session() as session:
    coord = tf.train.Coordinator()
    monkeypatch.setattr(coord, "wait_for_stop", lambda secs: polled.release())
    starting = threading.Thread(target=worker.after_create_session, args=(session, coord))
    starting.start()
    assert polled.acquire(timeout=60)
    assert not helper.get_restore_status(session) and helper.get_alive_workers(session) == []
    chief.after_create_session(session, None)
    starting.join()
    assert helper.get_restore_status(session) and helper.get_alive_workers(session) == [1]
    naps = []

    class Time:
      monotonic = staticmethod(lambda: 0.0)

      @staticmethod
      def sleep(secs):
        naps.append(secs)
        worker.end(session)

    monkeypatch.setattr(sync_hooks, "time", Time)
    chief.end(session)
    assert len(naps) == 1 and helper.get_num_alive_workers(session) == 0


def test_chief_ends_without_a_worker_that_never_finishes():
  helper = sync_hooks.SyncHelper(3, is_chief=True, var_device="")
  with _session() as session:
    helper.start_worker(session, 2)
    sync_hooks.ChiefSyncHook(helper, timeout_seconds=0).end(session)
    assert helper.get_alive_workers(session) == [2]


def test_worker_gives_up_when_its_loop_stops():
  helper = sync_hooks.SyncHelper(2, is_chief=True, var_device="")
  with _session() as session:
    coord = tf.train.Coordinator()
    coord.request_stop()
    sync_hooks.WorkerSyncHook(1, helper).after_create_session(session, coord)
    assert helper.get_alive_workers(session) == []


@pytest.mark.parametrize("idx", [0, 2])
def test_index_is_checked(idx):
  helper = sync_hooks.SyncHelper(2, is_chief=True, var_device="")
  with _session() as session:
    for act in (helper.start_worker, helper.finish_worker):
      with pytest.raises(ValueError, match=f"no worker {idx} beside the chief"):
        act(session, idx)


def test_helper_gives_each_process_its_hooks():
  off = sync_hooks.TrainingHooksHelper(False, 2, 0)
  assert off.training_chief_hooks == () and off.training_hooks == ()
  chief = sync_hooks.TrainingHooksHelper(True, 2, 0)
  assert [type(h) for h in chief.training_chief_hooks] == [sync_hooks.ChiefSyncHook] and chief.training_hooks == ()
  with tf.Graph().as_default():
    worker = sync_hooks.TrainingHooksHelper(True, 2, 1)
    assert [type(h) for h in worker.training_hooks] == [sync_hooks.WorkerSyncHook]
    # A worker waits for the state but does not initialize it.
    assert tf.compat.v1.local_variables() == [] and len(tf.compat.v1.global_variables()) == 1
