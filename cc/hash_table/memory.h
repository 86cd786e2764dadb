// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_MEMORY_H_
#define CC_HASH_TABLE_MEMORY_H_

#include <cstddef>
#include <utility>

namespace monolith {

// Zero-filled memory that is given back to the system when it ends. Blocks of a huge page or more are aligned to one
// and ask for them (first touch is then about seven times faster); pages that are never touched cost nothing.
class PageBuffer {
 public:
  enum class Use {
    kSparse,  // pages are touched one by one, some perhaps never
    kWhole,   // all pages are touched at once: the system hands them over in one go; blocks of a medium size share
              // huge pages with others (page_arena.h)
  };

  PageBuffer() = default;
  // Throws std::bad_alloc when the system has no memory left.
  PageBuffer(size_t bytes, Use use);
  ~PageBuffer();
  PageBuffer(PageBuffer&& other) noexcept { *this = std::move(other); }
  PageBuffer& operator=(PageBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(shares_pages_, other.shares_pages_);
    return *this;
  }

  char* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  char* data_ = nullptr;  // aligned to 64 bytes at least
  size_t bytes_ = 0;
  bool shares_pages_ = false;
};

constexpr size_t kHugePage = size_t{2} << 20;

// Addresses for `bytes` of zeros, aligned to a huge page, that ask for huge pages when they are touched. Throws
// std::bad_alloc when the system has none left.
char* MapHugePages(size_t bytes);

// Has the system hand over the pages of [at, at + bytes) before somebody touches them. Requires: both are multiples of
// 4096 and lie in a PageBuffer or in MapHugePages' memory.
void PopulatePages(char* at, size_t bytes);

}  // namespace monolith

#endif  // CC_HASH_TABLE_MEMORY_H_
