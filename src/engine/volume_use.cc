// Volumes and the containers that have them: none goes that somebody has, or is about to have.
#include "base/text.h"
#include "engine/engine.h"
#include "kernel/file.h"

namespace proa::engine {

Result<StringMap> Engine::volume_users() const {
  StringMap out;
  for (const Container& container : TRY(records_.all()))
    for (const MountConfig& mount : container.resolved.mounts)
      if (mount.type == "volume") out.emplace(mount.source, container.id);
  return out;
}

Result<> Engine::remove_volume(const std::string& name) {
  const Fd alone = TRY(volumes_.alone());
  TRY(volumes_.find(name));
  const StringMap users = TRY(volume_users());
  if (const auto user = users.find(name); user != users.end())
    return Failure(Error(cat("remove ", name, ": volume is in use - [", user->second, "]"), EBUSY));
  return volumes_.remove(name);
}

Result<> Engine::prune_volumes(const std::function<Result<bool>(const Volume&)>& wanted) {
  {
    const Fd alone = TRY(volumes_.alone());
    const StringMap users = TRY(volume_users());
    for (const Volume& volume : TRY(volumes_.list()))
      if (!users.contains(volume.name) && TRY(wanted(volume))) TRY(volumes_.remove(volume.name));
  }
  return empty_trash();
}

// Others may have come to share them, by --volumes-from.
Result<> Engine::remove_anonymous(const Container& container) {
  Fd alone;
  StringMap users;
  for (const MountConfig& mount : container.resolved.mounts) {
    if (mount.type != "volume" || !mount.anonymous) continue;
    if (!alone) {
      alone = TRY(volumes_.alone());
      for (const Container& other : TRY(records_.all()))
        if (other.id != container.id)
          for (const MountConfig& theirs : other.resolved.mounts) users.emplace(theirs.source, other.id);
    }
    if (users.contains(mount.source)) continue;
    auto removed = volumes_.remove(mount.source);
    if (!removed && removed.error().code() != ENOENT) return removed;
  }
  return {};
}

// What killed removals left there. Volumes that are being made are there too, under the lock.
Result<> Engine::empty_trash() {
  const Fd alone = TRY(volumes_.alone());
  for (const std::string& name : TRY(kernel::names_in(folders_.trash())))
    TRY(kernel::remove_tree(cat(folders_.trash(), "/", name)));
  return {};
}

}  // namespace proa::engine
