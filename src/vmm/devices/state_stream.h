// Saved state: one function per device describes its fields once, for saving and for loading.
//
//   void Serial::transfer(StateStream& s) {
//     s.section("serial", 1);
//     s.value(divisor_);
//     s.check(divisor_ != 0, "divisor");
//   }
//
// Saved state may come from a file somebody changed: lengths are bounded here, values are checked by the device with
// check(). After the first error loading gives zeros; finish() tells it. One thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace proa::vmm {

class StateStream {
 public:
  StateStream() : saving_(true) {}
  explicit StateStream(std::string_view saved) : saving_(false), rest_(saved) {}

  bool saving() const { return saving_; }
  bool failed() const { return !error_.empty(); }

  // Begins what one device keeps; when loading, what was saved must be this device's, in the same version.
  void section(std::string_view name, uint32_t version) {
    std::string found(name);
    text(found, 64);
    uint32_t saved_version = version;
    value(saved_version);
    if (failed()) return;
    section_ = name;
    if (found != name) error_ = cat("has the state of \"", found, "\" in place of ", name);
    if (saved_version != version) error_ = cat("has version ", saved_version, " of ", name, ", not ", version);
  }

  template <typename T>
    requires std::is_trivially_copyable_v<T> && (!std::is_pointer_v<T>)
  void value(T& field) {
    bytes(&field, sizeof field);
  }
  // A bool may hold no other bits.
  void value(bool& field) {
    uint8_t byte = field ? 1 : 0;
    bytes(&byte, 1);
    check(byte <= 1, "flag");
    field = byte == 1;
  }
  void text(std::string& field, size_t most) {
    auto size = static_cast<uint32_t>(field.size());
    bytes(&size, sizeof size);
    if (!saving_ && (size > most || size > rest_.size())) {
      check(false, "length");
      size = 0;
    }
    if (!saving_) field.resize(size);
    bytes(field.data(), size);
  }
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  void list(std::vector<T>& field, size_t most) {
    auto count = static_cast<uint32_t>(field.size());
    bytes(&count, sizeof count);
    if (!saving_ && (count > most || count * sizeof(T) > rest_.size())) {
      check(false, "length");
      count = 0;
    }
    if (!saving_) field.resize(count);
    bytes(field.data(), count * sizeof(T));
  }
  // When loading: what must hold of a field.
  void check(bool holds, std::string_view field) {
    if (!saving_ && !holds && !failed()) error_ = cat(section_, ".", field, ": impossible value");
  }

  Result<std::string> finish() {
    if (!saving_ && !failed() && !rest_.empty()) error_ = cat("has ", rest_.size(), " bytes too many");
    if (failed()) return fail("saved state: ", error_);
    return std::move(out_);
  }

 private:
  void bytes(void* field, size_t size) {
    if (size == 0) return;
    if (saving_) {
      out_.append(static_cast<const char*>(field), size);
      return;
    }
    if (!failed() && size > rest_.size()) error_ = cat("ends within ", section_.empty() ? "its head" : section_);
    if (failed()) {
      std::memset(field, 0, size);
      return;
    }
    std::memcpy(field, rest_.data(), size);
    rest_.remove_prefix(size);
  }

  const bool saving_;
  std::string out_;
  std::string_view rest_;
  std::string section_, error_;
};

}  // namespace proa::vmm
