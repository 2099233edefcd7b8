// --filter of ps and prune.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"

namespace proa::cli {

class ContainerFilter {
 public:
  // An error names the filter that is unknown.
  static Result<ContainerFilter> parse(const std::vector<std::string>& filters);
  Result<bool> matches(engine::Engine& engine, const engine::Container& container) const;
  // Whether containers that do not run are asked for.
  bool wants_stopped() const;

 private:
  std::vector<std::pair<std::string, std::string>> filters_;
};

// Documents as --format (a template for each) or -o say.
class Invocation;
Result<> print_documents(const Invocation& in, const boost::json::array& documents);
// Asks on the terminal; false: no.
Result<bool> confirm(const std::string& question);
bool matches_labels(const engine::StringMap& labels, const std::string& wanted);

}  // namespace proa::cli
