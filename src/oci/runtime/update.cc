#include "base/log.h"
#include "kernel/resctrl.h"
#include "oci/runtime/runtime.h"
#include "oci/runtime/update_resources.h"
#include "oci/runtime/watched.h"

namespace proa::oci::runtime {
namespace {

Result<> update_rdt(const Watched& watched, const UpdateOptions& options) {
  if (options.l3_cache_schema.empty() && options.mem_bw_schema.empty()) return {};
  const Spec spec = TRY(watched.folder.load_config());
  if (!spec.linux_ || !spec.linux_->intel_rdt)
    return fail("--l3-cache-schema, --mem-bw-schema: the container was made without linux.intelRdt");
  const kernel::ResctrlGroup group = TRY(kernel::find_resctrl(*spec.linux_->intel_rdt, watched.state.id));
  return kernel::update_resctrl(group, options.l3_cache_schema, options.mem_bw_schema);
}

}  // namespace

Result<> update(const Globals& globals, const std::string& id, const UpdateOptions& options) {
  const kernel::cgroup::Resources resources = TRY(resources_of(options));
  for (const std::string& note : kernel::cgroup::ignored_fields(resources)) log::warning(note);
  Watched watched = TRY(open_watched(globals, id, true));
  if (TRY(current_status(watched.folder, watched.state)) == Status::kStopped) return fail("container not running");
  TRY(watched.cgroup.update(resources));
  return update_rdt(watched, options);
}

}  // namespace proa::oci::runtime
