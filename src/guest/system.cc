#include "guest/system.h"

#include <errno.h>
#include <linux/random.h>
#include <linux/reboot.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <time.h>

#include "guest/network.h"
#include "guest/wire.h"
#include "shim/state.h"
#include "shim/sys.h"

namespace proa::guest {

namespace sys = shim::sys;

namespace {

constexpr const char* kNewRoot = "/proa/root";

long raw(const void* pointer) { return reinterpret_cast<long>(pointer); }

long mount(const char* source, const char* target, const char* type, unsigned long flags = 0,
           const char* options = nullptr) {
  return sys::call(SYS_mount, raw(source), raw(target), raw(type), static_cast<long>(flags), raw(options));
}

// One line of /proc/filesystems; those for devices begin with a tab.
bool next_type(std::string_view* list, Path* type) {
  while (!list->empty()) {
    size_t end = list->find('\n');
    if (end == std::string_view::npos) end = list->size();
    std::string_view line = shim::first(*list, end);
    list->remove_prefix(end < list->size() ? end + 1 : end);
    if (!line.starts_with('\t')) continue;
    line.remove_prefix(1);
    type->clear();
    *type << line;
    return true;
  }
  return false;
}

bool wait_for(const char* path) {
  for (int round = 0; round < 200; ++round) {
    if (sys::call(SYS_access, raw(path), 0) == 0) return true;
    sys::poll(nullptr, 0, 10);
  }
  return false;
}

// With whatever file system of the kernel's takes it.
Result<> mount_device(const char* device, const char* target, bool read_only) {
  if (!wait_for(device)) return shim::fail(device, ": there is no such device");
  char types[4096];
  const long size = shim::read_file(AT_FDCWD, "/proc/filesystems", types, sizeof types);
  std::string_view rest(types, size > 0 ? static_cast<size_t>(size) : 0);
  long worst = -EINVAL;
  for (Path type; next_type(&rest, &type);) {
    const long error = mount(device, target, type.c_str(), read_only ? MS_RDONLY : 0);
    if (error == 0) return {};
    if (error != -EINVAL) worst = error;
  }
  return shim::fail_with(worst, "mount ", device, " at ", target);
}

void move_into_root(const char* from) {
  const Path to(kNewRoot, from);
  sys::make_dir(to.c_str(), 0755);
  if (const long error = mount(from, to.c_str(), nullptr, MS_MOVE); error < 0) {
    const shim::Text<512> text("move ", from, ": ", shim::error_text(error).view());
    say(text.view());
  }
}

// The initial file system stays below, out of reach.
Result<> enter_root(std::string_view value) {
  const Path device(shim::take_word(&value));
  make_folders(kNewRoot);
  if (auto mounted = mount_device(device.c_str(), kNewRoot, shim::take_word(&value) == "ro"); !mounted) return mounted;
  for (const char* folder : {"/dev", "/proc", "/sys"}) move_into_root(folder);
  long error = sys::call(SYS_chdir, raw(kNewRoot));
  if (error == 0) error = mount(".", "/", nullptr, MS_MOVE);
  if (error == 0) error = sys::call(SYS_chroot, raw("."));
  if (error == 0) error = sys::call(SYS_chdir, raw("/"));
  if (error < 0) return shim::fail_with(error, "enter the root file system");
  mount("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
  return {};
}

Result<> mount_disk(std::string_view value) {
  const Path device(shim::take_word(&value));
  const Path target(shim::take_word(&value));
  make_folders(target.c_str());
  return mount_device(device.c_str(), target.c_str(), shim::take_word(&value) == "ro");
}

void name_servers(std::string_view fields) {
  shim::Text<2048> text;
  each_field(fields, [&](std::string_view key, std::string_view value) {
    if (key == "nameserver") text << "nameserver " << value << '\n';
  });
  if (text.size() == 0) return;
  make_folders("/etc");
  const int file = sys::open(AT_FDCWD, "/etc/resolv.conf", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) return;
  sys::write_all(file, text.c_str(), text.size());
  sys::close(file);
}

void load_module(std::string_view name) {
  const Path path("/proa/modules/", name);
  const int file = sys::open(AT_FDCWD, path.c_str(), O_RDONLY);
  const long error = file < 0 ? file : sys::call(SYS_finit_module, file, raw(""), 0);
  sys::close(file);
  if (error < 0 && error != -EEXIST) {
    const shim::Text<512> text("module ", name, ": ", shim::error_text(error).view());
    say(text.view());
  }
}

// Unless it is right already, but for the time the words took to come here.
void set_clock(std::string_view text) {
  constexpr uint64_t kSecond = 1'000'000'000, kClose = kSecond / 10;
  uint64_t wanted = 0;
  if (!shim::parse_number(text, ~uint64_t{0} >> 1, &wanted)) return;
  timespec time = {};
  sys::call(SYS_clock_gettime, CLOCK_REALTIME, raw(&time));
  const uint64_t now = static_cast<uint64_t>(time.tv_sec) * kSecond + static_cast<uint64_t>(time.tv_nsec);
  if ((wanted > now ? wanted - now : now - wanted) < kClose) return;
  time = {.tv_sec = static_cast<time_t>(wanted / kSecond), .tv_nsec = static_cast<long>(wanted % kSecond)};
  sys::call(SYS_clock_settime, CLOCK_REALTIME, raw(&time));
}

// Hex digits, which have four bits each. The kernel takes it into account from the next random number on.
void add_randomness(std::string_view seed) {
  constexpr size_t kMost = 64;
  struct {  // rand_pool_info, with its bytes
    int entropy_bits, size;
    char bytes[kMost];
  } pool = {};
  const std::string_view part = shim::first(seed, kMost);
  pool.entropy_bits = static_cast<int>(part.size() * 4);
  pool.size = static_cast<int>(part.size());
  __builtin_memcpy(pool.bytes, part.data(), part.size());
  const int random = sys::open(AT_FDCWD, "/dev/random", O_WRONLY);
  if (random < 0) return;
  sys::control(random, RNDADDENTROPY, &pool);
  sys::call(SYS_ioctl, random, RNDRESEEDCRNG, 0);
  sys::close(random);
}

}  // namespace

void say(std::string_view text) {
  const int console = sys::open(AT_FDCWD, "/dev/console", O_WRONLY | O_NOCTTY);
  if (console < 0) return;
  const shim::Text<4096> line("proa-guest: ", text, '\n');
  sys::write_all(console, line.c_str(), line.size());
  sys::close(console);
}

void make_folders(const char* path) {
  Path part;
  for (std::string_view rest = path; !rest.empty(); rest.remove_prefix(1)) {
    if (rest.front() == '/' && part.size() > 0) sys::make_dir(part.c_str(), 0755);
    part << rest.front();
  }
  sys::make_dir(part.c_str(), 0755);
}

void mount_kernel_files() {
  for (const char* folder : {"/proc", "/sys", "/dev"}) sys::make_dir(folder, 0755);
  mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC);
  mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC);
  mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=755");
  sys::make_dir("/dev/pts", 0755);
  mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666");
  sys::make_dir("/dev/shm", 01777);
  mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
  mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC);
  struct Link {
    const char *target, *path;
  };
  for (const Link& link : {Link{"/proc/self/fd", "/dev/fd"}, Link{"/proc/self/fd/0", "/dev/stdin"},
                           Link{"/proc/self/fd/1", "/dev/stdout"}, Link{"/proc/self/fd/2", "/dev/stderr"}})
    sys::call(SYS_symlinkat, raw(link.target), AT_FDCWD, raw(link.path));
}

