// A watch: an answer without end, one event a line; or, for browsers, one event a message of a WebSocket.
#include <charconv>

#include "base/ids.h"
#include "base/text.h"
#include "kube/apiserver/access/authenticator.h"
#include "kube/apiserver/registry/attempt.h"
#include "kube/apiserver/registry/convert.h"
#include "kube/apiserver/registry/splice.h"
#include "kube/apiserver/registry/watch.h"
#include "kube/apiserver/serve/resource_calls.h"
#include "kube/apiserver/serve/shape.h"
#include "kube/apiserver/serve/writer.h"
#include "kube/codec/protobuf.h"
#include "kube/object/json.h"
#include "net/websocket.h"

namespace proa::kube::api {
namespace {

using std::chrono::seconds;
constexpr seconds kBookmarkEvery(60), kLeastTime(1800);
constexpr size_t kSpill = 64 << 10;

// One event in the encoding of the stream.
class EventWriter {
 public:
  EventWriter(Call& call, IncludeObject include) : call_(call), include_(include) {}

  Answer<> change(std::string& out, const WatchChange& change) {
    const store::Record& record = *change.record;
    const std::string_view type = kChangeNames[static_cast<size_t>(change.type)];
    if (json() && call_.format.shape == Shape::kPlain && served_as_stored(*call_.resource, record)) {
      out.append(R"({"type":")").append(type).append(R"(","object":)");
      splice(record, change.revision).append_to(out);
      out.append("}\n");
      return {};
    }
    Arena arena(record.value().size() * 3);
    const Value object = TRY(read_record(arena, *call_.catalog, *call_.resource, record, change.revision));
    event(out, type, shape(arena, object), type_of_object());
    return {};
  }

  Answer<> bookmark(std::string& out, store::Revision revision, bool initial_end) {
    Arena arena;
    Value object = TRY(empty_object(arena, *call_.resource));
    Value& metadata = object.child(arena, "metadata");
    metadata.set(arena, "resourceVersion", Value::text(arena, cat(revision)));
    if (initial_end) metadata.child(arena, "annotations").set(arena, "k8s.io/initial-events-end", Value::view("true"));
    event(out, "BOOKMARK", shape(arena, object), type_of_object());
    return {};
  }

  void error(std::string& out, const ApiError& error) {
    Arena arena;
    event(out, "ERROR", error.status(arena), meta_type("Status"));
  }

 private:
  bool json() const { return call_.format.encoding == Encoding::kJson; }
  TypeView type_of_object() const {
    if (call_.format.shape == Shape::kPartial) return meta_type("PartialObjectMetadata");
    return call_.resource->custom ? TypeView() : call_.resource->view.type();
  }
  Value shape(Arena& arena, const Value& object) {
    const bool no_headers = std::exchange(headed_, true);
    return shaped(call_, arena, object, include_, no_headers);
  }
  void event(std::string& out, std::string_view type, const Value& object, TypeView object_type) const {
    if (json()) {
      out.append(R"({"type":")").append(type).append(R"(","object":)");
      write_json(out, object);
      out.append("}\n");
      return;
    }
    // A frame: its length, then a WatchEvent with the object in an envelope (as a RawExtension).
    const std::string raw = write_protobuf(object_type, object);
    std::string extension, message;
    append_field(extension, 1, raw);
    append_field(message, 1, type);
    append_field(message, 2, extension);
    const auto size = static_cast<uint32_t>(message.size());
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift);
    out.append(message);
  }

  Call& call_;
  IncludeObject include_;
  bool headed_ = false;
};

net::Duration duration_of(const ListOptions& options) {
  if (options.timeout_seconds && *options.timeout_seconds > 0)
    return seconds(std::min<int64_t>(*options.timeout_seconds, 7 * 24 * 3600));
  return kLeastTime + seconds(random_number().value_or(0) % static_cast<uint64_t>(kLeastTime.count()));
}

// When the watch is to look up although nothing has happened: for bookmarks, and to end.
class WatchClock {
 public:
  WatchClock(net::Loop& loop, Watcher& watcher, const ListOptions& options)
      : watcher_(watcher),
        bookmarks_(options.bookmarks),
        end_(net::Clock::now() + duration_of(options)),
        timer_(loop, expired, this) {
    next();
  }
  bool over() const { return net::Clock::now() >= end_; }
  // Whether it is time for a bookmark; once.
  bool bookmark_due() {
    const auto now = net::Clock::now();
    const bool due = bookmarks_ && now >= bookmark_at_;
    if (now >= bookmark_at_) next();
    return due;
  }

 private:
  static void expired(void* self) { static_cast<WatchClock*>(self)->watcher_.request_progress(); }
  void next() {
    const auto now = net::Clock::now();
    bookmark_at_ = bookmarks_ ? now + kBookmarkEvery : end_;
    // A last one just before the end.
    if (const auto last = end_ - seconds(2); bookmarks_ && now < last && bookmark_at_ > last) bookmark_at_ = last;
    timer_.set(std::min(bookmark_at_, end_));
  }

