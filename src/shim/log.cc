#include "shim/log.h"

#include <string.h>

#include "shim/sys.h"

namespace proa::shim {

void Log::append(Stream stream, std::string_view bytes, timespec time) {
  if (!file_.is_open()) return;
  if (format_ == LogFormat::raw) return append_raw(bytes);
  time_ = format_time(time);
  Held& held = held_[stream == Stream::err ? 1 : 0];
  while (!bytes.empty()) bytes.remove_prefix(take(held, stream, bytes));
  flush();
}

void Log::append_raw(std::string_view bytes) {
  while (!bytes.empty()) {
    if (file_.is_full(0, 1)) file_.rotate();
    const uint64_t room = file_.room();
    const size_t part = room != 0 && bytes.size() > room ? room : bytes.size();
    file_.write(first(bytes, part));
    bytes.remove_prefix(part);
  }
}

size_t Log::take(Held& held, Stream stream, std::string_view bytes) {
  const size_t limit = kMaxPiece - held.size;
  std::string_view piece = first(bytes, bytes.size() < limit ? bytes.size() : limit);
  const auto* end = static_cast<const char*>(memchr(piece.data(), '\n', piece.size()));
  if (end != nullptr) piece = first(piece, static_cast<size_t>(end - piece.data()) + 1);
  const bool whole = end != nullptr || piece.size() == limit;

  if (held.size == 0 && whole) {
    const size_t cut = end != nullptr ? piece.size() : whole_characters(piece);
    emit(stream, first(piece, cut));
    return cut;
  }
  memcpy(held.bytes + held.size, piece.data(), piece.size());
  held.size += piece.size();
  if (whole) {
    const size_t cut = end != nullptr ? held.size : whole_characters({held.bytes, held.size});
    emit(stream, {held.bytes, cut});
    held.size -= cut;
    memmove(held.bytes, held.bytes + cut, held.size);
  }
  return piece.size();
}

void Log::emit(Stream stream, std::string_view piece) {
  if (kBatch - pending_ < 6 * piece.size() + attrs_.size() + 128) flush();
  const size_t size = encode_record(format_, batch_ + pending_, stream, time_, piece, attrs_);
  if (file_.is_full(pending_, size)) {
    const size_t at = pending_;
    flush();
    file_.rotate();
    memmove(batch_, batch_ + at, size);
  }
  pending_ += size;
}

void Log::flush() {
  if (pending_ != 0) file_.write({batch_, pending_});
  pending_ = 0;
}

void Log::finish(timespec time) {
  if (!file_.is_open()) return;
  time_ = format_time(time);
  for (const Stream stream : {Stream::out, Stream::err}) {
    Held& held = held_[stream == Stream::err ? 1 : 0];
    if (held.size != 0) emit(stream, {held.bytes, held.size});
    held.size = 0;
  }
  flush();
}

void Log::release() { sys::drop_pages(batch_, sizeof batch_); }

}  // namespace proa::shim
