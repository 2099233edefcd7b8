// What every Linux container gets without asking (config-linux.md, "Default Devices").
#pragma once

#include <sys/types.h>

#include <array>

namespace proa::oci {

struct DefaultDevice {
  const char* path;
  unsigned major, minor;  // character devices all
  mode_t file_mode;
};
inline constexpr std::array<DefaultDevice, 6> kDefaultDevices = {{
    {"/dev/null", 1, 3, 0666},
    {"/dev/zero", 1, 5, 0666},
    {"/dev/full", 1, 7, 0666},
    {"/dev/random", 1, 8, 0666},
    {"/dev/urandom", 1, 9, 0666},
    {"/dev/tty", 5, 0, 0666},
}};

}  // namespace proa::oci
