#include "oci/image/remote/download.h"

#include <algorithm>

#include "base/log.h"
#include "oci/image/remote/api_error.h"

namespace proa::oci::image::remote {

using net::Task;

struct Downloads::Item {
  explicit Item(Descriptor d) : blob(std::move(d)) {}
  const Descriptor blob;
  // Guarded by the owner's mutex:
  Fd part;  // of the bytes
  uint64_t available = 0;
  bool begun = false, done = false;
  std::optional<Error> error;
};

// Reads behind the writer.
class Downloads::Follower : public Reader {
 public:
  Follower(Downloads& owner, std::shared_ptr<Item> item) : owner_(owner), item_(std::move(item)) {}

  Result<size_t> read(std::span<std::byte> into) override {
    uint64_t available = 0;
    {
      std::unique_lock lock(owner_.mutex_);
      // Where one blob failed nobody needs the others any more.
      owner_.changed_.wait(lock, [&] {
        return item_->available > offset_ || item_->done || item_->error || owner_.failure_.has_value();
      });
      if (item_->error) return std::unexpected(*item_->error);
      if (owner_.failure_) return std::unexpected(*owner_.failure_);
      available = item_->available;
    }
    if (available <= offset_) {
      owner_.tell(*item_, Step::kUnpacked, offset_);
      return 0;
    }
    RangeReader part(item_->part.get(), offset_, available - offset_);
    const size_t got = TRY(part.read(into));
    if (got == 0) return fail("part of blob ", item_->blob.digest.text(), " has shrunk while it was read");
    offset_ += got;
    owner_.tell(*item_, Step::kUnpacking, offset_);
    return got;
  }

 private:
  Downloads& owner_;
  std::shared_ptr<Item> item_;
  uint64_t offset_ = 0;
};

Downloads::Downloads(Remote& remote, Repository from, Store store, const Lease& lease, size_t at_once,
                     Progress* progress)
    : remote_(remote),
      from_(std::move(from)),
      store_(std::move(store)),
      lease_(lease),
      at_once_(std::max<size_t>(at_once, 1)),
      progress_(progress) {}

Downloads::~Downloads() {
  cancel();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return running_ == 0; });
}

void Downloads::tell(const Item& item, Step step, uint64_t done) const {
  if (progress_ != nullptr) progress_->blob(item.blob, step, done);
}

// --- in turn ----------------------------------------------------------------------------------------------------

void Downloads::add(const Descriptor& blob) {
  {
    const std::lock_guard lock(mutex_);
    auto& item = items_[blob.digest];
    if (item) return;
    item = std::make_shared<Item>(blob);
    waiting_.push_back(item);
    tell(*item, Step::kWaiting);
  }
  start_next();
}

void Downloads::start_next() {
  std::shared_ptr<Item> item;
  {
    const std::lock_guard lock(mutex_);
    if (running_ == at_once_ || waiting_.empty() || cancelled_) return;
    item = std::move(waiting_.front());
    waiting_.pop_front();
    ++running_;
  }
  remote_.loops().next().spawn(run(std::move(item)));
}

// One after the other, as long as there are any.
Task<> Downloads::run(std::shared_ptr<Item> item) {
  for (;;) {
    auto fetched = co_await fetch(*item);
    const std::lock_guard lock(mutex_);
    if (fetched) {
      item->done = true;
      item->available = item->blob.size;
    } else {
      item->error = fetched.error();
      if (!failure_ && fetched.error().code() != ECANCELED) failure_ = std::move(fetched).error();
    }
    const bool last = failure_ || cancelled_ || waiting_.empty();
    if (last) --running_;
    changed_.notify_all();
    if (last) co_return;  // the owner may be gone from here on
    item = std::move(waiting_.front());
    waiting_.pop_front();
  }
}

std::shared_ptr<Downloads::Item> Downloads::find(const Digest& blob) {
  const std::lock_guard lock(mutex_);
  const auto item = items_.find(blob);
  return item == items_.end() ? nullptr : item->second;
}

Result<> Downloads::wait(const Digest& blob) {
  const auto item = find(blob);
  if (!item) return fail("blob ", blob.text(), " was not asked for");
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return item->done || item->error || failure_.has_value(); });
  if (item->done) return {};
  return std::unexpected(item->error ? *item->error : *failure_);
}

Result<> Downloads::wait_all() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_.has_value() || (running_ == 0 && waiting_.empty()); });
  if (failure_) return std::unexpected(*failure_);
  return {};
}

Result<std::unique_ptr<Reader>> Downloads::follow(const Digest& blob) {
  auto item = find(blob);
  if (!item) return fail("blob ", blob.text(), " was not asked for");
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return item->part || item->error || failure_.has_value(); });
    if (!item->part) return std::unexpected(item->error ? *item->error : *failure_);
  }
  return std::make_unique<Follower>(*this, std::move(item));
}

void Downloads::cancel() {
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    for (const auto& item : waiting_) item->error = Error("was given up", ECANCELED);
    waiting_.clear();
    changed_.notify_all();
    if (running_ == 0) return;
  }
  remote_.cancel();
}

bool Downloads::restarted() const {
  const std::lock_guard lock(mutex_);
  return restarted_;
}

