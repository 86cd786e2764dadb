// SPDX-License-Identifier: Apache-2.0
#ifndef CC_KERNELS_WRITE_BEHIND_H_
#define CC_KERNELS_WRITE_BEHIND_H_

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

// Writes a file from its beginning to its end, on a thread of its own, while its user goes on. A file of the operating
// system goes to the disk past the page cache where its file system knows how to (O_DIRECT): the cache takes as much
// processor time for its pages as all else that a save does. One thread may use it.
class WriteBehind {
 public:
  WriteBehind() = default;
  ~WriteBehind();  // without Close: what has not been written is lost
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;

  absl::Status Open(::tensorflow::Env* env, const std::string& path);
  // Where the next bytes go, at most kMostRoom of them, which Added counts.
  char* Room() { return Filling().memory.data() + Filling().used; }
  absl::Status Added(size_t n);
  absl::Status Append(std::string_view bytes);
  // Returns once all has reached the disk.
  absl::Status Close();

  static constexpr size_t kMostRoom = size_t{512} << 10;

 private:
  static constexpr size_t kPiece = size_t{2} << 20;  // of the file, handed to the system at once
  static constexpr int kBehind = 3;

  struct Piece {
    PageBuffer memory;
    size_t used = 0;
  };

  Piece& Filling() { return pieces_[filled_ % kBehind]; }
  // Hands the piece that is full to the thread; what is beyond it begins the next.
  absl::Status HandOver();
  // The thread: writes pieces until this ends.
  void WriteAll();
  absl::Status Write(std::string_view bytes);
  absl::Status WriteLocally(std::string_view bytes);
  // Has the thread write what it was given, and ends it.
  absl::Status Finish();

  ::tensorflow::Env* env_ = nullptr;
  std::string path_;
  std::unique_ptr<::tensorflow::WritableFile> file_;
  int local_ = -1;       // the file once more, if it is the operating system's own: then it is written here only
  bool direct_ = false;  // local_ goes past the page cache

  std::array<Piece, kBehind> pieces_;  // the i-th of the file is in pieces_[i % kBehind]
  uint64_t filled_ = 0;                // pieces that are full
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t handed_over_ = 0, written_ = 0;  // pieces: guarded by mutex_
  bool finishing_ = false;                  // guarded by mutex_
  absl::Status status_;                     // of the thread: guarded by mutex_
  std::unique_ptr<::tensorflow::Thread> thread_;
};

}  // namespace monolith

#endif  // CC_KERNELS_WRITE_BEHIND_H_
