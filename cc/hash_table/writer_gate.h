// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_WRITER_GATE_H_
#define CC_HASH_TABLE_WRITER_GATE_H_

#include <condition_variable>
#include <mutex>

namespace monolith {

// Lets any number of writers through, or one closer. A closer that waits keeps new writers out, so training never
// starves a save.
class WriterGate {
 public:
  class Pass {
   public:
    explicit Pass(WriterGate& gate) : gate_(gate) { gate_.Enter(); }
    ~Pass() { gate_.Leave(); }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

   private:
    WriterGate& gate_;
  };

  class Closed {
   public:
    explicit Closed(WriterGate& gate) : gate_(gate) { gate_.Close(); }
    ~Closed() { gate_.Open(); }
    Closed(const Closed&) = delete;
    Closed& operator=(const Closed&) = delete;

   private:
    WriterGate& gate_;
  };

 private:
  void Enter() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return closers_ == 0; });
    ++writers_;
  }
  void Leave() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (--writers_ == 0) changed_.notify_all();
  }
  void Close() {
    std::unique_lock<std::mutex> lock(mutex_);
    ++closers_;
    changed_.wait(lock, [this] { return writers_ == 0 && !closed_; });
    closed_ = true;
  }
  void Open() {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = false;
    --closers_;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int writers_ = 0;  // all guarded by mutex_
  int closers_ = 0;  // waiting or inside
  bool closed_ = false;
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_WRITER_GATE_H_