void load_modules(const char* list) {
  char names[4096];
  const long size = shim::read_file(AT_FDCWD, list, names, sizeof names);
  std::string_view rest(names, size > 0 ? static_cast<size_t>(size) : 0);
  for (std::string_view name = shim::take_word(&rest); !name.empty(); name = shim::take_word(&rest)) load_module(name);
}

void renew(std::string_view fields) {
  set_clock(field(fields, "time"));
  if (const std::string_view seed = field(fields, "seed"); !seed.empty()) add_randomness(seed);
}

Result<> set_up(std::string_view fields) {
  Result<> done;
  const auto each = [&](std::string_view wanted, auto act) {
    each_field(fields, [&](std::string_view key, std::string_view value) {
      if (done && key == wanted) done = act(value);
    });
  };
  renew(fields);
  if (field(fields, "disks") == "1") load_modules("/proa/disks");
  if (field(fields, "nets") == "1") load_modules("/proa/nets");
  each("root", enter_root);
  each("mount", mount_disk);
  if (const std::string_view name = field(fields, "hostname"); !name.empty())
    sys::call(SYS_sethostname, raw(name.data()), static_cast<long>(name.size()));
  interface_up("lo");
  each("address", add_address);
  each("gateway", add_gateway);
  name_servers(fields);
  return done;
}

void disable_ctrl_alt_del() {
  sys::call(SYS_reboot, static_cast<long>(LINUX_REBOOT_MAGIC1), LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, 0);
}

void power_off() {
  sys::kill(-1, SIGTERM);
  siginfo_t info;
  for (int round = 0; round < 100 && sys::wait(P_ALL, 0, &info, WNOHANG) == 0; ++round)
    if (info.si_pid == 0) sys::poll(nullptr, 0, 10);
  sys::kill(-1, SIGKILL);
  while (sys::wait(P_ALL, 0, &info, 0) == 0) {
  }
  sys::call(SYS_sync);
  // What cannot be unmounted is made read-only, which writes it out as well.
  if (mount(nullptr, "/", nullptr, MS_REMOUNT | MS_RDONLY) < 0) sys::call(SYS_sync);
  sys::call(SYS_reboot, static_cast<long>(LINUX_REBOOT_MAGIC1), LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF, 0);
  for (;;) sys::call(SYS_pause);
}

}  // namespace proa::guest
