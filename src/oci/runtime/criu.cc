#include "oci/runtime/criu.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <deque>

#include "base/log.h"
#include "kernel/file.h"
#include "kernel/unix_socket.h"
#include "oci/runtime/foreground.h"
#include "oci/runtime/hooks.h"
#include "oci/runtime/launch.h"
#include "oci/runtime/mount_options.h"
#include "oci/runtime/rootfs.h"

namespace proa::oci::runtime::criu {
namespace {

constexpr int kSocketNumber = 3;
constexpr size_t kMaxMessage = 64 * 1024;
constexpr const char* kInstallHint = "install it (Debian: apt install criu), or name it with --criu";

// Copies `fds` out of the way, close-on-exec, so that none is overwritten before it is placed.
Result<std::vector<Fd>> move_away(const std::vector<int>& fds) {
  const int floor = kFirstDescriptor + static_cast<int>(fds.size()) + 1;
  std::vector<Fd> copies;
  for (const int fd : fds) {
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, floor);
    if (copy < 0) return fail_errno(errno, "keep descriptor ", fd);
    copies.emplace_back(copy);
  }
  return copies;
}

Result<> place(int fd, int number) {
  if (::dup2(fd, number) < 0) return fail_errno(errno, "place descriptor ", number);
  return {};
}

Result<> discard_output() {
  Fd null = TRY(kernel::open("/dev/null", O_RDWR));
  for (int fd = 0; fd < 3; ++fd) TRY(place(null.get(), fd));
  return {};
}

// Descriptors 0, 1, 2, the socket as 3, then folders and inherited ones; no others.
Result<> arrange_descriptors(const Start& start, const Fd& socket, Sync& sync) {
  if (start.silent) TRY(discard_output());
  std::vector<Fd> folders;
  std::vector<int> wanted{socket.get()};
  for (const std::string& path : start.folders) {
    folders.push_back(TRY(kernel::open(path.c_str(), O_RDONLY | O_DIRECTORY)));
    wanted.push_back(folders.back().get());
  }
  wanted.insert(wanted.end(), start.inherited.begin(), start.inherited.end());
  wanted.push_back(sync.fd());
  std::vector<Fd> copies = TRY(move_away(wanted));
  sync = Sync(std::move(copies.back()));
  copies.pop_back();
  for (size_t i = 0; i < copies.size(); ++i) TRY(place(copies[i].get(), kSocketNumber + static_cast<int>(i)));
  const auto first_other = static_cast<unsigned>(kSocketNumber) + static_cast<unsigned>(copies.size());
  if (::syscall(SYS_close_range, first_other, ~0u, CLOSE_RANGE_CLOEXEC) != 0)
    return fail_errno(errno, "keep descriptors from criu");
  return {};
}

void reset_signals() {
  for (int signal = 1; signal < 32; ++signal) ::signal(signal, SIG_DFL);
  restore_signal_mask();
}

Result<> become_criu(const Start& start, Sync& sync) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  reset_signals();
  if (start.prepare) TRY(start.prepare());
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return fail_errno(errno, "make socket pair");
  const Fd socket(pair[0]);
  TRY(sync.send('M', {}, {&pair[1], 1}));
  ::close(pair[1]);
  TRY(sync.expect('k'));
  TRY(arrange_descriptors(start, socket, sync));
  // From here on it must be able to outlive us: only criu can thaw what it froze.
  ::prctl(PR_SET_PDEATHSIG, 0);
  const std::string number = std::to_string(kSocketNumber);
  ::execl(start.program.c_str(), start.program.c_str(), "swrk", number.c_str(), static_cast<char*>(nullptr));
  return fail_errno(errno, "run ", start.program).hint(kInstallHint);
}

Error refusal(const Response& response, const char* what) {
  std::string text = cat("criu could not ", what);
  if (!response.error_text.empty()) text += cat(": ", summarize_output(response.error_text));
  return response.error > 0 ? Error::from_errno(response.error, text) : Error(std::move(text));
}

const char* verb(RequestType type) {
  switch (type) {
    case RequestType::kDump: return "save the container";
    case RequestType::kPreDump: return "save the container's memory";
    case RequestType::kRestore: return "restore the container";
    case RequestType::kFeatureCheck: return "check the kernel's features";
    default: return "tell its version";
  }
}

}  // namespace

Result<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (::access(name.c_str(), X_OK) != 0) return fail_errno(errno, "--criu: ", name).hint(kInstallHint);
    return absolute_path(name);
  }
  if (auto found = kernel::find_program(name)) return std::move(*found);
  return fail_errno(ENOENT, "the program ", name, ", which saves and restores processes").hint(kInstallHint);
}

