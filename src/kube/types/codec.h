// From documents to the typed structs that the build makes of the schema (kube/types/core_v1.h and so on), and back.
//
//   apps_v1::Deployment deployment = from_value<apps_v1::Deployment>(document.root);
//   Value value = to_value(arena, deployment);
//
// A struct owns its memory. Fields that are pointers upstream are std::optional; times are zero when unset; embedded
// objects are JSON text. Reading takes what fits and leaves the rest at its zero: documents are conformed before.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "kube/codec/quantity.h"
#include "kube/codec/time.h"
#include "kube/object/value.h"

namespace proa::kube {

using IntOrString = std::variant<int32_t, std::string>;
struct Bytes : std::string {};    // base64 in documents
struct RawJson : std::string {};  // any JSON
struct MicroTime : Instant {};    // printed with microseconds
struct Nanoseconds {
  int64_t value = 0;
};

// Structs have functions read_struct and write_struct, found by their namespace.
template <typename T>
struct Codec {
  static void read(const Value& in, T& out) { read_struct(in, out); }
  static Value write(Arena& arena, const T& in) {
    Value out = Value::object(arena);
    write_struct(arena, in, out);
    return out;
  }
  static bool zero(const T&) { return false; }
};

#define PROA_KUBE_CODEC(TYPE)                         \
  template <>                                         \
  struct Codec<TYPE> {                                \
    static void read(const Value& in, TYPE& out);     \
    static Value write(Arena& arena, const TYPE& in); \
    static bool zero(const TYPE& in);                 \
  }
PROA_KUBE_CODEC(std::string);
PROA_KUBE_CODEC(int32_t);
PROA_KUBE_CODEC(int64_t);
PROA_KUBE_CODEC(double);
PROA_KUBE_CODEC(bool);
PROA_KUBE_CODEC(Bytes);
PROA_KUBE_CODEC(RawJson);
PROA_KUBE_CODEC(Instant);
PROA_KUBE_CODEC(MicroTime);
PROA_KUBE_CODEC(Nanoseconds);
PROA_KUBE_CODEC(Quantity);
PROA_KUBE_CODEC(IntOrString);
#undef PROA_KUBE_CODEC

template <typename T>
struct Codec<std::vector<T>> {
  static void read(const Value& in, std::vector<T>& out) {
    out.clear();
    out.reserve(in.size());
    for (const Value& item : in.items()) {
      T value{};
      Codec<T>::read(item, value);
      out.push_back(std::move(value));
    }
  }
  static Value write(Arena& arena, const std::vector<T>& in) {
    Value out = Value::array(arena, in.size());
    for (const T& item : in) out.push(arena, Codec<T>::write(arena, item));
    return out;
  }
  static bool zero(const std::vector<T>& in) { return in.empty(); }
};

template <typename T>
struct Codec<std::map<std::string, T, std::less<>>> {
  using Map = std::map<std::string, T, std::less<>>;
  static void read(const Value& in, Map& out) {
    out.clear();
    for (const Member& member : in.members()) Codec<T>::read(member.value, out[std::string(member.key)]);
  }
  static Value write(Arena& arena, const Map& in) {
    Value out = Value::object(arena, in.size());
    for (const auto& [key, value] : in) out.add(arena, arena.copy(key), Codec<T>::write(arena, value));
    return out;
  }
  static bool zero(const Map& in) { return in.empty(); }
};

// --- for the code that is made

template <typename T>
void read_field(const Value& object, std::string_view name, T& out) {
  if (const Value* found = object.find(name); found != nullptr && !found->is_null()) Codec<T>::read(*found, out);
}
template <typename T>
void read_field(const Value& object, std::string_view name, std::optional<T>& out) {
  if (const Value* found = object.find(name); found != nullptr && !found->is_null())
    Codec<T>::read(*found, out.emplace());
}
// `keep`: also when it is zero.
template <typename T>
void write_field(Arena& arena, Value& object, std::string_view name, const T& value, bool keep) {
  if (keep || !Codec<T>::zero(value)) object.add(arena, name, Codec<T>::write(arena, value));
}
template <typename T>
void write_field(Arena& arena, Value& object, std::string_view name, const std::optional<T>& value, bool) {
  if (value) object.add(arena, name, Codec<T>::write(arena, *value));
}

template <typename T>
T from_value(const Value& value) {
  T out{};
  Codec<T>::read(value, out);
  return out;
}
template <typename T>
Value to_value(Arena& arena, const T& value) {
  return Codec<T>::write(arena, value);
}

}  // namespace proa::kube
