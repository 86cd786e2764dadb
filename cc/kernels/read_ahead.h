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
#include <vector>

#include "absl/status/status.h"
#include "tensorflow/core/platform/env.h"

namespace monolith {

// Reads a file from its beginning to its end, some pieces of a MiB ahead of its user, on a thread of its own. A file of one
// piece is read when it is asked for. One thread may use it.
class ReadAhead {
 public:
  ReadAhead() = default;
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  absl::Status Open(::tensorflow::Env* env, const std::string& path);

  uint64_t size() const { return size_; }
  // Bytes of the file that have arrived and not been taken. They stay where they are until more are asked for.
  std::string_view bytes() const { return {current_.memory.data() + current_.begin, current_.end - current_.begin}; }
  void Take(size_t n) { current_.begin += n; }
  // True if nothing follows bytes().
  bool Ended() const { return joined_ == size_; }
  // Adds the next piece to bytes(). Requires: !Ended().
  absl::Status More();
  // Has `n` bytes at least. Requires: the file has so many left.
  absl::Status Have(size_t n);

 private:
  static constexpr size_t kPiece = size_t{1} << 20;
  static constexpr size_t kFront = size_t{512} << 10;  // at first, for what is left of the piece before
  static constexpr int kAhead = 3;

  // A piece, behind room for what is left of the one before.
  struct Piece {
    std::vector<char> memory;
    size_t begin = 0, end = 0;
    absl::Status status;
  };

  // The thread: fills pieces until the file or this ends.
  void ReadAll();
  void Read(uint64_t offset, size_t front, Piece* piece) const;
  // Puts the bytes that are left in front of those of `next`, and goes on there.
  void Join(Piece* next);

  std::unique_ptr<::tensorflow::RandomAccessFile> file_;
  uint64_t size_ = 0;
  uint64_t joined_ = 0;  // bytes of the file that have been in current_
  Piece current_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::array<Piece, kAhead> pieces_;  // the i-th of the file is in pieces_[i % kAhead]
  uint64_t read_ = 0;                 // pieces that have been read, and
  uint64_t used_ = 0;                 // that have been joined: guarded by mutex_
  bool stopped_ = false;              // guarded by mutex_
  std::unique_ptr<::tensorflow::Thread> thread_;  // the last member: it ends before what it uses
};

}  // namespace monolith

#endif  // CC_KERNELS_READ_AHEAD_H_