Result<Session> Session::start(const Start& start) {
  Session session;
  session.program_ = start.program;
  auto [sync, their_sync] = TRY(Sync::make_pair());
  session.child_ = TRY(kernel::clone_process(start.new_namespaces));
  if (session.child_.pid == 0) {
    sync.close();
    const auto done = become_criu(start, their_sync);
    if (!done) their_sync.send_error(done.error());
    ::_exit(1);
  }
  session.sync_ = std::move(sync);
  their_sync.close();
  Message message = TRY(session.sync_.expect('M'));
  if (message.fds.size() != 1) return fail("no connection came from ", start.program);
  session.socket_ = std::move(message.fds.front());
  return session;
}

Session::Session(Session&& other) noexcept
    : program_(std::move(other.program_)),
      child_{std::exchange(other.child_.pid, 0), std::move(other.child_.pidfd)},
      sync_(std::move(other.sync_)),
      socket_(std::move(other.socket_)) {}

Session::~Session() {
  if (child_.pid <= 0) return;
  // The closed connection is criu's order to stop.
  socket_.reset();
  sync_.close();
  (void)kernel::wait_child(child_.pid);
}

Result<> Session::execute() {
  TRY(sync_.send('k'));
  const Message message = TRY(sync_.receive());
  sync_.close();
  if (message.kind == 'E') return std::unexpected(decode_error(message.body));
  return {};
}

Result<> Session::send(const Request& request) const {
  const std::string bytes = encode(request);
  ssize_t sent;
  do sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return fail_errno(errno, "speak to ", program_);
  return {};
}

Result<Response> Session::receive(std::vector<Fd>& fds) const {
  std::string buffer(kMaxMessage, '\0');
  const size_t got = TRY_CTX(kernel::receive_message(socket_.get(), buffer, fds), "hear from ", program_);
  if (got == 0) return fail_errno(ECONNRESET, program_, " ended without an answer");
  buffer.resize(got);
  return decode_response(buffer);
}

Result<Response> Session::perform(const Request& request, const OnNotify& on_notify) {
  TRY(send(request));
  std::optional<Error> ours;
  for (;;) {
    std::vector<Fd> fds;
    auto response = receive(fds);
    if (!response && ours) return std::unexpected(*std::move(ours));
    if (!response) return response;
    if (response->type == RequestType::kNotify && response->success) {
      log::debug("criu: ", response->script);
      auto done = on_notify && !ours ? on_notify({response->script, response->script_pid, fds}) : Result<>();
      if (!done) ours = std::move(done).error();
      TRY(send({.type = RequestType::kNotify, .notify_success = !ours}));
      continue;
    }
    if (ours) return std::unexpected(*std::move(ours));
    if (!response->success) return std::unexpected(refusal(*response, verb(request.type)));
    if (response->type != request.type)
      return fail(program_, ": unexpected answer ", static_cast<uint32_t>(response->type));
    return response;
  }
}

Result<int> Session::finish() {
  socket_.reset();
  return kernel::wait_child(std::exchange(child_.pid, 0));
}

namespace {

Result<Response> ask(const std::string& program, const Request& request) {
  Session session =
      TRY(Session::start({.program = program, .silent = true, .folders = {}, .inherited = {}, .prepare = {}}));
  TRY(session.execute());
  return session.perform(request);
}

Result<Fd> open_made(const std::string& path, bool make) {
  if (make) TRY(kernel::make_dirs(path, 0700));
  return kernel::open(path.c_str(), O_RDONLY | O_DIRECTORY);
}

// A file with settings that outrank ours: the annotation's, or the host's for this program or for runc.
std::string config_file(const StringMap& annotations) {
  if (const auto found = annotations.find("org.criu.config"); found != annotations.end()) return found->second;
  constexpr const char* kOwn = "/etc/criu/proa.conf";
  return kernel::path_exists(kOwn) ? kOwn : "/etc/criu/runc.conf";
}

uint32_t empty_namespaces(const std::vector<std::string>& names, std::string& unknown) {
  // Devices and addresses are not ours to restore: hooks and engines make them anew.
  uint32_t flags = CLONE_NEWNET;
  for (const std::string& name : names)
    if (name != "network") unknown = name;
  return flags;
}

Result<> set_page_server(const std::string& text, Options& options) {
  if (text.empty()) return {};
  const size_t colon = text.rfind(':');
  std::string_view address = std::string_view(text).substr(0, colon == std::string::npos ? 0 : colon);
  if (address.size() > 2 && address.front() == '[' && address.back() == ']')
    address = address.substr(1, address.size() - 2);
  const char* end = text.data() + text.size();
  int port = 0;
  const auto read = colon == std::string::npos ? std::from_chars_result{text.data(), std::errc::invalid_argument}
                                               : std::from_chars(text.data() + colon + 1, end, port);
  if (address.empty() || read.ec != std::errc() || read.ptr != end || port < 1 || port > 65535)
    return fail("--page-server: '", text, "' is not ADDRESS:PORT");
  options.page_server_address = address;
  options.page_server_port = port;
  return {};
}

}  // namespace

