// Blobs on their way from a registry into the store: some at a time, each resumed where an earlier attempt of any
// process ended, verified as they come, and readable while they come.
//
// Thread-safe, but for the constructor and destructor. Not from a loop's thread: calls block.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>

#include "oci/image/remote/progress.h"
#include "oci/image/remote/session.h"
#include "oci/image/store.h"
#include "oci/image/stream.h"

namespace proa::oci::image::remote {

class Downloads {
 public:
  Downloads(Remote& remote, Repository from, Store store, const Lease& lease, size_t at_once, Progress* progress);
  Downloads(const Downloads&) = delete;
  Downloads& operator=(const Downloads&) = delete;
  // Ends what still runs; what has come stays for the next time.
  ~Downloads();

  // Begins when it is its turn; a blob that was added before is not added again.
  void add(const Descriptor& blob);
  // Until it is in the store.
  Result<> wait(const Digest& blob);
  // ... all of them; the first error. Those that wait for their turn are not begun after an error.
  Result<> wait_all();
  // Its bytes as they come; their end is told when they are all there and verified.
  Result<std::unique_ptr<Reader>> follow(const Digest& blob);
  // Makes everything end early.
  void cancel();
  // Whether bytes were thrown away that a reader may have seen.
  bool restarted() const;

 private:
  struct Item;
  class Follower;

  net::Task<> run(std::shared_ptr<Item> item);
  net::Task<Result<>> fetch(Item& item);
  net::Task<Result<>> fetch_rest(Item& item, Ingest& ingest, const Repository& from);
  net::Task<Result<BlobBody>> ask(Item& item, uint64_t offset, const Repository& from);
  net::Task<Result<>> take(Item& item, Ingest& ingest, BlobBody body);
  Result<> publish(Item& item, const Ingest& ingest);
  void advance(Item& item, uint64_t offset);
  void tell(const Item& item, Step step, uint64_t done = 0) const;
  void start_next();
  std::shared_ptr<Item> find(const Digest& blob);

  Remote& remote_;
  const Repository from_;
  const Store store_;
  const Lease& lease_;
  const size_t at_once_;
  Progress* const progress_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Digest, std::shared_ptr<Item>> items_;
  std::deque<std::shared_ptr<Item>> waiting_;
  size_t running_ = 0;
  bool cancelled_ = false, restarted_ = false;
  std::optional<Error> failure_;  // the first
};

}  // namespace proa::oci::image::remote
