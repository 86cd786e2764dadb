// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/touched_keys.h"

#include <algorithm>
#include <string>

#include "cc/hash_table/hashing.h"
#include "cc/hash_table/table_config.h"

namespace monolith {
namespace {

constexpr int64_t kMostStripes = 1024;

int64_t AtLeastOne(const char* what, int64_t value) {
  if (value < 1) {
    throw TableError(std::string("a touched-key set with ") + what + " " + std::to_string(value) + "; use at least 1.");
  }
  return value;
}

}  // namespace

TouchedKeys::TouchedKeys(int64_t capacity, int64_t concurrency_level)
    : capacity_(AtLeastOne("capacity", capacity)),
      stripes_(std::min(AtLeastOne("concurrency_level", concurrency_level), kMostStripes)) {}

TouchedKeys::Outcome TouchedKeys::InsertOne(int64_t key) {
  Stripe& stripe = stripes_[Mix64(static_cast<uint64_t>(key)) % stripes_.size()];
  const std::lock_guard<std::mutex> lock(stripe.mutex);
  if (stripe.keys.count(key) > 0) return Outcome::kDone;
  if (size_.load(std::memory_order_relaxed) > capacity_) return Outcome::kNoRoom;
  stripe.keys.insert(key);
  size_.fetch_add(1, std::memory_order_relaxed);
  return Outcome::kDone;
}

int64_t TouchedKeys::Insert(const int64_t* keys, int64_t n) {
  int64_t dropped = 0;
  for (int64_t i = 0; i < n;) {
    {
      const std::shared_lock<std::shared_mutex> shared(whole_);
      while (i < n && InsertOne(keys[i]) == Outcome::kDone) ++i;
    }
    if (i < n) dropped += Empty();
  }
  return dropped;
}

int64_t TouchedKeys::Empty() {
  const std::unique_lock<std::shared_mutex> alone(whole_);
  const int64_t size = size_.load(std::memory_order_relaxed);
  if (size <= capacity_) return 0;  // another thread has emptied it
  for (Stripe& stripe : stripes_) stripe.keys.clear();
  size_.store(0, std::memory_order_relaxed);
  return size;
}

std::vector<int64_t> TouchedKeys::Steal() {
  std::vector<int64_t> keys;
  const std::unique_lock<std::shared_mutex> alone(whole_);
  keys.reserve(size_.load(std::memory_order_relaxed));
  for (Stripe& stripe : stripes_) {
    keys.insert(keys.end(), stripe.keys.begin(), stripe.keys.end());
    stripe.keys.clear();
  }
  size_.store(0, std::memory_order_relaxed);
  return keys;
}

}  // namespace monolith
