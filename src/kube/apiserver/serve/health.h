// /healthz, /livez, /readyz: named checks, each also by itself below the path.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "kube/apiserver/serve/call.h"

namespace proa::kube::api {

class Health {
 public:
  // Of /readyz alone, or of all three. Checks are quick and never wait. Before the first request.
  void add(std::string name, std::function<Result<>()> check, bool ready_only = false) {
    checks_.push_back({std::move(name), std::move(check), ready_only});
  }
  static bool has(std::string_view path);
  Served serve(Call& call) const;

 private:
  struct Check {
    std::string name;
    std::function<Result<>()> check;
    bool ready_only;
  };
  std::vector<Check> checks_;
};

}  // namespace proa::kube::api
