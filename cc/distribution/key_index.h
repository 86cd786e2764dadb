// SPDX-License-Identifier: Apache-2.0
// Numbers distinct keys in the order they come; built for one batch and thrown away.
#ifndef MONOLITH_CC_DISTRIBUTION_KEY_INDEX_H_
#define MONOLITH_CC_DISTRIBUTION_KEY_INDEX_H_

#include <cstdint>
#include <vector>

namespace monolith::distribution {

class KeyIndex {
 public:
  // Room for `capacity` distinct keys; inserting more is the caller's bug.
  explicit KeyIndex(int64_t capacity) {
    uint64_t cells = 16;
    while (cells < static_cast<uint64_t>(capacity) * 2) cells *= 2;
    mask_ = cells - 1;
    numbers_.assign(cells, -1);
    keys_.resize(cells);
  }

  // The number of `key`; a new key gets the next number.
  int64_t Insert(int64_t key) {
    uint64_t cell = Find(key);
    if (numbers_[cell] < 0) {
      keys_[cell] = key;
      numbers_[cell] = size_++;
    }
    return numbers_[cell];
  }

  // The number of `key`, or -1.
  int64_t Lookup(int64_t key) const { return numbers_[Find(key)]; }

  int64_t size() const { return size_; }

 private:
  // The cell that holds `key`, or the empty one where it belongs.
  uint64_t Find(int64_t key) const {
    uint64_t x = static_cast<uint64_t>(key);  // murmur3's finaliser: slot bits must reach the low end
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    uint64_t cell = x & mask_;
    while (numbers_[cell] >= 0 && keys_[cell] != key) cell = (cell + 1) & mask_;
    return cell;
  }

  uint64_t mask_ = 0;
  int64_t size_ = 0;
  std::vector<int64_t> keys_;
  std::vector<int64_t> numbers_;
};

}  // namespace monolith::distribution

#endif  // MONOLITH_CC_DISTRIBUTION_KEY_INDEX_H_
