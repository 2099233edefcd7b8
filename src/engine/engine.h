// The engine: containers, volumes, logs and events, as every face of Proa shares them. There is no daemon: all
// state is on disk (folders.h, records.h), every call is one process's work under the container's lock, and each
// container is held by its own proa-shim, whose exit command calls exited().
//
//   Engine engine = Engine::open();
//   Created made = TRY(engine.create(config, "web"));
//   TRY(engine.start(made.id));
//
// Containers are named by id, name or the beginning of an id. Threads: an Engine belongs to one thread; any
// number of them may work at once, in one process or many. Calls that start or run something in a container
// fork, and want a process without other threads.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "engine/config.h"
#include "engine/events.h"
#include "engine/folders.h"
#include "engine/image_source.h"
#include "engine/network.h"
#include "engine/records.h"
#include "engine/volumes.h"
#include "logs/details.h"
#include "logs/reader.h"

namespace proa::engine {

struct SpecInput;
struct ShimRequest;
struct NamespaceChoice;

struct Created {
  std::string id, name;
  std::vector<std::string> warnings;
};

struct StartOptions {
  // Called when the container is created and before its program runs, with the folder of its shim: whoever is to
  // miss no output attaches here.
  std::function<Result<>(const std::string& shim_folder)> before;
};

struct StopOptions {
  std::optional<int64_t> timeout;  // seconds until SIGKILL; -1: never. Unset: the container's own, or 10
  std::string signal;              // empty: the container's own
};

struct RemoveOptions {
  bool force = false;    // kill it first
  bool volumes = false;  // its anonymous ones too
};

enum class WaitFor : uint8_t { kNotRunning, kNextExit, kRemoved };

// One more program in a container: made, started once, and ended.
struct Exec {
  std::string id, container;  // container: its id
  ExecConfig config;
  bool started = false, running = false;
  std::optional<int64_t> exit_code;
  int64_t pid = 0;  // 0 unless running
};

// What `update` may change; unset: as it is.
struct UpdateRequest {
  std::optional<int64_t> nano_cpus, cpu_shares, cpu_quota, cpu_period, memory, memory_swap, memory_reservation,
      pids_limit, blkio_weight, cpu_rt_runtime, cpu_rt_period;
  std::optional<std::string> cpuset_cpus, cpuset_mems;
  std::optional<RestartPolicy> restart;
};

struct Process {
  std::vector<std::string> titles;
  std::vector<std::vector<std::string>> rows;
};

// Containers that share namespaces.
struct Sandbox {
  Container holder;  // has the sandbox's id, name, networks and state
  std::vector<Container> containers;
};

// What came up after a boot.
struct Booted {
  bool fresh = false;  // the first call since the boot
  std::vector<std::string> started;
  std::vector<std::pair<std::string, Error>> failed;
};
std::string boot_id();

// What went down with the host.
struct ShutDown {
  std::vector<std::string> stopped;
  std::vector<std::pair<std::string, Error>> failed;
};

struct StatsSample {
  uint64_t cpu_ns = 0, system_ns = 0;  // of the container; of the machine
  uint64_t online_cpus = 1;
  uint64_t memory = 0, memory_limit = 0;  // bytes, page cache that can go left out
  uint64_t network_in = 0, network_out = 0, block_in = 0, block_out = 0, pids = 0;
};

class Engine {
 public:
  static Result<Engine> open(const Folders& folders = Folders::standard());
  Engine(Engine&&) noexcept = default;

  const Folders& folders() const { return folders_; }
  const Records& records() const { return records_; }
  Volumes& volumes() { return volumes_; }
  Events& events() { return events_; }
  ImageSource& images() { return images_; }
  const Networks& networks() const { return networks_; }

  // --- life
  // `name` empty: one is made up. ENOENT: the image is not here. EEXIST: the name is taken.
  Result<Created> create(ContainerConfig config, std::string name);
  // Of a running container: nothing. Errors of the program itself have ENOENT (exit status 127) or EACCES (126).
  Result<> start(const std::string& container, const StartOptions& options = {});
  Result<> stop(const std::string& container, const StopOptions& options = {});
  Result<> kill(const std::string& container, const std::string& signal);
  Result<> restart(const std::string& container, const StopOptions& options = {});
  Result<> pause(const std::string& container);
  Result<> unpause(const std::string& container);
  Result<> rename(const std::string& container, const std::string& name);
  Result<std::vector<std::string>> update(const std::string& container, const UpdateRequest& request);
  // One more network, at once if it runs; and one less.
  Result<> connect(const std::string& container, const NetworkConfig& network, const Strings& links,
                   int gateway_priority);
  Result<> disconnect(const std::string& container, const std::string& network);
  // The container's link of this alias ends. ENOENT: there is none.
  Result<> unlink(const std::string& container, std::string_view alias);
  Result<> remove(const std::string& container, const RemoveOptions& options = {});
  // The exit status.
  Result<int> wait(const std::string& container, WaitFor condition = WaitFor::kNotRunning);

