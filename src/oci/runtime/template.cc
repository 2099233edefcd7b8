// `spec`: writes a starting config.json.
#include "oci/spec/template.h"

#include <unistd.h>

#include "base/fd.h"
#include "kernel/file.h"
#include "oci/runtime/rootfs.h"
#include "oci/runtime/runtime.h"

namespace proa::oci::runtime {
Result<> write_template(const std::string& bundle, bool rootless) {
  const std::string text = TRY(template_config(
      {.rootless = rootless, .uid = ::geteuid(), .gid = ::getegid(), .unified_cgroup = host_is_unified()}));
  const std::string path = cat(bundle.empty() ? "." : bundle, "/config.json");
  auto opened = kernel::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0666);
  if (!opened && opened.error().code() == EEXIST) return fail(path, " exists").hint("remove it first");
  const Fd file = TRY(std::move(opened));
  Defer undo([&] { ::unlink(path.c_str()); });
  TRY_CTX(kernel::write_all(file.get(), text), "write ", path);
  undo.dismiss();
  return {};
}

}  // namespace proa::oci::runtime
