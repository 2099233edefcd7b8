#include "cli/progress.h"

#include <unistd.h>

#include <algorithm>

#include "base/ids.h"
#include "cli/human.h"
#include "kernel/tty.h"

namespace proa::cli {

using oci::image::Descriptor;
using oci::image::remote::Step;

namespace {

constexpr std::chrono::milliseconds kRedraw(100);
constexpr size_t kBar = 40;

void put(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;  // who does not look needs no progress
    text.remove_prefix(static_cast<size_t>(wrote));
  }
}

std::string bar(uint64_t done, uint64_t size) {
  const size_t filled = size == 0 ? kBar : static_cast<size_t>(std::min(done, size) * kBar / size);
  std::string out(filled, '=');
  if (filled < kBar) out += '>';
  out.resize(kBar, ' ');
  return cat("[", out, "]");
}

}  // namespace

TransferView::TransferView(Kind kind, int fd, bool quiet)
    : kind_(kind), fd_(fd), quiet_(quiet), terminal_(!quiet && ::isatty(fd) != 0) {}

TransferView::~TransferView() {
  const std::lock_guard lock(mutex_);
  if (terminal_ && !rows_.empty()) draw();
}

TransferView::Row& TransferView::row(const Descriptor& blob) {
  const auto found = std::ranges::find(rows_, blob.digest, &Row::digest);
  if (found != rows_.end()) return *found;
  Row& made = rows_.emplace_back();
  made.digest = blob.digest;
  made.size = blob.size;
  return made;
}

bool TransferView::finished(const Row& row) const {
  if (row.step == Step::kComplete || row.step == Step::kUnpacked || row.step == Step::kMounted) return true;
  return kind_ == Kind::kPush ? row.step == Step::kExists || row.step == Step::kTransferred : false;
}

// Docker's.
std::string_view TransferView::words(const Row& row) const {
  const bool pull = kind_ == Kind::kPull;
  switch (row.step) {
    case Step::kWaiting: return pull ? "Pulling fs layer" : "Preparing";
    case Step::kExists: return pull ? "Already exists" : "Layer already exists";
    case Step::kTransferring: return pull ? "Downloading" : "Pushing";
    case Step::kRetrying: return "Retrying";
    case Step::kVerifying: return pull ? "Verifying Checksum" : "Verifying";
    case Step::kTransferred: return pull ? "Download complete" : "Pushed";
    case Step::kUnpacking: return "Extracting";
    case Step::kMounted: return "Mounted from ";
    case Step::kUnpacked:
    case Step::kComplete: return pull ? "Pull complete" : "Pushed";
  }
  return "";
}

void TransferView::measure(Row& row, Clock::time_point now) const {
  if (row.since == Clock::time_point{}) {
    row.since = now;
    row.from = row.done;
    return;
  }
  const double seconds = std::chrono::duration<double>(now - row.since).count();
  if (seconds < 0.5 || row.done < row.from) return;
  const double current = static_cast<double>(row.done - row.from) / seconds;
  row.rate = row.rate == 0 ? current : row.rate * 0.6 + current * 0.4;
  row.since = now;
  row.from = row.done;
}

void TransferView::blob(const Descriptor& blob, Step step, uint64_t done, std::string_view note) {
  if (quiet_ || !oci::image::media::is_layer(blob.media_type)) return;
  const std::lock_guard lock(mutex_);
  Row& row = this->row(blob);
  // An unpacking that follows the bytes does not hide that they still come, nor an end what came before it.
  if (step == Step::kUnpacking && row.step != Step::kTransferred && row.step != Step::kUnpacking &&
      row.step != Step::kExists)
    return;
  const bool there = row.step == Step::kExists && kind_ == Kind::kPull;
  if (there && (!terminal_ || step == Step::kComplete)) return;
  const bool changed = row.step != step;
  if (changed && step == Step::kTransferring) row.since = {};
  row.step = step;
  row.done = done;
  if (!note.empty()) row.note = note;
  if (!terminal_) return print_plain(row);
  const auto now = Clock::now();
  if (step == Step::kTransferring) measure(row, now);
  if (!changed && now - last_draw_ < kRedraw) return;
  last_draw_ = now;
  draw();
}

void TransferView::print_plain(Row& row) {
  const bool pull = kind_ == Kind::kPull;
  if (row.step == Step::kUnpacking || row.step == (pull ? Step::kWaiting : Step::kTransferring)) return;
  // Of a layer that comes Docker says this first, and then nothing until all of it is there.
  std::string said = row.step == Step::kTransferring ? "Pulling fs layer" : cat(words(row), row.note);
  if (row.step == Step::kTransferring && !row.printed.empty()) return;
  if (said == row.printed) return;
  put(fd_, cat(short_id(row.digest.hex()), ": ", said, "\n"));
  row.printed = std::move(said);
}

std::string TransferView::text(const Row& row, size_t columns) const {
  std::string out = cat(short_id(row.digest.hex()), ": ", words(row), row.note);
  if (row.step == Step::kTransferring || row.step == Step::kUnpacking) {
    out += cat(" ", bar(row.done, row.size), " ", human_size(row.done), "/", human_size(row.size));
    if (row.step == Step::kTransferring && row.rate >= 1)
      out += cat(" ", human_size(static_cast<uint64_t>(row.rate)), "/s");
  }
  return out.substr(0, columns);
}

void TransferView::draw() {
  const auto window = kernel::window_size(fd_);
  const size_t columns = window && window->columns > 0 ? window->columns : 80;
  const size_t height = window && window->rows > 2 ? window->rows - 1 : 23;
  // Where not all fit, those that are done make room.
  std::vector<const Row*> shown;
  shown.reserve(rows_.size());
  for (const Row& row : rows_) shown.push_back(&row);
  for (auto at = shown.begin(); shown.size() > height && at != shown.end();)
    at = finished(**at) ? shown.erase(at) : at + 1;
  if (shown.size() > height) shown.resize(height);
  std::string out;
  if (drawn_ > 0) out += cat("\x1b[", drawn_, "A");
  for (const Row* row : shown) out += cat("\r\x1b[K", text(*row, columns), "\n");
  if (shown.size() < drawn_) out += "\x1b[J";
  drawn_ = shown.size();
  put(fd_, out);
}

void TransferView::line(std::string_view text) {
  if (quiet_) return;
  const std::lock_guard lock(mutex_);
  if (terminal_ && !rows_.empty()) draw();
  // What is on the screen stays as it is from here on.
  rows_.clear();
  drawn_ = 0;
  put(fd_, cat(text, "\n"));
}

}  // namespace proa::cli
