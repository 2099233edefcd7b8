// Protobuf's wire format, as much as the few messages of etcd and of backups need
// (protobuf.dev/programming-guides/encoding).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace proa::kube::store {

// Writes fields; what is zero or empty is left out, as proto3 has it.
class WireWriter {
 public:
  WireWriter& number(uint32_t field, int64_t value) {
    if (value == 0) return *this;
    return always(field, value);
  }
  WireWriter& always(uint32_t field, int64_t value) {
    varint(uint64_t{field} << 3);
    varint(static_cast<uint64_t>(value));
    return *this;
  }
  WireWriter& bytes(uint32_t field, std::string_view value) {
    if (value.empty()) return *this;
    return message(field, value);
  }
  // Also when it is empty: that it is there says something.
  WireWriter& message(uint32_t field, std::string_view value) {
    varint(uint64_t{field} << 3 | 2);
    varint(value.size());
    out_.append(value);
    return *this;
  }
  std::string take() { return std::move(out_); }
  const std::string& text() const { return out_; }

 private:
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(value | 0x80));
    out_.push_back(static_cast<char>(value));
  }
  std::string out_;
};

// Reads fields one after the other; those of fixed size are skipped over.
class WireReader {
 public:
  explicit WireReader(std::string_view message) : rest_(message) {}

  // False at the end, or at what is not protobuf: then failed().
  bool next();
  bool failed() const { return failed_; }
  // kCorrupt if what was read was no message; `what` names it.
  Result<> check(std::string_view what) const;

  uint32_t field() const { return field_; }
  // Of a varint; 0 for other types.
  int64_t number() const { return static_cast<int64_t>(number_); }
  // Of bytes, a string, a message; empty for other types.
  std::string_view bytes() const { return bytes_; }

 private:
  bool varint(uint64_t& value);
  bool skip(size_t size);
  std::string_view rest_;
  std::string_view bytes_;
  uint64_t number_ = 0;
  uint32_t field_ = 0;
  bool failed_ = false;
};

}  // namespace proa::kube::store
