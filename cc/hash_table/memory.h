// SPDX-License-Identifier: Apache-2.0
#ifndef CC_HASH_TABLE_MEMORY_H_
#define CC_HASH_TABLE_MEMORY_H_

#include <cstddef>
#include <utility>

namespace monolith {

// Zero-filled memory that is given back to the system when it ends. Blocks of a huge page or more are aligned to one
// and ask for them (first touch is then about four times faster); pages that are never touched cost nothing.
class PageBuffer {
 public:
  enum class Use {
    kSparse,  // pages are touched one by one, some perhaps never
    kWhole,   // all pages are touched at once: the system hands them over in one go
  };

  PageBuffer() = default;
  // Throws std::bad_alloc when the system has no memory left.
  PageBuffer(size_t bytes, Use use);
  ~PageBuffer();
  PageBuffer(PageBuffer&& other) noexcept { *this = std::move(other); }
  PageBuffer& operator=(PageBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  char* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  char* data_ = nullptr;  // aligned to 64 bytes at least
  size_t bytes_ = 0;
};

constexpr size_t kHugePage = size_t{2} << 20;

// Has the system hand over the huge page at `at`, which must lie in a PageBuffer, before somebody touches it.
void PopulateHugePage(char* at);

}  // namespace monolith

#endif  // CC_HASH_TABLE_MEMORY_H_
