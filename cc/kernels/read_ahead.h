// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_READ_AHEAD_H_
#define CC_KERNELS_READ_AHEAD_H_

#include <array>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "cc/hash_table/memory.h"
#include "tensorflow/core/platform/env.h"

namespace monolith {

// Reads a file from its beginning to its end, some pieces ahead of its user, on a thread of its own. A file of one piece is
// read when it is asked for. A file of the operating system that does not lie in the page cache is read past it where its
// file system knows how to (O_DIRECT): a restore reads every byte once, and the cache would cost it a copy and pages.
// One thread may use it.
class ReadAhead {
 public:
  ReadAhead() = default;
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  absl::Status Open(::tensorflow::Env* env, const std::string& path);

  uint64_t size() const { return size_; }
  // Bytes of the file that have arrived and not been taken. They stay where they are until more are asked for.
  std::string_view bytes() const { return {current_.at(current_.begin), current_.end - current_.begin}; }
  void Take(size_t n) { current_.begin += n; }
  // True if nothing follows bytes().
  bool Ended() const { return joined_ == size_; }
  // Adds the next piece to bytes(). Requires: !Ended().
  absl::Status More();
  // Has `n` bytes at least. Requires: the file has so many left.
  absl::Status Have(size_t n);

 private:
  // A piece lies in a huge page of its own: of scattered pages, a disk's queue has room for few.
  static constexpr size_t kPiece = kHugePage;
  static constexpr size_t kFront = kHugePage;  // for what is left of the piece before, at first
  static constexpr int kAhead = 3;

  // A piece, behind room for what is left of the one before.
  struct Piece {
    char* at(size_t offset) const { return memory.data() + offset; }
    PageBuffer memory;
    size_t begin = 0, end = 0;
    absl::Status status;
  };

  // The thread: fills pieces until the file or this ends.
  void ReadAll();
  // Requires: there is memory for the piece at `offset`.
  void Read(uint64_t offset, size_t front, Piece* piece) const;
  bool ReadDirectly(uint64_t offset, size_t n, char* to) const;
  // Puts the bytes that are left in front of those of `next`, and goes on there.
  void Join(Piece* next);

  std::unique_ptr<::tensorflow::RandomAccessFile> file_;
  int direct_ = -1;  // the file once more, if it is read past the page cache
  uint64_t size_ = 0;
  uint64_t joined_ = 0;  // bytes of the file that have been in current_
  Piece current_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::array<Piece, kAhead> pieces_;              // the i-th of the file is in pieces_[i % kAhead]
  uint64_t read_ = 0;                             // pieces that have been read, and
  uint64_t used_ = 0;                             // that have been joined: guarded by mutex_
  bool stopped_ = false;                          // guarded by mutex_
  std::unique_ptr<::tensorflow::Thread> thread_;  // the last member: it ends before what it uses
};

}  // namespace monolith

#endif  // CC_KERNELS_READ_AHEAD_H_
