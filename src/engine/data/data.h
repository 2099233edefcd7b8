// The engine's data files, part of the program.
#pragma once

#include <string_view>

extern "C" {
extern const char proa_engine_seccomp[], proa_engine_seccomp_end[];
extern const char proa_engine_defaults[], proa_engine_defaults_end[];
extern const char proa_engine_words[], proa_engine_words_end[];
}

namespace proa::engine {

// data/seccomp.txt: the default system call filter. data/defaults.json: capabilities, masked and read-only
// paths, devices and mounts of every container. data/words.txt: parts of names.
inline std::string_view seccomp_data() {
  return {proa_engine_seccomp, static_cast<size_t>(proa_engine_seccomp_end - proa_engine_seccomp)};
}
inline std::string_view defaults_data() {
  return {proa_engine_defaults, static_cast<size_t>(proa_engine_defaults_end - proa_engine_defaults)};
}
inline std::string_view words_data() {
  return {proa_engine_words, static_cast<size_t>(proa_engine_words_end - proa_engine_words)};
}

}  // namespace proa::engine
