// Threads of our own making.
#pragma once

#include <functional>
#include <thread>

namespace proa {

// A thread that takes no signals: they are the main thread's.
std::thread start_thread(std::function<void()> body);

}  // namespace proa
