// Reads JSON values into structs, naming the place of every error. One function per object lists its
// fields; the types of the members say what is expected:
//
//   void fields(Object& in, User& out) {
//     in.field("uid", out.uid);                      // uint32_t: "process.user.uid: expected ..., found ..."
//     in.field("additionalGids", out.additional_gids);  // std::vector<uint32_t>
//   }
//
// The first error is kept and everything after it does nothing, so callers check once, at the end.
// null reads as absent, unknown fields are ignored. Private to the parse_*.cc files: includes Boost.JSON.
#pragma once

#include <boost/json.hpp>
#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "kernel/names.h"

namespace proa::oci::reader {

// Bounds on what one document may make us hold.
inline constexpr size_t kMaxItems = 1u << 16;
inline constexpr size_t kMaxStrings = 1u << 20;

// A step of the way to a value: a field ".name", a map entry ["name"] or an array item [index].
struct Place {
  enum class Kind : uint8_t { kField, kEntry, kItem };
  const Place* outer = nullptr;
  std::string_view name;
  size_t index = 0;
  Kind kind = Kind::kField;

  // "process.rlimits[2].soft"; empty for the document itself.
  std::string text() const;
};

// A value of the document, where it is, and where errors go.
class Cursor {
 public:
  Cursor(const boost::json::value& value, const Place* place, std::optional<Error>& failure)
      : value_(&value), place_(place), failure_(&failure) {}

  const boost::json::value& value() const { return *value_; }
  const Place* place() const { return place_; }
  bool failed() const { return failure_->has_value(); }
  Cursor at(const boost::json::value& value, const Place& place) const { return {value, &place, *failure_}; }

  // Keeps "<place>: <message>" unless an error came before.
  void fail(std::string_view message, std::string_view hint = {}) const;
  // "expected <what>, found <the value>".
  void expected(std::string_view what) const;
  void too_many(size_t limit) const;

 private:
  const boost::json::value* value_;
  const Place* place_;
  std::optional<Error>* failure_;
};

class Object;

void read(const Cursor& in, bool& out);
void read(const Cursor& in, std::string& out);
// A string without NUL bytes, valid while the document lives; nullopt after an error.
std::optional<std::string_view> read_text(const Cursor& in);
std::optional<int64_t> read_signed(const Cursor& in, int64_t lowest, int64_t highest);
std::optional<uint64_t> read_unsigned(const Cursor& in, uint64_t highest);
std::optional<uint64_t> read_name(const Cursor& in, kernel::NameTable table);
// A map's key: not empty, no NUL byte.
bool check_key(const Cursor& in, std::string_view key);

template <std::integral T>
  requires(!std::same_as<T, bool> && !std::same_as<T, char>)
void read(const Cursor& in, T& out) {
  if constexpr (std::is_signed_v<T>) {
    if (auto number = read_signed(in, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()))
      out = static_cast<T>(*number);
  } else {
    if (auto number = read_unsigned(in, std::numeric_limits<T>::max())) out = static_cast<T>(*number);
  }
}

// A name from a table, kept as its number.
template <typename T>
struct Named {
  T& out;
  kernel::NameTable table;
};
template <typename T>
Named(T&, kernel::NameTable) -> Named<T>;

template <typename T>
void read(const Cursor& in, const Named<T>& target) {
  if (auto number = read_name(in, target.table)) target.out = static_cast<T>(*number);
}

// Hands each item of an array to `read_item(cursor)`.
template <typename F>
void each_item(const Cursor& in, size_t limit, F read_item) {
  const boost::json::array* array = in.value().if_array();
  if (array == nullptr) return in.expected("an array");
  if (array->size() > limit) return in.too_many(limit);
  for (size_t i = 0; i < array->size() && !in.failed(); ++i) {
    const Place place{in.place(), {}, i, Place::Kind::kItem};
    read_item(in.at((*array)[i], place));
  }
}

// Hands each entry of a map to `read_entry(cursor, key)`.
template <typename F>
void each_entry(const Cursor& in, F read_entry) {
  const boost::json::object* object = in.value().if_object();
  if (object == nullptr) return in.expected("an object");
  if (object->size() > kMaxItems) return in.too_many(kMaxItems);
  for (const auto& member : *object) {
    const std::string_view key(member.key().data(), member.key().size());
    if (in.failed() || !check_key(in, key)) return;
    const Place place{in.place(), key, 0, Place::Kind::kEntry};
    read_entry(in.at(member.value(), place), key);
  }
}

// Names that are switched on in a mask.
struct NamedBits {
  uint64_t& out;
  kernel::NameTable table;
};
void read(const Cursor& in, const NamedBits& target);

template <typename T>
void read(const Cursor& in, std::optional<T>& out);
template <typename T>
void read(const Cursor& in, std::map<std::string, T, std::less<>>& out);

template <typename T>
void read(const Cursor& in, std::vector<T>& out) {
  if (const auto* array = in.value().if_array(); array != nullptr && array->size() <= kMaxStrings)
    out.reserve(array->size());
  each_item(in, std::is_class_v<T> && !std::same_as<T, std::string> ? kMaxItems : kMaxStrings,
            [&](const Cursor& item) { read(item, out.emplace_back()); });
}

// The fields of one object.
class Object {
 public:
  explicit Object(const Cursor& in) : in_(in), object_(in.value().if_object()) {
    if (object_ == nullptr) in_.expected("an object");
  }

