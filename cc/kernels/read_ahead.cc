// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/read_ahead.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "cc/kernels/record_file.h"
#include "cc/kernels/status_util.h"

namespace monolith {
namespace {

constexpr size_t kPage = 4096;  // direct reads go by whole ones

// Whether most of a file lies in the page cache. True if that cannot be told.
bool IsCached(int file, uint64_t size) {
  void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) return true;
  const size_t system_page = ::sysconf(_SC_PAGESIZE);
  std::vector<unsigned char> pages((size + system_page - 1) / system_page);
  const bool told = ::mincore(mapped, size, pages.data()) == 0;
  ::munmap(mapped, size);
  const size_t cached = std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) != 0; });
  return !told || 2 * cached > pages.size();
}

// The file for direct reads; -1 if it is better read in another way, or can only be.
int OpenDirect(const std::string& path, uint64_t size) {
#ifdef O_DIRECT
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  if (file >= 0 && !IsCached(file, size)) return file;
  if (file >= 0) ::close(file);
#endif
  return -1;
}

}  // namespace

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.reset();  // waits for it
  if (direct_ >= 0) ::close(direct_);
}

absl::Status ReadAhead::Open(::tensorflow::Env* env, const std::string& path) {
  TF_RETURN_IF_ERROR(env->GetFileSize(path, &size_));
  TF_RETURN_IF_ERROR(env->NewRandomAccessFile(path, &file_));
  if (size_ <= kPiece) return absl::OkStatus();
  TF_RETURN_IF_ERROR(ToStatus([this] {
    for (Piece& piece : pieces_) piece.memory = PageBuffer(kFront + kPiece, PageBuffer::Use::kSparse);
    current_.memory = PageBuffer(kFront + kPiece, PageBuffer::Use::kSparse);
  }));
  direct_ = OpenDirect(path, size_);
  thread_.reset(env->StartThread({}, "read_ahead", [this] { ReadAll(); }));
  return absl::OkStatus();
}

// False where less came than there should be: then the file's own way of reading says why.
bool ReadAhead::ReadDirectly(uint64_t offset, size_t n, char* to) const {
  if (direct_ < 0) return false;
  const ssize_t got = ::pread(direct_, to, (n + kPage - 1) / kPage * kPage, static_cast<off_t>(offset));
  return got == static_cast<ssize_t>(n);
}

void ReadAhead::Read(uint64_t offset, size_t front, Piece* piece) const {
  const size_t n = std::min<uint64_t>(kPiece, size_ - offset);
  char* const room = piece->at(front);
  piece->begin = front;
  piece->end = front + n;
  piece->status = absl::OkStatus();
  if (ReadDirectly(offset, n, room)) return;
  absl::string_view got;
  piece->status = ReadAt(*file_, offset, n, room, &got);
  if (got.data() != room) std::memcpy(room, got.data(), got.size());
}

void ReadAhead::ReadAll() {
  for (uint64_t i = 0; i * kPiece < size_; ++i) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return stopped_ || i < used_ + kAhead; });
      if (stopped_) return;
    }
    Read(i * kPiece, kFront, &pieces_[i % kAhead]);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++read_;
    }
    changed_.notify_all();
  }
}

void ReadAhead::Join(Piece* next) {
  const size_t left = current_.end - current_.begin, added = next->end - next->begin;
  if (left > next->begin) {
    PageBuffer larger(left + kFront + kPiece, PageBuffer::Use::kSparse);
    std::memcpy(larger.data() + left, next->at(next->begin), added);
    next->memory = std::move(larger);
    next->begin = left;
    next->end = left + added;
  }
  next->begin -= left;
  if (left > 0) std::memcpy(next->at(next->begin), current_.at(current_.begin), left);
  std::swap(current_, *next);
}

absl::Status ReadAhead::More() {
  const size_t n = std::min<uint64_t>(kPiece, size_ - joined_);
  if (thread_ == nullptr) {
    TF_RETURN_IF_ERROR(ToStatus([&] { current_.memory = PageBuffer(n, PageBuffer::Use::kSparse); }));
    Read(0, 0, &current_);
    joined_ += n;
    return current_.status;
  }
  {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return used_ < read_; });
  }
  Piece* const next = &pieces_[used_ % kAhead];
  TF_RETURN_IF_ERROR(next->status);
  TF_RETURN_IF_ERROR(ToStatus([&] { Join(next); }));
  joined_ += n;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++used_;
  }
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status ReadAhead::Have(size_t n) {
  while (bytes().size() < n) TF_RETURN_IF_ERROR(More());
  return absl::OkStatus();
}

}  // namespace monolith
