// Firecracker's API over HTTP on a unix socket: the same paths, bodies, statuses and error fields, for what exists
// here.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "vmm/api/microvm.h"

namespace proa::net {
class Loops;
}

namespace proa::vmm {

struct ApiAnswer {
  int status = 204;
  std::string body;         // JSON; "": none
  bool deprecated = false;  // the request has fields that go away: told by a header
};

// One request, without any transport. May take as long as the operation takes.
ApiAnswer answer_api(MicroVm& vm, std::string_view method, std::string_view path, std::string_view body);

class ApiServer {
 public:
  // Listens at once; the socket file goes with the server. The microVM outlives it.
  static Result<std::unique_ptr<ApiServer>> listen(MicroVm& vm, const std::string& path);
  ~ApiServer();

 private:
  struct State;
  explicit ApiServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace proa::vmm