  // Absent and null leave `out` as it is.
  template <typename T>
  void field(std::string_view name, T&& out) {
    if (const boost::json::value* value = find(name)) take(name, *value, out);
  }
  template <typename T>
  void required(std::string_view name, T&& out) {
    const boost::json::value* value = find(name);
    if (value != nullptr) return take(name, *value, out);
    if (object_ != nullptr) at(name, [&](const Cursor& missing) { missing.fail("is required"); });
  }
  // For fields whose type says too little: `read_field(cursor)` when it is there.
  template <typename F>
  void custom(std::string_view name, F read_field) {
    if (const boost::json::value* value = find(name)) {
      const Place place{in_.place(), name, 0, Place::Kind::kField};
      read_field(in_.at(*value, place));
    }
  }
  // Runs `report` with a cursor that stands on the field, there or not.
  template <typename F>
  void at(std::string_view name, F report) {
    const Place place{in_.place(), name, 0, Place::Kind::kField};
    report(in_.at(in_.value(), place));
  }
  bool failed() const { return in_.failed(); }

 private:
  // Null when absent, null, or after an error.
  const boost::json::value* find(std::string_view name) const {
    if (object_ == nullptr || in_.failed()) return nullptr;
    const boost::json::value* value = object_->if_contains({name.data(), name.size()});
    return value == nullptr || value->is_null() ? nullptr : value;
  }
  template <typename T>
  void take(std::string_view name, const boost::json::value& value, T& out) {
    const Place place{in_.place(), name, 0, Place::Kind::kField};
    read(in_.at(value, place), out);
  }

  Cursor in_;
  const boost::json::object* object_;
};

// Any other type is an object with a fields() of its own.
template <typename T>
concept Struct = requires(Object& in, T& out) { fields(in, out); };

template <Struct T>
void read(const Cursor& in, T& out) {
  Object object(in);
  fields(object, out);
}

template <typename T>
void read(const Cursor& in, std::optional<T>& out) {
  read(in, out.emplace());
}

template <typename T>
void read(const Cursor& in, std::map<std::string, T, std::less<>>& out) {
  each_entry(in, [&](const Cursor& entry, std::string_view key) {
    // In the order of the document keys come nearly sorted from every known writer.
    read(entry, out.emplace_hint(out.end(), key, T{})->second);
  });
}

}  // namespace proa::oci::reader
