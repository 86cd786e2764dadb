// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/write_behind.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "cc/kernels/status_util.h"

namespace monolith {
namespace {

#ifdef O_DIRECT
constexpr int kDirect = O_DIRECT;
#else
constexpr int kDirect = 0;
#endif

// From now on through the page cache.
void EndDirect(int file) { ::fcntl(file, F_SETFL, ::fcntl(file, F_GETFL) & ~kDirect); }

}  // namespace

WriteBehind::~WriteBehind() {
  Finish().IgnoreError();
  if (local_ >= 0) ::close(local_);
}

absl::Status WriteBehind::Open(::tensorflow::Env* env, const std::string& path) {
  env_ = env;
  path_ = path;
  TF_RETURN_IF_ERROR(ToStatus([this] {
    for (Piece& piece : pieces_) piece.memory = PageBuffer(kPiece + kMostRoom, PageBuffer::Use::kSparse);
  }));
  TF_RETURN_IF_ERROR(env->NewWritableFile(path, &file_));
  // A path that is none of the system's own opens nothing; a file system without direct writes refuses those.
  local_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | kDirect);
  direct_ = local_ >= 0 && kDirect != 0;
  if (local_ < 0) local_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  return absl::OkStatus();
}

absl::Status WriteBehind::Added(size_t n) {
  Filling().used += n;
  return Filling().used < kPiece ? absl::OkStatus() : HandOver();
}

absl::Status WriteBehind::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t n = std::min(bytes.size(), kMostRoom);
    std::memcpy(Room(), bytes.data(), n);
    TF_RETURN_IF_ERROR(Added(n));
    bytes.remove_prefix(n);
  }
  return absl::OkStatus();
}

absl::Status WriteBehind::HandOver() {
  if (thread_ == nullptr) thread_.reset(env_->StartThread({}, "write_behind", [this] { WriteAll(); }));
  const Piece& full = Filling();
  ++filled_;
  std::unique_lock<std::mutex> lock(mutex_);
  ++handed_over_;
  changed_.notify_all();
  // Until the next piece is free. Nobody writes to what lies behind the one that is being written.
  changed_.wait(lock, [&] { return filled_ < written_ + kBehind || !status_.ok(); });
  TF_RETURN_IF_ERROR(status_);
  lock.unlock();
  const size_t beyond = full.used - kPiece;
  Filling().used = 0;
  std::memcpy(Room(), full.memory.data() + kPiece, beyond);
  Filling().used = beyond;
  return absl::OkStatus();
}

void WriteBehind::WriteAll() {
  for (uint64_t i = 0;; ++i) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return finishing_ || i < handed_over_; });
      if (i == handed_over_ || !status_.ok()) return;
    }
    const absl::Status written = Write({pieces_[i % kBehind].memory.data(), kPiece});
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      status_.Update(written);
      ++written_;
    }
    changed_.notify_all();
    if (!written.ok()) return;
  }
}

absl::Status WriteBehind::Write(std::string_view bytes) {
  return local_ >= 0 ? WriteLocally(bytes) : file_->Append(absl::string_view(bytes.data(), bytes.size()));
}

absl::Status WriteBehind::WriteLocally(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(local_, bytes.data(), bytes.size());
    if (n > 0) {
      bytes.remove_prefix(n);
    } else if (n < 0 && direct_ && errno == EINVAL) {  // it is not for such files, or not for so few bytes
      EndDirect(local_);
      direct_ = false;
    } else if (n == 0 || errno != EINTR) {
      return absl::ErrnoToStatus(n == 0 ? ENOSPC : errno, absl::StrCat(path_, " could not be written"));
    }
  }
  return absl::OkStatus();
}

absl::Status WriteBehind::Finish() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    finishing_ = true;
  }
  changed_.notify_all();
  thread_.reset();  // waits for it
  return status_;
}

absl::Status WriteBehind::Close() {
  TF_RETURN_IF_ERROR(Finish());
  if (direct_) EndDirect(local_);  // the last piece is none of whole pages
  direct_ = false;
  if (Filling().used > 0) TF_RETURN_IF_ERROR(Write({Filling().memory.data(), Filling().used}));
  if (local_ >= 0 && ::fsync(local_) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("the bytes of ", path_, " did not reach the disk"));
  }
  if (local_ < 0) TF_RETURN_IF_ERROR(file_->Sync());
  return file_->Close();
}

}  // namespace monolith
