#include "kernel/sys.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

namespace proa::kernel {
namespace {

thread_local Gate* installed = nullptr;

bool makes_descriptor(long nr) {
  switch (nr) {
    case SYS_open_tree:
    case SYS_fsopen:
    case SYS_fsmount:
    case SYS_fspick:
    case SYS_openat2:
    case SYS_openat:
    case SYS_pidfd_open:
    case SYS_memfd_create:
    case SYS_socket: return true;
    default: return false;
  }
}

std::string render(char kind, long value) {
  char buffer[32];
  switch (kind) {
    case 's': {
      const auto* text = pointer_in<const char>(static_cast<uint64_t>(value));
      return text == nullptr ? "null" : cat('"', text, '"');
    }
    case 'x': std::snprintf(buffer, sizeof buffer, "0x%lx", value); return buffer;
    case 'o': std::snprintf(buffer, sizeof buffer, "0%lo", value); return buffer;
    case 'p': return value == 0 ? "null" : "ptr";
    default: return std::to_string(value);
  }
}

}  // namespace

long invoke(const CallShape& shape, const CallArgs& args) noexcept {
  if (installed != nullptr) [[unlikely]]
    return installed->invoke(shape, args);
  const long answer = ::syscall(shape.nr, args[0], args[1], args[2], args[3], args[4], args[5]);
  return answer == -1 ? -errno : answer;
}

ScopedGate::ScopedGate(Gate& gate) : previous_(installed) { installed = &gate; }
ScopedGate::~ScopedGate() { installed = previous_; }

long RecordingGate::invoke(const CallShape& shape, const CallArgs& args) noexcept {
  std::string text = cat(shape.name, "(");
  for (size_t i = 0; shape.arguments[i] != '\0' && i < args.size(); ++i) {
    if (i > 0) text += ", ";
    text += render(shape.arguments[i], args[i]);
  }
  text += ")";
  calls_.push_back(text);
  for (auto script = scripts_.begin(); script != scripts_.end(); ++script) {
    if (script->name != shape.name || text.find(script->containing) == std::string::npos) continue;
    const long answer = script->answer;
    if (script->once) scripts_.erase(script);
    return answer;
  }
  return makes_descriptor(shape.nr) ? next_fd_++ : 0;
}

void RecordingGate::answer_next(std::string_view name, long answer, std::string_view containing) {
  scripts_.push_back({std::string(name), std::string(containing), answer, true});
}

void RecordingGate::answer_always(std::string_view name, long answer) {
  scripts_.push_back({std::string(name), "", answer, false});
}

int RecordingGate::find(std::string_view text, size_t start) const {
  for (size_t i = start; i < calls_.size(); ++i)
    if (calls_[i].find(text) != std::string::npos) return static_cast<int>(i);
  return -1;
}

}  // namespace proa::kernel
