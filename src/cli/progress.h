// How a pull or a push goes, for people: on a terminal a line for each layer that changes in place, elsewhere a line
// for each change that matters, in Docker's words.
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "oci/image/remote/progress.h"

namespace proa::cli {

class TransferView : public oci::image::remote::Progress {
 public:
  enum class Kind : uint8_t { kPull, kPush };
  // Writes to `fd`; nothing at all when `quiet`.
  TransferView(Kind kind, int fd, bool quiet);
  // Leaves the last state on the screen.
  ~TransferView() override;

  void blob(const oci::image::Descriptor& blob, oci::image::remote::Step step, uint64_t done,
            std::string_view note) override;
  // A line of its own, above those of the layers.
  void line(std::string_view text);

 private:
  using Clock = std::chrono::steady_clock;
  struct Row {
    oci::image::Digest digest;
    uint64_t size = 0, done = 0;
    oci::image::remote::Step step{};
    std::string note;
    std::string printed;  // the last words
    Clock::time_point since{};
    uint64_t from = 0;  // `done` at `since`
    double rate = 0;    // bytes a second
  };
  Row& row(const oci::image::Descriptor& blob);
  bool finished(const Row& row) const;
  std::string_view words(const Row& row) const;
  std::string text(const Row& row, size_t columns) const;
  void measure(Row& row, Clock::time_point now) const;
  void print_plain(Row& row);
  void draw();

  const Kind kind_;
  const int fd_;
  const bool quiet_, terminal_;
  std::mutex mutex_;
  std::vector<Row> rows_;
  size_t drawn_ = 0;
  Clock::time_point last_draw_{};
};

}  // namespace proa::cli