Result<int> version(const std::string& program) {
  const Response response = TRY(ask(program, {.type = RequestType::kVersion, .features = {}, .notify_success = {}}));
  constexpr int kOldest = 30000;
  if (response.version < kOldest) return fail(program, ": version ", response.version, " is older than 3.0");
  return response.version;
}

Result<> require_features(const std::string& program, const Features& wanted) {
  const Response found =
      TRY(ask(program, {.type = RequestType::kFeatureCheck, .features = wanted, .notify_success = {}}));
  if (wanted.mem_track && !found.features.mem_track)
    return fail("criu or the kernel cannot track memory changes (mem_track)");
  if (wanted.lazy_pages && !found.features.lazy_pages)
    return fail("criu or the kernel cannot move memory lazily (lazy_pages)");
  return {};
}

Result<Folders> open_folders(const CheckpointOptions& options, bool make, const char* log_name) {
  if (options.image_path.empty()) return fail("--image-path: must not be empty");
  Folders folders;
  folders.paths.push_back(absolute_path(options.image_path));
  folders.images = TRY_CTX(open_made(options.image_path, make), "--image-path");
  if (!options.work_path.empty()) {
    const Fd work = TRY_CTX(open_made(options.work_path, true), "--work-path");
    folders.paths.push_back(absolute_path(options.work_path));
  }
  folders.log = cat(folders.paths.back(), "/", log_name);
  return folders;
}

Result<Options> common_options(const CheckpointOptions& options, const Folders& folders, const StringMap& annotations) {
  Options out;
  out.images_dir_fd = kFirstDescriptor;
  if (folders.paths.size() > 1) out.work_dir_fd = kFirstDescriptor + 1;
  out.log_file = folders.log.substr(folders.log.rfind('/') + 1);
  out.cgroup_mode = TRY(parse_cgroup_mode(options.manage_cgroups_mode));
  out.shell_job = options.shell_job;
  out.tcp_established = options.tcp_established;
  out.ext_unix_sk = options.ext_unix_sk;
  out.file_locks = options.file_locks;
  out.auto_dedup = options.auto_dedup;
  out.lazy_pages = options.lazy_pages;
  out.config_file = config_file(annotations);
  std::string unknown;
  out.empty_ns = empty_namespaces(options.empty_ns, unknown);
  if (!unknown.empty()) return fail("--empty-ns: '", unknown, "' is not supported, only network is");
  TRY(set_page_server(options.page_server, out));
  return out;
}

Error explained(Error error, const std::string& log) {
  auto text = kernel::read_file(log.c_str(), 64u << 20);
  if (!text) return error;
  constexpr size_t kLines = 3;
  std::deque<std::string> lines;
  for (std::string_view rest = *text; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t at = line.find("Error");
    if (at == std::string_view::npos) continue;
    lines.push_back(summarize_output(line.substr(at), 256));
    if (lines.size() > kLines) lines.pop_front();
  }
  std::string message = error.message();
  for (const std::string& line : lines) message += cat(": ", line);
  return Error(std::move(message), error.code()).hint(cat("criu's log is ", log));
}

std::string external_key(NamespaceType type) {
  if (type == NamespaceType::kNetwork) return "extRootNetNS";
  if (type == NamespaceType::kPid) return "extRootPidNS";
  return {};
}

std::string resolve_in_root(int root, const std::string& path, bool* folder) {
  auto opened = kernel::open_in_root(root, path.c_str(), O_PATH);
  if (!opened) return {};
  const auto info = kernel::stat_fd(opened->get());
  if (folder != nullptr) *folder = info && S_ISDIR(info->st_mode);
  char buffer[PATH_MAX];
  const ssize_t length = ::readlink(kernel::FdPath(opened->get()).c_str(), buffer, sizeof buffer);
  return length <= 0 || length == sizeof buffer ? std::string() : std::string(buffer, static_cast<size_t>(length));
}

bool is_bind(const Mount& mount, const Linux& container) {
  const auto options = parse_mount_options(mount, &container);
  if (options && options->is_remount()) return false;
  return options && options->is_bind();
}

bool binds_cgroups(const Mount& mount, const Linux& container) {
  if (mount.type != "cgroup" && mount.type != "cgroup2") return false;
  return container.find(NamespaceType::kCgroup) == nullptr && !host_is_unified();
}

}  // namespace proa::oci::runtime::criu
