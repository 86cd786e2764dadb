// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_TOUCHED_KEYS_H_
#define CC_HASH_TABLE_TOUCHED_KEYS_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <shared_mutex>
#include <unordered_set>
#include <vector>

namespace monolith {

// A bounded set of keys that were touched since somebody took them. When a new key comes while the set holds more than
// `capacity` keys, the set is emptied first: nobody is taking them, and training must not run out of memory over it.
// Any mix of calls from any threads is safe; a key is taken, dropped, or still there, never lost.
class TouchedKeys {
 public:
  // Threads seldom wait for each other as long as there are fewer than `concurrency_level`. Throws TableError for a
  // capacity or a level below 1.
  TouchedKeys(int64_t capacity, int64_t concurrency_level);

  // Returns how many keys were dropped to make room.
  int64_t Insert(const int64_t* keys, int64_t n);

  // Takes all keys, in any order.
  std::vector<int64_t> Steal();

 private:
  struct alignas(64) Stripe {
    std::mutex mutex;
    std::unordered_set<int64_t> keys;  // guarded by mutex, or by whoever holds whole_ alone
  };

  enum class Outcome { kDone, kNoRoom };
  Outcome InsertOne(int64_t key);  // requires: whole_ is held shared
  int64_t Empty();                 // requires: whole_ is not held

  const int64_t capacity_;
  std::vector<Stripe> stripes_;
  std::shared_mutex whole_;
  std::atomic<int64_t> size_{0};
};

}  // namespace monolith

#endif  // CC_HASH_TABLE_TOUCHED_KEYS_H_
