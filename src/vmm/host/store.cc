#include "vmm/host/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>

#include "base/ids.h"
#include "base/text.h"
#include "kernel/file.h"

namespace proa::vmm {

namespace {

// What is there; "" for what is not.
std::string read_if_there(const std::string& path) {
  auto text = kernel::read_file(path.c_str());
  return text ? std::move(*text) : std::string();
}

}  // namespace

Result<VmRecord> VmStore::read(const std::string& name) const {
  VmRecord record{.name = name, .folder = cat(root_, "/", name), .machine = {}, .end = {}};
  auto lock = kernel::open(record.path("lock").c_str(), O_RDWR);
  if (!lock) return fail_errno(lock.error().code(), "machine ", name);
  record.machine = read_if_there(record.path("machine.json"));
  record.end = read_if_there(record.path("end.json"));
  if (::flock(lock->get(), LOCK_SH | LOCK_NB) == 0) return record;
  const std::string text = TRY(kernel::read_all(lock->get()));
  record.pid = parse_number<pid_t>(std::string_view(text).substr(0, text.find('\n'))).value_or(0);
  return record;
}

Result<std::vector<VmRecord>> VmStore::list() const {
  std::vector<VmRecord> records;
  std::vector<std::string> names = TRY(kernel::names_in(root_));
  std::ranges::sort(names);
  for (const std::string& name : names)
    if (auto record = read(name)) records.push_back(std::move(*record));
  return records;
}

Result<VmRecord> VmStore::find(std::string_view name) const {
  TRY(check_name(name, "machine"));
  auto record = read(std::string(name));
  if (!record && record.error().code() == ENOENT)
    return fail_errno(ENOENT, "machine ", name).hint("`proa vm ls -a` lists the machines");
  return record;
}

Result<VmRecord> VmStore::find_running(std::string_view name) const {
  VmRecord record = TRY(find(name));
  if (record.pid == 0)
    return fail("machine ", name, " does not run").hint("`proa vm run` or `proa vm restore` starts one");
  return record;
}

Result<VmStore::Claim> VmStore::claim(std::string_view name) const {
  TRY(check_name(name, "machine"));
  Claim claim{.record = {.name = std::string(name), .folder = cat(root_, "/", name), .machine = {}, .end = {}},
              .lock = {}};
  TRY(kernel::make_dirs(claim.record.folder, 0700));
  claim.lock = TRY(kernel::open(claim.record.path("lock").c_str(), O_RDWR | O_CREAT, 0600));
  if (::flock(claim.lock.get(), LOCK_EX | LOCK_NB) != 0)
    return fail_errno(EEXIST, "machine ", name, " runs already").hint("choose another --name, or `proa vm stop` it");
  for (const char* file : {"end.json", "console.log", "api.sock", "console.sock", "vsock.sock"})
    ::unlink(claim.record.path(file).c_str());
  return claim;
}

Result<> VmStore::remove(std::string_view name) const {
  const VmRecord record = TRY(find(name));
  if (record.pid != 0)
    return fail_errno(EBUSY, "machine ", name, " runs").hint("`proa vm stop` it first, or `proa vm rm --force`");
  return kernel::remove_tree(record.folder);
}

}  // namespace proa::vmm
