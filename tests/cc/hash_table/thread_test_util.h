// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_CC_HASH_TABLE_THREAD_TEST_UTIL_H_
#define TESTS_CC_HASH_TABLE_THREAD_TEST_UTIL_H_

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace monolith {
namespace testing {

// A number of rounds, a tenth of them where a sanitizer watches each.
constexpr int64_t Scaled(int64_t n) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  return n / 10;
#else
  return n;
#endif
}

// Tells other threads to stop when the scope ends, also if an assertion ended it.
struct StopAtEnd {
  explicit StopAtEnd(std::atomic<bool>* stop) : stop(stop) {}
  ~StopAtEnd() { stop->store(true); }
  StopAtEnd(const StopAtEnd&) = delete;
  StopAtEnd& operator=(const StopAtEnd&) = delete;
  std::atomic<bool>* const stop;
};

// Runs work(i) for i in [0, n), each in a thread of its own.
template <typename Work>
void RunThreads(int n, Work work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i) threads.emplace_back([&work, i] { work(i); });
  for (auto& thread : threads) thread.join();
}

}  // namespace testing
}  // namespace monolith

#endif  // TESTS_CC_HASH_TABLE_THREAD_TEST_UTIL_H_