// --- one blob ---------------------------------------------------------------------------------------------------

// Lets followers see the part.
Result<> Downloads::publish(Item& item, const Ingest& ingest) {
  Fd part = TRY(ingest.reader());
  const std::lock_guard lock(mutex_);
  // Followers that have the first one go on with it: the file is another only after it was found wrong.
  if (item.part) restarted_ = true;
  item.part = std::move(part);
  item.available = ingest.offset();
  changed_.notify_all();
  return {};
}

void Downloads::advance(Item& item, uint64_t offset) {
  const std::lock_guard lock(mutex_);
  if (offset < item.available) restarted_ = true;
  item.available = offset;
  changed_.notify_all();
}

Task<Result<>> Downloads::fetch(Item& item) {
  for (bool again = false;; again = true) {
    // Waits while another process fetches it.
    auto opened = co_await net::blocking(
        [&] { return store_.ingest(lease_, {.expected = item.blob.digest, .size = item.blob.size}); });
    Ingest ingest = CO_TRY(std::move(opened));
    CO_TRY(publish(item, ingest));
    if (ingest.complete()) {
      tell(item, Step::kExists, item.blob.size);
      co_return Result<>();
    }
    const bool resumed = ingest.offset() > 0;
    // The second time from the registry itself: a mirror may have given something else.
    CO_TRY(co_await fetch_rest(item, ingest, again ? from_.itself() : from_));
    tell(item, Step::kVerifying, item.blob.size);
    auto committed = co_await net::blocking([&] { return ingest.commit(); });
    if (committed) {
      tell(item, Step::kTransferred, item.blob.size);
      co_return Result<>();
    }
    if (again || (!resumed && !from_.has_mirrors()))
      co_return std::unexpected(std::move(committed).error().with_context(from_.name()));
    log::debug(from_.name(), ": ", committed.error().message(), "; once more");
  }
}

Task<Result<>> Downloads::fetch_rest(Item& item, Ingest& ingest, const Repository& from) {
  const RetryPolicy& policy = remote_.retries();
  net::Duration delay = policy.first_delay;
  for (int attempt = 1; ingest.offset() < item.blob.size; ++attempt) {
    const uint64_t before = ingest.offset();
    tell(item, Step::kTransferring, before);
    auto body = co_await ask(item, before, from);
    // What asks has tried often enough; what breaks off in the middle is asked for again, as is a server that went.
    if (!body && (before == 0 || body.error().code() != ECONNREFUSED))
      co_return std::unexpected(std::move(body).error());
    auto taken = body ? co_await take(item, ingest, std::move(*body)) : std::unexpected(std::move(body).error());
    if (taken) continue;
    if (ingest.offset() > before) attempt = 1, delay = policy.first_delay;
    const bool again = worth_repeating(taken.error()) || taken.error().code() == ECONNREFUSED;
    if (!again || attempt >= policy.attempts) co_return std::unexpected(std::move(taken).error());
    tell(item, Step::kRetrying, ingest.offset());
    log::debug(from.name(), ": blob ", item.blob.digest.text(), ": ", taken.error().message(), "; once more");
    CO_TRY(co_await remote_.pause(delay));
    delay = std::min(delay * 2, policy.longest_delay);
  }
  co_return Result<>();
}

Task<Result<BlobBody>> Downloads::ask(Item& item, uint64_t offset, const Repository& from) {
  auto body = co_await from.blob(item.blob.digest, offset);
  if (body || body.error().code() != ENOENT) co_return body;
  // A non-distributable layer is elsewhere.
  for (const std::string& text : item.blob.urls) {
    auto url = net::Url::parse(text);
    if (!url || (url->scheme != "https" && url->scheme != "http")) continue;
    auto foreign = co_await remote_.fetch(std::move(*url), offset);
    if (foreign) co_return foreign;
    log::debug(from.name(), ": blob ", item.blob.digest.text(), ": ", foreign.error().message());
  }
  co_return body;
}

Task<Result<>> Downloads::take(Item& item, Ingest& ingest, BlobBody body) {
  const std::string what = cat(from_.name(), ": get blob ", item.blob.digest.text());
  if (body.total && *body.total != item.blob.size)
    co_return fail_errno(EPROTO, what, ": the server says it has ", *body.total, " bytes, the manifest says ",
                         item.blob.size);
  if (body.start != ingest.offset()) {
    CO_TRY(ingest.restart());
    advance(item, 0);
  }
  for (;;) {
    auto piece = co_await body.response.read();
    if (!piece) co_return std::unexpected(std::move(piece).error().with_context(what));
    if (piece->empty()) break;
    // On the loop's own thread: a hash and a write into the page cache take less than going elsewhere.
    CO_TRY_CTX(ingest.write(*piece), from_.name());
    advance(item, ingest.offset());
    tell(item, Step::kTransferring, ingest.offset());
  }
  if (ingest.offset() < item.blob.size)
    co_return fail_errno(ECONNRESET, what, ": ended after ", ingest.offset(), " of ", item.blob.size, " bytes");
  co_return Result<>();
}

}  // namespace proa::oci::image::remote