  // --- sandboxes: namespaces that several containers share, held by a process of ours. Names and ids are unique among
  // containers and sandboxes. `config.shared` says which namespaces (net, ipc and uts when empty); a container joins
  // by `config.sandbox`. Most of what is done with a container can be done with a sandbox by its id or name, too.
  Result<Created> create_sandbox(ContainerConfig config, const std::string& name);
  Result<> start_sandbox(const std::string& sandbox);
  // Its containers are stopped first.
  Result<> stop_sandbox(const std::string& sandbox, const StopOptions& options = {});
  // `force`: with its containers, running or not.
  Result<> remove_sandbox(const std::string& sandbox, bool force);
  // ENOENT: "No such sandbox: ...".
  Result<Sandbox> inspect_sandbox(const std::string& sandbox);
  Result<std::vector<Sandbox>> sandboxes();

  // --- volumes. EBUSY: "volume is in use - [ID]".
  Result<> remove_volume(const std::string& name);
  // Those that no container has and `wanted` takes.
  Result<> prune_volumes(const std::function<Result<bool>(const Volume&)>& wanted);
  // Volume to the id of a container that has it.
  Result<StringMap> volume_users() const;

  // --- looking. What died unseen is set right first.
  Result<Container> inspect(const std::string& container);
  // Without the holders of sandboxes.
  Result<std::vector<Container>> list();
  Health health(const Container& container) const;
  Result<Process> top(const std::string& container, const std::vector<std::string>& ps_args);
  Result<StatsSample> stats(const Container& container);
  // Docker's document (GET /containers/ID/json), as JSON.
  Result<std::string> document(const Container& container, bool size = false);

  // --- inside
  // An exec lives on disk until its container ends; one that has ended can be asked about for five minutes more.
  Result<std::string> exec_create(const std::string& container, const ExecConfig& config);
  // The connection to its streams, as attach.sock's after the greeting (docs/shim.md), and with the exit record as last
  // frame; no descriptor when `detach`. Errors of the program itself have ENOENT (127) or EACCES (126).
  Result<Fd> exec_start(const std::string& exec, bool detach);
  // ENOENT: "No such exec instance: ...".
  Result<Exec> exec_inspect(const std::string& exec);
  Result<> exec_resize(const std::string& exec, unsigned rows, unsigned columns);
  // Of those that have not ended.
  std::vector<std::string> exec_ids(const std::string& container_id) const;
  // Where its shim is: for AttachSession.
  Result<std::string> exec_shim(const std::string& exec) const;
  // ENOTSUP: its driver keeps nothing to read.
  Result<> read_log(const Container& container, logs::LogQuery query, bool details, const logs::LogSink& sink);
  // The root file system: of a running container as its processes see it.
  Result<Fd> open_root(const Container& container);
  // ... without what is mounted in it.
  Result<Fd> open_own_files(const Container& container);
  Result<std::vector<std::pair<char, std::string>>> diff(const std::string& container);
  Result<std::string> commit(const std::string& container, const CommitRequest& request, bool pause);

  // --- what the shim calls
  // The container's program has ended: records it, and restarts or removes the container as it was asked to.
  Result<> exited(const std::string& id);
  // So has that of an exec.
  Result<> exec_exited(const std::string& container_id, const std::string& exec);
  // One health check.
  Result<> check_health(const std::string& id);
  // Sends its log to where its driver says; returns when there is nothing left to send. `last`: it is tried once.
  Result<> forward_log(const std::string& id, bool last);

  // Once after each boot of the host: starts what its restart policy wants to run. Later calls do nothing.
  Result<Booted> boot();
  // Before the host goes down: stops all that runs at once, each by its own signal and within its own time, or
  // `timeout` seconds if that is less. The next boot() starts what its restart policy wants to run, as if nobody had
  // stopped it.
  Result<ShutDown> shut_down(std::optional<int64_t> timeout);
  // Takes away what has lost its owner: half-made and half-removed containers, folders of shims.
  Result<> clean_up();

 private:
  explicit Engine(const Folders& folders);
  Result<Resolved> resolve(const ContainerConfig& config, const std::string& id, std::vector<std::string>& warnings);
  Result<> resolve_mounts(const ContainerConfig& config, const Strings& image_volumes, Resolved& to);
  Result<> name_volumes(Resolved& resolved);
  Result<> make_volumes(const ContainerConfig& config, const std::string& id, Resolved& resolved);
  Result<> check_joined(ContainerConfig& config);
  Result<> fill_volumes(const std::vector<MountConfig>& fresh, const Container& container);