  Watcher& watcher_;
  bool bookmarks_;
  net::Clock::time_point end_, bookmark_at_;
  net::Timer timer_;
};

// A WebSocket's reader, which only hears when the client goes. It may outlive the watch.
struct Listener {
  std::unique_ptr<net::WebSocket> socket;
  Watcher* watcher;  // null once the watch is over
};

net::Task<> listen(std::shared_ptr<Listener> listener) {
  for (;;) {
    const auto message = co_await listener->socket->read();
    if (!message || !*message) break;
  }
  if (listener->watcher != nullptr) listener->watcher->cancel();
}

// Where events go.
class EventStream {
 public:
  EventStream(Call& call, Watcher& watcher) : call_(call), watcher_(watcher) {}
  ~EventStream() {
    if (listener_) listener_->watcher = nullptr;
  }

  // Whether there is a stream; else the request has been answered.
  net::Task<Answer<bool>> begin() {
    net::Request& request = call_.request;
    if (!request.headers().has_token("Upgrade", "websocket")) {
      call_.response.status = 200;
      call_.response.headers.set("Content-Type", stream_content_type(call_.format.encoding));
      if (const auto begun = co_await call_.response.flush(); !begun) co_return refuse(connection_lost(begun.error()));
      co_return true;
    }
    auto socket = co_await net::WebSocket::accept(request, call_.response, {.subprotocols = wanted_protocols()});
    if (!socket) co_return refuse(connection_lost(socket.error()));
    if (*socket == nullptr) co_return false;
    listener_ = std::make_shared<Listener>(std::move(*socket), &watcher_);
    request.loop().spawn(listen(listener_));
    co_return true;
  }

  // Sends the events in `out` and empties it.
  Served send(std::string& out) {
    if (out.empty()) co_return Answer<>();
    const auto sent = listener_ ? co_await send_messages(out) : co_await call_.response.write(out);
    out.clear();
    if (!sent) co_return refuse(connection_lost(sent.error()));
    co_return Answer<>();
  }

  net::Task<> end() {
    if (!listener_) co_return;
    listener_->watcher = nullptr;
    static_cast<void>(co_await listener_->socket->close());
  }

 private:
  // All but tokens, the client's first choice first: a browser takes no answer without one that it offered.
  std::vector<std::string> wanted_protocols() const {
    std::vector<std::string> out;
    for (const std::string_view field : call_.request.headers().all("Sec-WebSocket-Protocol"))
      for (const std::string_view each : split(field, ','))
        if (const std::string_view name = net::trimmed(each); !name.starts_with(kTokenProtocol)) out.emplace_back(name);
    return out;
  }

  // Lines of JSON, or frames that begin with their length.
  net::Task<Result<>> send_messages(std::string_view events) {
    const bool text = call_.format.encoding == Encoding::kJson;
    while (!events.empty()) {
      size_t header = 0, size = events.find('\n');
      if (!text) {
        size = 0;
        for (; header < 4; ++header) size = size << 8 | static_cast<unsigned char>(events[header]);
      }
      const auto kind = text ? net::WebSocket::Kind::kText : net::WebSocket::Kind::kBinary;
      CO_TRY(co_await listener_->socket->write(kind, events.substr(header, size)));
      events.remove_prefix(header + size + (text ? 1 : 0));
    }
    co_return Result<>();
  }

  Call& call_;
  Watcher& watcher_;
  std::shared_ptr<Listener> listener_;  // of a WebSocket
};

}  // namespace

Served serve_watch(Call& call) {
  call.format =
      CO_TRY(negotiate_format(call.request, {.protobuf = !call.resource->custom, .shapes = true, .stream = true}));
  ListOptions options = CO_TRY(parse_list_options(call.request.query()));
  const IncludeObject include = CO_TRY(include_object(call));
  const Context context = call.context();
  const std::unique_ptr<Watcher> watcher = CO_TRY(co_await Watcher::begin(call.service.objects, context, options));

  call.request.on_close([&watcher = *watcher] { watcher.cancel(); });
  EventStream stream(call, *watcher);
  if (!CO_TRY(co_await stream.begin())) co_return Answer<>();
  if (call.audit) co_await call.audit->tell(AuditStage::kResponseStarted, call.response.status);
  EventWriter writer(call, include);
  std::string out;
  if (watcher->refused()) {
    writer.error(out, *watcher->refused());
    CO_TRY(co_await stream.send(out));
    co_await stream.end();
    co_return Answer<>();
  }
  WatchClock clock(call.request.loop(), *watcher, options);
  while (!clock.over() && !call.request.stopping()) {
    const auto changes = co_await watcher->next();
    if (!changes) {
      if (watcher->cancelled()) break;
      writer.error(out, changes.error());
      CO_TRY(co_await stream.send(out));
      break;
    }
    for (const WatchChange& change : changes->changes) {
      CO_TRY(writer.change(out, change));
      if (out.size() >= kSpill) CO_TRY(co_await stream.send(out));
    }
    const bool initial_end = changes->initial_end && options.send_initial_events.value_or(false) && options.bookmarks;
    if (initial_end || (!watcher->telling_initial() && clock.bookmark_due()))
      CO_TRY(writer.bookmark(out, changes->revision, initial_end));
    CO_TRY(co_await stream.send(out));
    out.shrink_to_fit();
  }
  co_await stream.end();
  co_return Answer<>();
}

}  // namespace proa::kube::api
