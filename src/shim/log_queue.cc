#include "shim/log_queue.h"

#include <string.h>

#include "shim/sys.h"

namespace proa::shim {
namespace {

constexpr int kReopenPatience = 1000;  // milliseconds

// With its end, if that is there.
size_t first_line(std::string_view bytes) {
  const auto* end = static_cast<const char*>(memchr(bytes.data(), '\n', bytes.size()));
  return end == nullptr ? bytes.size() : static_cast<size_t>(end - bytes.data()) + 1;
}

size_t whole_lines(std::string_view bytes) {
  size_t size = bytes.size();
  while (size != 0 && bytes[size - 1] != '\n') --size;
  return size;
}

}  // namespace

Result<> LogQueue::open(uint64_t limit) {
  capacity_ = limit + kBeyond, limit_ = limit;
  ring_ = capacity_ > limit ? static_cast<char*>(sys::map(capacity_)) : nullptr;
  if (ring_ == nullptr) return fail("log buffer of ", limit, " bytes: out of memory");
  return {};
}

void LogQueue::append(Stream stream, std::string_view bytes, timespec time) {
  if (ring_ == nullptr) return log_.append(stream, bytes, time);
  Lane& lane = lanes_[index(stream)];
  if (lane.skip) {
    const size_t rest = first_line(bytes);
    drop(lane, first(bytes, rest));
    bytes.remove_prefix(rest);
  }
  while (!bytes.empty()) {
    const uint32_t seen = progress_.count();
    size_t done = take(lane, stream, bytes, time);
    if (done != 0)
      work_.raise();
    else if (patient_)
      progress_.wait(seen);
    else
      drop(lane, bytes), done = bytes.size();
    bytes.remove_prefix(done);
  }
}

size_t LogQueue::take(Lane& lane, Stream stream, std::string_view bytes, timespec time) {
  const Guard guard(lock_);
  const size_t size = room_for(lane, bytes);
  if (size == 0) return 0;
  const Record record{.time = time, .size = static_cast<uint32_t>(size), .stream = stream, .gap = lane.gap};
  put(&record, sizeof record);
  put(bytes.data(), size);
  lane.gap = false;
  lane.in_line = bytes[size - 1] != '\n';
  return size;
}

size_t LogQueue::room_for(const Lane& lane, std::string_view bytes) const {
  if (pending_ == 0) return bytes.size();
  const size_t used = pending_ + sizeof(Record), room = limit_ > used ? limit_ - used : 0;
  if (bytes.size() <= room) return bytes.size();
  const size_t lines = whole_lines(first(bytes, room));
  if (lines != 0 || !lane.in_line) return lines;
  const size_t end = first_line(bytes);
  return used + end <= capacity_ ? end : 0;
}

void LogQueue::drop(Lane& lane, std::string_view bytes) {
  dropped_ += bytes.size();
  lane.gap = true, lane.in_line = false;
  lane.skip = bytes.back() != '\n';
}

std::string_view LogQueue::piece(size_t at, size_t size) const {
  at %= capacity_;
  return {ring_ + at, size < capacity_ - at ? size : capacity_ - at};
}

void LogQueue::put(const void* bytes, size_t size) {
  const auto* from = static_cast<const char*>(bytes);
  const std::string_view to = piece(head_ + pending_, size);
  memcpy(ring_ + (to.data() - ring_), from, to.size());
  memcpy(ring_, from + to.size(), size - to.size());
  pending_ += size;
}

void LogQueue::get(void* to, size_t size) {
  const std::string_view from = piece(head_, size);
  memcpy(to, from.data(), from.size());
  memcpy(static_cast<char*>(to) + from.size(), ring_, size - from.size());
}

void LogQueue::run() {
  while (true) {
    const uint32_t seen = work_.count();
    Record record;
    switch (next(&record)) {
      case Work::none: work_.wait(seen); break;
      case Work::reopen: reopen_file(); break;
      case Work::record: write(record); break;
      case Work::finish: return end();
    }
  }
}

LogQueue::Work LogQueue::next(Record* record) {
  const Guard guard(lock_);
  idle_ = false;
  if (reopen_) return Work::reopen;
  if (pending_ != 0) return get(record, sizeof *record), Work::record;
  if (finishing_) return Work::finish;
  idle_ = true;
  return Work::none;
}

void LogQueue::write(const Record& record) {
  bool& in_line = in_line_[index(record.stream)];
  // Not glued to what comes after the gap.
  if (record.gap && in_line) log_.append(record.stream, "\n", record.time);
  size_t at = head_ + sizeof record;
  for (size_t left = record.size; left != 0;) {
    const std::string_view bytes = piece(at, left);
    log_.append(record.stream, bytes, record.time);
    in_line = bytes.back() != '\n';
    at += bytes.size(), left -= bytes.size();
  }
  {
    const Guard guard(lock_);
    pending_ -= sizeof record + record.size;
    // Begins anew where it can: what is never filled costs no memory.
    head_ = pending_ == 0 ? 0 : (head_ + sizeof record + record.size) % capacity_;
  }
  progress_.raise();
}

void LogQueue::reopen_file() {
  const Result<> done = log_.file().reopen();
  {
    const Guard guard(lock_);
    reopened_ = done;
    reopen_ = false;
  }
  progress_.raise();
}

void LogQueue::end() {
  log_.finish(end_);
  {
    const Guard guard(lock_);
    finished_ = true;
  }
  progress_.raise();
}

void LogQueue::finish(timespec time) {
  if (ring_ == nullptr) return log_.finish(time);
  {
    const Guard guard(lock_);
    finishing_ = true, end_ = time;
  }
  work_.raise();
  while (true) {
    const uint32_t seen = progress_.count();
    {
      const Guard guard(lock_);
      if (finished_) return;
    }
    progress_.wait(seen);
  }
}

bool LogQueue::rest() {
  const Guard guard(lock_);
  if (ring_ != nullptr) {
    if (!idle_ || pending_ != 0 || reopen_ || finishing_) return false;
    sys::drop_pages(ring_, capacity_);
  }
  log_.release();
  return true;
}

Result<> LogQueue::reopen() {
  if (ring_ == nullptr) return log_.file().reopen();
  {
    const Guard guard(lock_);
    reopen_ = true;
  }
  work_.raise();
  for (const int64_t end = sys::milliseconds() + kReopenPatience;;) {
    const uint32_t seen = progress_.count();
    {
      const Guard guard(lock_);
      if (!reopen_) return reopened_;
    }
    const int64_t left = end - sys::milliseconds();
    if (left <= 0) return fail("the log's disk does not answer; the file is opened anew when it does");
    progress_.wait(seen, static_cast<int>(left));
  }
}

}  // namespace proa::shim