  // A container that is to be changed: nobody else changes it until `locked` ends.
  struct Held {
    Locked locked;
    Container container;
  };
  // By name or id, what died unseen set right.
  Result<Held> hold(const std::string& reference);

  Result<std::vector<Container>> list_all();
  Result<Container> holder_of(const std::string& reference);
  Result<std::vector<Container>> members_of(const std::string& id);
  Result<> join_sandbox(ContainerConfig& config);

  Result<std::string> exec_document(const Container& container, const ExecConfig& config);
  Result<std::string> exec_home(const std::string& exec) const;

  Result<> start_locked(const Locked& locked, Container& container, const StartOptions& options);
  Result<> launch(const Locked& locked, Container& container, const StartOptions& options);
  Result<> choose_namespaces(const Locked& locked, const Container& container, SpecInput& input);
  Result<NamespaceChoice> choose_namespace(const std::string& mode, const char* what);
  // Detached mounts, and where they are attached for a container alone.
  using PrivateMounts = std::vector<std::pair<Fd, std::string>>;
  Result<> find_sources(const Container& container, SpecInput& input, PrivateMounts& mounts);
  Result<std::string> mount_part(const std::string& volume, const std::string& part, const std::string& point,
                                 PrivateMounts& mounts);
  Result<Fd> open_launch_root(const Container& container, const std::string& path);
  Result<> set_going(const Locked& locked, Container& container, const StartOptions& options);
  // `what` of it is to be joined: an error if it does not run.
  Result<Container> running(const std::string& reference, const char* what);
  // Sets right what dead commands left undone. True: something changed.
  Result<bool> reconcile(const Locked& locked, Container& container);
  Result<bool> take_up(const Locked& locked, Container& container);
  Result<> undo_start(const Locked& locked, Container& container);
  // Whether reconcile() or a removal that is due would change something.
  bool unsettled(const Container& container) const;
  Result<> record_exit(const Locked& locked, Container& container, bool& restart);
  Result<> release(const Locked& locked, Container& container);
  Result<> set_log(const Container& container, ShimRequest& request);
  std::string log_path(const std::string& id) const { return folders_.container(id) + "/log"; }
  logs::Subject log_subject(const Container& container) const;
  // What was not sent of a log that is to be: by a process of its own; and waited for, before it is removed.
  void go_on_forwarding(const Container& container);
  void finish_forwarding(const Container& container);
  Result<> remove_anonymous(const Container& container);
  // What is left of a container whose maker died.
  Result<> bury(const std::string& id);
  Result<> remove_dead_bundles();
  Result<> empty_trash();
  Result<> remove_locked(Locked& locked, Container& container, bool volumes);
  // Records an end that nobody has recorded yet, and removes what is to remove itself; restarts are the exit
  // command's. The container as it is now, or as it was when it was removed.
  struct Settled {
    std::optional<Container> container;  // unset: somebody else is at it, or has removed it
    bool removed = false;
  };
  Result<Settled> settle(const std::string& id, bool wait = true);
  Result<Settled> look(const std::string& id);
  Result<> begin(const Locked& locked, Container& container, const char* pending);
  // For what takes longer than the container's lock is held: as long as the descriptor is, take_up() keeps off.
  Result<Fd> engage(const std::string& id) const;
  Result<> pause_for(const std::string& container, const char* pending);
  // A container that waits for its restart while nobody is left to start it: hands it to a new exit command.
  void revive(const Container& container);
  Result<> wait_and_restart(const std::string& id);
  Result<> signal_locked(const Container& container, int signal);
  // A stop in two halves, so that several can be under way. No value: there was nothing to wait for.
  struct Stopping {
    Container container;
    int64_t timeout_ms = 0;  // until SIGKILL; -1: never
  };
  Result<std::optional<Stopping>> begin_stop(const std::string& reference, const StopOptions& options, bool with_host);
  Result<> end_stop(const Stopping& stopping);
  void stop_together(const std::vector<Container>& containers, std::optional<int64_t> timeout, ShutDown& to);
  // Waits for the end of a signalled container, and has it recorded.
  Result<bool> await_exit(const std::string& id, int64_t pid, int64_t timeout_ms);
  void tell(const Container& container, std::string_view action, StringMap attributes = {});

  Folders folders_;
  Records records_;
  Volumes volumes_;
  Events events_;
  ImageSource images_;
  Networks networks_;
};

bool is_running(const State& state);              // running, paused or restarting
bool removes_itself(const Container& container);  // now
int64_t stop_timeout(const Container& container);

}  // namespace proa::engine
