// The document type of API objects: JSON whose numbers are int64 or double, as upstream has them, whose
// object members keep their order, and whose memory is one arena.
//
// A Value is a handle of 16 bytes: copying it copies no content, and two copies of an array or object are the
// same array or object. `clone` makes an independent one. Strings, arrays and objects live in the Arena they
// were made in; a value of one document may stand in another only while both live.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "kube/object/arena.h"

namespace proa::kube {

struct Member;

class Value {
 public:
  enum class Type : uint8_t { kNull, kBool, kInt, kDouble, kString, kArray, kObject };

  Value() = default;
  static Value boolean(bool b) {
    Value v(Type::kBool);
    v.bool_ = b;
    return v;
  }
  static Value integer(int64_t i) {
    Value v(Type::kInt);
    v.int_ = i;
    return v;
  }
  static Value real(double d) {
    Value v(Type::kDouble);
    v.double_ = d;
    return v;
  }
  // Not copied: the text has to outlive the document. Texts are at most 4 GiB.
  static Value view(std::string_view text) {
    Value v(Type::kString);
    v.text_ = text.data();
    v.size_ = static_cast<uint32_t>(text.size());
    return v;
  }
  static Value text(Arena& arena, std::string_view text) { return view(arena.copy(text)); }
  static Value array(Arena& arena, size_t capacity = 0);
  static Value object(Arena& arena, size_t capacity = 0);
  static Value array_of(Arena& arena, std::span<const Value> items);
  static Value object_of(Arena& arena, std::span<const Member> members);

  Type type() const { return type_; }
  bool is_null() const { return type_ == Type::kNull; }
  bool is_bool() const { return type_ == Type::kBool; }
  bool is_int() const { return type_ == Type::kInt; }
  bool is_double() const { return type_ == Type::kDouble; }
  bool is_number() const { return is_int() || is_double(); }
  bool is_string() const { return type_ == Type::kString; }
  bool is_array() const { return type_ == Type::kArray; }
  bool is_object() const { return type_ == Type::kObject; }

  // What it holds, or the type's empty value when it holds something else.
  bool as_bool() const { return is_bool() && bool_; }
  int64_t as_int() const { return is_int() ? int_ : 0; }
  double as_double() const { return is_double() ? double_ : static_cast<double>(as_int()); }
  std::string_view as_string() const { return is_string() ? std::string_view(text_, size_) : std::string_view(); }
  std::span<Value> items() const;
  std::span<Member> members() const;
  // Elements or members.
  size_t size() const;

  // The member's value; nullptr when there is none or this is no object.
  Value* find(std::string_view key) const;
  // ... following a path of keys.
  Value* find(std::initializer_list<std::string_view> path) const;
  // Of a member: its value, or null.
  Value get(std::string_view key) const {
    const Value* found = find(key);
    return found != nullptr ? *found : Value();
  }
  Value get(std::initializer_list<std::string_view> path) const {
    const Value* found = find(path);
    return found != nullptr ? *found : Value();
  }
  std::string_view string(std::string_view key) const { return get(key).as_string(); }
  std::string_view string(std::initializer_list<std::string_view> path) const { return get(path).as_string(); }

  // Replaces the member or adds it at the end; the key is not copied. This must be an object.
  Value& set(Arena& arena, std::string_view key, Value value);
  // Adds without looking for an equal key.
  Value& add(Arena& arena, std::string_view key, Value value);
  // The member, an object: made if it is missing or something else.
  Value& child(Arena& arena, std::string_view key);
  bool erase(std::string_view key);
  // This must be an array.
  void push(Arena& arena, Value value);
  void insert(Arena& arena, size_t index, Value value);
  void erase_at(size_t index);
  // Keeps the first `count` elements or members.
  void truncate(size_t count);

 private:
  struct Body {
    void* data;
    uint32_t size;
    uint32_t capacity;
  };
  explicit Value(Type type) : type_(type) {}
  void reserve_one(Arena& arena, size_t element);

  Type type_ = Type::kNull;
  uint32_t size_ = 0;  // of a string
  union {
    int64_t int_ = 0;
    bool bool_;
    double double_;
    const char* text_;
    Body* body_;
  };
};
static_assert(sizeof(Value) == 16);

struct Member {
  std::string_view key;
  Value value;
};

// A document and the memory it is in.
struct Document {
  Arena arena;
  Value root;
};

// A copy that shares nothing with the original, texts and keys included.
Value clone(Arena& arena, const Value& value);
// A copy of arrays and objects that shares texts with the original, which has to outlive it.
Value clone_shape(Arena& arena, const Value& value);

// Same type and content; members in any order. 1 and 1.0 are not equal.
bool equal(const Value& a, const Value& b);

// Members of all objects within, in the order of their keys' bytes.
void sort_keys(Value& value);

}  // namespace proa::kube
