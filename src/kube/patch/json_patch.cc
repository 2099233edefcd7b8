#include "kube/patch/json_patch.h"

#include <optional>
#include <unordered_map>
#include <vector>

#include "base/text.h"

namespace proa::kube {
namespace {

// Of all that copy operations add; as upstream's, what a request's body may have.
constexpr size_t kMostCopied = 3 << 20;
// As of documents that are read.
constexpr int kMaxDepth = 500;

// About what it is as text, and at least `most` + 1 where it is more, or nested too deeply.
size_t weight(const Value& value, size_t most, int depth) {
  if (depth > kMaxDepth) return most + 1;
  size_t sum = value.is_string() ? value.as_string().size() + 2 : 4;
  if (value.is_array())
    for (const Value& item : value.items())
      if (sum += weight(item, most, depth + 1) + 1; sum > most) break;
  if (value.is_object())
    for (const Member& member : value.members())
      if (sum += member.key.size() + weight(member.value, most, depth + 1) + 4; sum > most) break;
  return sum;
}

// RFC 6901: "~1" is a slash, "~0" a tilde.
Result<std::vector<std::string>> tokens_of(std::string_view pointer) {
  std::vector<std::string> out;
  if (pointer.empty()) return out;
  if (pointer[0] != '/') return fail("\"", pointer, "\" is no JSON pointer: it must begin with /");
  pointer.remove_prefix(1);
  for (bool more = true; more;) {
    more = pointer.find('/') != std::string_view::npos;
    std::string token;
    const std::string_view part = cut(pointer, '/');
    for (size_t i = 0; i < part.size(); ++i) {
      if (part[i] != '~')
        token += part[i];
      else if (i + 1 < part.size() && (part[i + 1] == '0' || part[i + 1] == '1'))
        token += part[++i] == '0' ? '~' : '/';
      else
        return fail("\"", part, "\" has a ~ that is neither ~0 nor ~1");
    }
    out.push_back(std::move(token));
  }
  return out;
}

// An index without leading zeros, at most `most`.
std::optional<size_t> index_of(std::string_view token, size_t most) {
  const auto index = parse_number<size_t>(token);
  if (!index || *index > most || (token.size() > 1 && token[0] == '0')) return std::nullopt;
  return index;
}

class Patcher {
 public:
  Patcher(Arena& arena, Value root) : arena_(arena), root_(root) {}

  Value root() const { return root_; }

  Result<> run(const Value& operation) {
    const std::string_view op = operation.string("op");
    const std::string_view path = operation.string("path");
    if (!operation.get("path").is_string()) return fail("an operation has no path");
    const bool wants_from = op == "move" || op == "copy";
    if (wants_from && !operation.get("from").is_string()) return fail(op, " operation has no from");
    const bool wants_value = op == "add" || op == "replace" || op == "test";
    const Value* value = operation.find("value");
    if (wants_value && value == nullptr) return fail(op, " operation has no value");
    const auto tokens = TRY(tokens_of(path));
    if (op == "add") return add(tokens, clone_shape(arena_, *value));
    if (op == "remove") return remove(tokens);
    if (op == "replace") return replace(tokens, clone_shape(arena_, *value));
    if (op == "test") {
      // What is missing equals null, as in upstream's library.
      const Value* found = find(tokens);
      if (!equal(found == nullptr ? Value() : *found, *value)) return fail("test failed");
      return {};
    }
    if (!wants_from) return fail("unexpected kind: ", op);
    const auto from = TRY(tokens_of(operation.string("from")));
    const Value* found = find(from);
    if (found == nullptr) return fail("doc is missing from path: ", operation.string("from"), ": missing value");
    if (op == "copy" && (copied_ += weight(*found, kMostCopied, 0)) > kMostCopied)
      return fail("Unable to copy, the accumulated size increase of copy exceeds the limit ", kMostCopied);
    const Value moved = clone_shape(arena_, *found);
    if (op == "move") {
      if (path.starts_with(cat(operation.string("from"), "/"))) return fail("a value cannot be moved into itself");
      TRY(remove(from));
    }
    return add(tokens, moved);
  }

 private:
  Value* find(const std::vector<std::string>& tokens) { return walk(tokens, tokens.size()); }

  // The value after the first `count` tokens.
  Value* walk(const std::vector<std::string>& tokens, size_t count) {
    Value* at = &root_;
    for (size_t i = 0; i < count && at != nullptr; ++i) {
      if (at->is_array()) {
        const auto index = index_of(tokens[i], at->size());
        at = index && *index < at->size() ? &at->items()[*index] : nullptr;
      } else {
        at = at->find(tokens[i]);
      }
    }
    return at;
  }

  Result<> add(const std::vector<std::string>& tokens, Value value) {
    if (tokens.size() > kMaxDepth) return fail("the path is nested too deeply");
    if (tokens.empty()) {
      root_ = value;
      return {};
    }
    Value* parent = walk(tokens, tokens.size() - 1);
    if (parent == nullptr || !(parent->is_array() || parent->is_object()))
      return fail("doc is missing path: missing value");
    const std::string& last = tokens.back();
    if (parent->is_object()) {
      parent->set(arena_, arena_.copy(last), value);
      return {};
    }
    const auto index = last == "-" ? std::optional(parent->size()) : index_of(last, parent->size());
    if (!index) return fail("Unable to access invalid index: ", last, ": invalid index referenced");
    parent->insert(arena_, *index, value);
    return {};
  }

  Result<> remove(const std::vector<std::string>& tokens) {
    if (tokens.empty() || find(tokens) == nullptr) return fail("Unable to remove nonexistent key: missing value");
    Value* parent = walk(tokens, tokens.size() - 1);
    if (parent->is_object())
      parent->erase(tokens.back());
    else
      parent->erase_at(*index_of(tokens.back(), parent->size()));
    return {};
  }

  Result<> replace(const std::vector<std::string>& tokens, Value value) {
    Value* found = find(tokens);
    if (found == nullptr) return fail("doc is missing key: missing value");
    *found = value;
    return {};
  }

  Arena& arena_;
  Value root_;
  size_t copied_ = 0;
};

}  // namespace

Result<Value> apply_json_patch(Arena& arena, const Value& object, const Value& patch) {
  if (!patch.is_array()) return fail("a JSON patch is an array of operations");
  if (patch.size() > kMostPatchOperations)
    return fail("The allowed maximum operations in a JSON patch is ", kMostPatchOperations, ", got ", patch.size());
  Patcher patcher(arena, clone_shape(arena, object));
  for (const Value& operation : patch.items())
    TRY_CTX(patcher.run(operation), operation.string("op"), " operation does not apply: ", operation.string("path"));
  return patcher.root();
}

Value apply_merge_patch(Arena& arena, const Value& object, const Value& patch) {
  if (!patch.is_object()) return patch;
  // By key, so that large objects take no quadratic time.
  std::unordered_map<std::string_view, const Value*> wanted;
  for (const Member& member : patch.members()) wanted.emplace(member.key, &member.value);
  Value out = Value::object(arena, object.size() + patch.size());
  for (const Member& member : object.members()) {
    const auto found = wanted.find(member.key);
    if (found == wanted.end()) {
      out.add(arena, member.key, member.value);
      continue;
    }
    if (!found->second->is_null()) out.add(arena, member.key, apply_merge_patch(arena, member.value, *found->second));
    wanted.erase(found);
  }
  for (const Member& member : patch.members())
    if (!member.value.is_null() && wanted.contains(member.key))
      out.add(arena, member.key, apply_merge_patch(arena, Value(), member.value));
  return out;
}

}  // namespace proa::kube
