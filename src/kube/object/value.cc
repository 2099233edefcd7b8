#include "kube/object/value.h"

#include <algorithm>

namespace proa::kube {

Value Value::array(Arena& arena, size_t capacity) {
  Value v(Type::kArray);
  v.body_ = static_cast<Body*>(arena.allocate(sizeof(Body)));
  *v.body_ = {capacity > 0 ? arena.allocate_array<Value>(capacity) : nullptr, 0, static_cast<uint32_t>(capacity)};
  return v;
}

Value Value::object(Arena& arena, size_t capacity) {
  Value v(Type::kObject);
  v.body_ = static_cast<Body*>(arena.allocate(sizeof(Body)));
  *v.body_ = {capacity > 0 ? arena.allocate_array<Member>(capacity) : nullptr, 0, static_cast<uint32_t>(capacity)};
  return v;
}

Value Value::array_of(Arena& arena, std::span<const Value> items) {
  Value v = array(arena, items.size());
  std::ranges::copy(items, static_cast<Value*>(v.body_->data));
  v.body_->size = static_cast<uint32_t>(items.size());
  return v;
}

Value Value::object_of(Arena& arena, std::span<const Member> members) {
  Value v = object(arena, members.size());
  std::ranges::copy(members, static_cast<Member*>(v.body_->data));
  v.body_->size = static_cast<uint32_t>(members.size());
  return v;
}

std::span<Value> Value::items() const {
  if (!is_array()) return {};
  return {static_cast<Value*>(body_->data), body_->size};
}

std::span<Member> Value::members() const {
  if (!is_object()) return {};
  return {static_cast<Member*>(body_->data), body_->size};
}

size_t Value::size() const { return is_array() || is_object() ? body_->size : 0; }

Value* Value::find(std::string_view key) const {
  for (Member& member : members())
    if (member.key == key) return &member.value;
  return nullptr;
}

Value* Value::find(std::initializer_list<std::string_view> path) const {
  Value* at = nullptr;
  const Value* from = this;
  for (const std::string_view key : path) {
    at = from->find(key);
    if (at == nullptr) return nullptr;
    from = at;
  }
  return at;
}

void Value::reserve_one(Arena& arena, size_t element) {
  if (body_->size < body_->capacity) return;
  const uint32_t capacity = std::max(4u, body_->capacity * 2);
  void* data = arena.allocate(capacity * element);
  if (body_->size > 0) std::memcpy(data, body_->data, body_->size * element);
  body_->data = data;
  body_->capacity = capacity;
}

Value& Value::add(Arena& arena, std::string_view key, Value value) {
  reserve_one(arena, sizeof(Member));
  Member& member = static_cast<Member*>(body_->data)[body_->size++];
  member = {key, value};
  return member.value;
}

Value& Value::set(Arena& arena, std::string_view key, Value value) {
  if (Value* found = find(key)) return *found = value;
  return add(arena, key, value);
}

Value& Value::child(Arena& arena, std::string_view key) {
  Value* found = find(key);
  if (found != nullptr && found->is_object()) return *found;
  return set(arena, key, object(arena));
}

bool Value::erase(std::string_view key) {
  const std::span<Member> all = members();
  const auto at = std::ranges::find(all, key, &Member::key);
  if (at == all.end()) return false;
  std::move(at + 1, all.end(), at);
  --body_->size;
  return true;
}

void Value::push(Arena& arena, Value value) {
  reserve_one(arena, sizeof(Value));
  static_cast<Value*>(body_->data)[body_->size++] = value;
}

void Value::insert(Arena& arena, size_t index, Value value) {
  push(arena, value);
  const std::span<Value> all = items();
  std::rotate(all.begin() + static_cast<ptrdiff_t>(index), all.end() - 1, all.end());
}

void Value::erase_at(size_t index) {
  const std::span<Value> all = items();
  std::move(all.begin() + static_cast<ptrdiff_t>(index) + 1, all.end(), all.begin() + static_cast<ptrdiff_t>(index));
  --body_->size;
}

void Value::truncate(size_t count) {
  if ((is_array() || is_object()) && count < body_->size) body_->size = static_cast<uint32_t>(count);
}

namespace {

template <typename Text>
Value copy(Arena& arena, const Value& value, const Text& text) {
  switch (value.type()) {
    case Value::Type::kString: return Value::view(text(value.as_string()));
    case Value::Type::kArray: {
      Value out = Value::array(arena, value.size());
      for (const Value& item : value.items()) out.push(arena, copy(arena, item, text));
      return out;
    }
    case Value::Type::kObject: {
      Value out = Value::object(arena, value.size());
      for (const Member& member : value.members()) out.add(arena, text(member.key), copy(arena, member.value, text));
      return out;
    }
    default: return value;
  }
}

bool equal_members(const Value& a, const Value& b) {
  const std::span<Member> left = a.members(), right = b.members();
  if (left.size() != right.size()) return false;
  for (size_t i = 0; i < left.size(); ++i) {
    // Mostly the order is the same.
    const Value* other = right[i].key == left[i].key ? &right[i].value : b.find(left[i].key);
    if (other == nullptr || !equal(left[i].value, *other)) return false;
  }
  return true;
}

}  // namespace

Value clone(Arena& arena, const Value& value) {
  return copy(arena, value, [&](std::string_view text) { return arena.copy(text); });
}

Value clone_shape(Arena& arena, const Value& value) {
  return copy(arena, value, [](std::string_view text) { return text; });
}

bool equal(const Value& a, const Value& b) {
  if (a.type() != b.type()) return false;
  switch (a.type()) {
    case Value::Type::kNull: return true;
    case Value::Type::kBool: return a.as_bool() == b.as_bool();
    case Value::Type::kInt: return a.as_int() == b.as_int();
    case Value::Type::kDouble: return a.as_double() == b.as_double();
    case Value::Type::kString: return a.as_string() == b.as_string();
    case Value::Type::kArray: return std::ranges::equal(a.items(), b.items(), equal);
    case Value::Type::kObject: return equal_members(a, b);
  }
  return false;
}

void sort_keys(Value& value) {
  for (Value& item : value.items()) sort_keys(item);
  if (!value.is_object()) return;
  for (Member& member : value.members()) sort_keys(member.value);
  std::ranges::sort(value.members(), {}, &Member::key);
}

}  // namespace proa::kube
