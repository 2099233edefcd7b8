// JSON: what is parsed and printed reads back as the same value.
#include "base/json.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "fuzz.h"

namespace {

namespace bj = boost::json;

// Doubles to thirteen digits: Boost.JSON 1.81 reads them to a few units in the last place only.
bool same(const bj::value& a, const bj::value& b) {
  if (a.is_double() && b.is_double())
    return std::abs(a.get_double() - b.get_double()) <= std::abs(a.get_double()) * 1e-13 + 1e-300;
  if (a.is_array() && b.is_array()) return std::ranges::equal(a.get_array(), b.get_array(), same);
  if (!a.is_object() || !b.is_object()) return a == b;
  return std::ranges::equal(a.get_object(), b.get_object(), [](const auto& x, const auto& y) {
    return x.key() == y.key() && same(x.value(), y.value());
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa;
  const auto value = json::parse(as_text(data, size));
  if (!value) {
    FUZZ_CHECK(!value.error().message().empty());
    return 0;
  }
  const auto line = json::parse(json::to_line(*value));
  FUZZ_CHECK(line && same(*line, *value));
  const auto pretty = json::parse(json::to_pretty(*value));
  FUZZ_CHECK(pretty && same(*pretty, *value));
  return 0;
}
