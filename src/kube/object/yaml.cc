#include "kube/object/yaml.h"

#include <boost/json.hpp>

#include "base/yaml.h"

namespace proa::kube {
namespace {
namespace bj = boost::json;

Value from_library(Arena& arena, const bj::value& value) {
  switch (value.kind()) {
    case bj::kind::null: return {};
    case bj::kind::bool_: return Value::boolean(value.get_bool());
    case bj::kind::int64: return Value::integer(value.get_int64());
    case bj::kind::uint64: return Value::real(static_cast<double>(value.get_uint64()));
    case bj::kind::double_: return Value::real(value.get_double());
    case bj::kind::string: {
      const bj::string& text = value.get_string();
      return Value::text(arena, {text.data(), text.size()});
    }
    case bj::kind::array: {
      Value out = Value::array(arena, value.get_array().size());
      for (const bj::value& item : value.get_array()) out.push(arena, from_library(arena, item));
      return out;
    }
    case bj::kind::object: {
      Value out = Value::object(arena, value.get_object().size());
      for (const auto& member : value.get_object())
        out.add(arena, arena.copy({member.key().data(), member.key().size()}), from_library(arena, member.value()));
      return out;
    }
  }
  return {};
}

bj::value to_library(const Value& value, const bj::storage_ptr& memory) {
  switch (value.type()) {
    case Value::Type::kNull: return bj::value(memory);
    case Value::Type::kBool: return bj::value(value.as_bool(), memory);
    case Value::Type::kInt: return bj::value(value.as_int(), memory);
    case Value::Type::kDouble: return bj::value(value.as_double(), memory);
    case Value::Type::kString:
      return bj::value(bj::string_view(value.as_string().data(), value.as_string().size()), memory);
    case Value::Type::kArray: {
      bj::array out(memory);
      out.reserve(value.size());
      for (const Value& item : value.items()) out.push_back(to_library(item, memory));
      return out;
    }
    case Value::Type::kObject: {
      bj::object out(memory);
      out.reserve(value.size());
      for (const Member& member : value.members())
        out.emplace(bj::string_view(member.key.data(), member.key.size()), to_library(member.value, memory));
      return out;
    }
  }
  return {};
}

}  // namespace

Result<Value> read_yaml(Arena& arena, std::string_view text, bool unique_keys) {
  yaml::ParseLimits limits;
  limits.unique_keys = unique_keys;
  const bj::value value = TRY(yaml::parse(text, limits));
  return from_library(arena, value);
}

std::string write_yaml(const Value& value) {
  bj::monotonic_resource memory;
  return yaml::emit(to_library(value, &memory), yaml::KeyOrder::kSorted);
}

}  // namespace proa::kube
