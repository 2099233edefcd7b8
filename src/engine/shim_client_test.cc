#include "engine/shim_client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <thread>

#include "kernel/temp_folder_test.h"

namespace proa::engine {
namespace {

// A shim that ends closes what has just been connected: that is an answer, and no signal.
TEST(ShimClient, SurvivesShimsThatEnd) {
  const TempFolder folder;
  const std::string path = folder / "ctl.sock";
  const Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 8), 0);
  std::thread shim([&] {
    for (;;) {
      const Fd client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
    }
  });
  for (int i = 0; i < 300; ++i) {
    if (const auto connection = shim_wait(folder / "")) EXPECT_FALSE(awaited_record(*connection));
    EXPECT_TRUE(shim_command(folder / "", "status").value_or("").empty());
  }
  ::shutdown(listener.get(), SHUT_RDWR);
  shim.join();
}

}  // namespace
}  // namespace proa::engine
