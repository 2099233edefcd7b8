#include "kube/client/queue.h"

#include <algorithm>

namespace proa::kube::api {

void WorkQueue::add(std::string key) {
  const auto [at, fresh] = states_.try_emplace(key, State::kReady);
  if (fresh) return ready_.push_back(std::move(key));
  if (at->second == State::kWorking) at->second = State::kWorkingAgain;
}

void WorkQueue::add_after(std::string key, std::chrono::nanoseconds delay) {
  if (delay <= std::chrono::nanoseconds::zero()) return add(std::move(key));
  const MonotonicTime when = clock_.monotonic() + delay;
  const auto [at, fresh] = times_.try_emplace(key, when);
  if (!fresh) {
    if (at->second <= when) return;
    auto [begin, end] = later_.equal_range(at->second);
    later_.erase(std::find_if(begin, end, [&](const auto& entry) { return entry.second == key; }));
    at->second = when;
  }
  later_.emplace(when, std::move(key));
}

void WorkQueue::add_failed(std::string key) {
  const int failures = std::min(failures_[key]++, 40);
  const auto most = std::chrono::nanoseconds(backoff_.most);
  auto delay = std::chrono::nanoseconds(backoff_.first);
  for (int i = 0; i < failures && delay < most; ++i) delay *= 2;
  delay = std::min(delay, most);
  delay += delay * static_cast<int64_t>(random_() % 1000) / 5000;
  add_after(std::move(key), delay);
}

void WorkQueue::move_due() {
  const MonotonicTime now = clock_.monotonic();
  while (!later_.empty() && later_.begin()->first <= now) {
    std::string key = std::move(later_.begin()->second);
    later_.erase(later_.begin());
    times_.erase(key);
    add(std::move(key));
  }
}

bool WorkQueue::has_ready() {
  move_due();
  return !ready_.empty();
}

std::optional<std::string> WorkQueue::take() {
  if (!has_ready()) return std::nullopt;
  std::string key = std::move(ready_.front());
  ready_.pop_front();
  states_[key] = State::kWorking;
  return key;
}

void WorkQueue::done(const std::string& key, bool succeeded) {
  if (succeeded) failures_.erase(key);
  const auto at = states_.find(key);
  if (at == states_.end()) return;
  if (at->second == State::kWorkingAgain) {
    at->second = State::kReady;
    ready_.push_back(key);
  } else {
    states_.erase(at);
  }
}

std::optional<MonotonicTime> WorkQueue::next_time() const {
  if (later_.empty()) return std::nullopt;
  return later_.begin()->first;
}

int WorkQueue::failures(const std::string& key) const {
  const auto at = failures_.find(key);
  return at == failures_.end() ? 0 : at->second;
}

}  // namespace proa::kube::api
