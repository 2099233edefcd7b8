#include "base/json.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

namespace proa::json {
namespace bj = boost::json;
namespace {

void position(std::string_view text, size_t offset, size_t& line, size_t& column) {
  line = 1;
  column = 1;
  for (size_t i = 0; i < offset && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
}

void indent(std::string& out, int depth) { out.append(static_cast<size_t>(depth) * 2, ' '); }

void pretty(std::string& out, const bj::value& value, int depth) {
  if (const auto* object = value.if_object(); object != nullptr && !object->empty()) {
    out += "{\n";
    size_t left = object->size();
    for (const auto& member : *object) {
      indent(out, depth + 1);
      out += bj::serialize(bj::string_view(member.key()));
      out += ": ";
      pretty(out, member.value(), depth + 1);
      out += --left > 0 ? ",\n" : "\n";
    }
    indent(out, depth);
    out += "}";
  } else if (const auto* array = value.if_array(); array != nullptr && !array->empty()) {
    out += "[\n";
    size_t left = array->size();
    for (const auto& item : *array) {
      indent(out, depth + 1);
      pretty(out, item, depth + 1);
      out += --left > 0 ? ",\n" : "\n";
    }
    indent(out, depth);
    out += "]";
  } else {
    out += bj::serialize(value);
  }
}

// A number too large for a double is parsed as infinity, which no JSON text can stand for.
bool all_finite(const bj::value& value) {
  if (const double* number = value.if_double()) return std::isfinite(*number);
  if (const auto* array = value.if_array()) return std::ranges::all_of(*array, all_finite);
  if (const auto* object = value.if_object())
    return std::ranges::all_of(*object, [](const auto& member) { return all_finite(member.value()); });
  return true;
}

}  // namespace

Result<bj::value> parse(std::string_view text, const ParseLimits& limits) {
  if (text.size() > limits.max_bytes)
    return fail("JSON of ", text.size(), " bytes is over the limit of ", limits.max_bytes);
  try {
    bj::stream_parser parser(bj::make_shared_resource<bj::monotonic_resource>(text.size() * 4 + 1024),
                             bj::parse_options{.max_depth = limits.max_depth});
    bj::error_code ec;
    const size_t used = parser.write_some(text.data(), text.size(), ec);
    if (!ec && used < text.size()) {
      const size_t rest = text.find_first_not_of(" \t\r\n", used);
      if (rest != std::string_view::npos) ec = bj::error::extra_data;
    }
    if (!ec) parser.finish(ec);
    if (ec) {
      size_t line = 0, column = 0;
      position(text, used, line, column);
      return fail("not valid JSON at line ", line, ", column ", column, ": ", ec.message());
    }
    bj::value value = parser.release();
    if (!all_finite(value)) return fail("not valid JSON: a number is out of range");
    return value;
  } catch (const std::exception& error) {
    return fail("JSON: ", error.what());
  }
}

std::string to_line(const bj::value& value) { return bj::serialize(value); }

std::string to_pretty(const bj::value& value) {
  std::string out;
  pretty(out, value, 0);
  out += "\n";
  return out;
}

std::string quote(std::string_view text) { return bj::serialize(bj::string_view(text.data(), text.size())); }

}  // namespace proa::json
