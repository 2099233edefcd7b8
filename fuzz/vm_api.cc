// Requests to a machine's API, each line a path and a body.
#include "base/text.h"
#include "fuzz.h"
#include "vmm/api/service.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::vmm;
  MicroVm vm({.engine_options = {}, .kernel_cache = {}, .initrd_extra = {}, .serial_output = {}});
  std::string_view rest = as_text(data, size);
  while (!rest.empty()) {
    std::string_view line = proa::cut(rest, '\n');
    const std::string_view method = proa::cut(line, ' ');
    const std::string_view path = proa::cut(line, ' ');
    // What writes to files of the host, or starts a machine, is not for fuzzing.
    if (path.contains("metrics") || path.contains("logger") || line.contains("InstanceStart")) continue;
    const ApiAnswer answer = answer_api(vm, method, path, line);
    FUZZ_CHECK(answer.status == 200 || answer.status == 204 || answer.status == 400);
  }
  return 0;
}
