// What the monitor and the guest's init say to each other over the machine's socket device.
//
// The guest connects to the host's port kControlPort and says kReady; the host answers kGo with what there is to set
// up; the guest says kUp, and kEnd with the workload's status before it switches off, which the host answers. Sessions
// are connections of the host to the guest's port kSessionPort: kStart with what is wanted, then frames until kExit or
// kFail. Both ends are x86: numbers are little-endian.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>

namespace proa::guest {

inline constexpr uint32_t kControlPort = 1024, kSessionPort = 1024;

enum class Kind : uint8_t {
  kReady = 1,  // guest
  kGo,         // host: fields
  kUp,         // guest
  kEnd,        // guest: uint32, the workload's status; host: it has it
  kStart,      // host: fields
  kInput,      // host: bytes; none: the end
  kSignal,     // host: uint32
  kSize,       // host: WindowSize
  kOutput,     // guest: bytes
  kErrors,     // guest: bytes
  kExit,       // guest: uint32, as shells tell it
  kFail,       // guest: text
  kEntry,      // either: Entry, then its name
  kData,       // either: bytes of the file before it
  kDone,       // either: no more entries
};

struct Frame {
  Kind kind{};
  uint8_t zero[3] = {};
  uint32_t size = 0;
};
static_assert(sizeof(Frame) == 8);

inline constexpr uint32_t kMostFields = 256 << 10;  // of kGo and kStart
inline constexpr uint32_t kMostData = 32 << 10;     // of any other

struct WindowSize {
  uint16_t rows = 0, columns = 0;
};

// A file, folder or symbolic link that is copied. Its name is relative to the place copied to, "" for that itself; a
// link's target follows the name's NUL.
struct Entry {
  uint64_t size = 0;
  int64_t seconds = 0;
  uint32_t nanoseconds = 0, mode = 0, uid = 0, gid = 0;
};
inline Entry entry_of(const struct stat& file) {
  return {.size = S_ISREG(file.st_mode) ? static_cast<uint64_t>(file.st_size) : 0,
          .seconds = file.st_mtim.tv_sec,
          .nanoseconds = static_cast<uint32_t>(file.st_mtim.tv_nsec),
          .mode = file.st_mode,
          .uid = file.st_uid,
          .gid = file.st_gid};
}

// Fields are "key=value\0", one after the other; keys may come several times.
//   kGo:    time=NANOSECONDS since the epoch · seed=HEX (these two also to a guest that is up, after it was restored) ·
//           disks=1, nets=1 (there are any) · root=DEVICE ro|rw · mount=DEVICE PATH ro|rw · hostname=NAME ·
//           address=DEVICE ADDRESS/PREFIX · gateway=ADDRESS · nameserver=ADDRESS · init=PATH (takes over as the first
//           process) · arg=, env=, cwd=, user= (a workload on the console; the machine ends with it)
//   kStart: do=exec · arg= · env= · cwd= · user=NAME|UID[:GROUP|GID] · tty= · workload= (the machine ends with it)
//           do=put · path=; then entries from the host
//           do=get · path=; then entries from the guest

}  // namespace proa::guest
