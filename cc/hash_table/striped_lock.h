// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_STRIPED_LOCK_H_
#define CC_HASH_TABLE_STRIPED_LOCK_H_

#include <atomic>
#include <mutex>

namespace monolith {

// A lock that is often shared for an instant and seldom held alone: every thread shares by a mutex of its own (few
// threads have one in common), so sharers do not touch each other's cache lines; holding it alone takes all of them.
class StripedLock {
 public:
  class Shared {
   public:
    explicit Shared(const StripedLock& lock) : guard_(lock.stripes_[ThreadStripe()].mutex) {}

   private:
    std::lock_guard<std::mutex> guard_;
  };

  class Alone {
   public:
    explicit Alone(const StripedLock& lock) : lock_(lock) {
      for (Stripe& stripe : lock_.stripes_) stripe.mutex.lock();
    }
    ~Alone() {
      for (Stripe& stripe : lock_.stripes_) stripe.mutex.unlock();
    }
    Alone(const Alone&) = delete;
    Alone& operator=(const Alone&) = delete;

   private:
    const StripedLock& lock_;
  };

 private:
  static constexpr unsigned kStripes = 32;
  struct alignas(64) Stripe {
    std::mutex mutex;
  };

  static unsigned ThreadStripe() {
    static std::atomic<unsigned> threads{0};
    thread_local const unsigned stripe = threads.fetch_add(1, std::memory_order_relaxed) % kStripes;
    return stripe;
  }

  mutable Stripe stripes_[kStripes];
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_STRIPED_LOCK_H_
