// The socket device (virtio 1.2, 5.10), bridged to unix sockets of the host:
//   host → guest: connect to `path`, write "CONNECT PORT\n", read "OK PORT\n"; from there on bytes go both ways.
//   guest → host: a connection to CID 2, port P goes to the unix socket `path`_P.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "vmm/devices/virtio/device.h"

namespace proa::vmm::virtio {

struct VsockOptions {
  uint32_t guest_cid = 3;
  std::string path;
};

// What goes in front of each packet (5.10.6).
struct [[gnu::packed]] VsockHeader {
  uint64_t source_cid = 0, destination_cid = 0;
  uint32_t source_port = 0, destination_port = 0, length = 0;
  uint16_t type = 1, operation = 0;
  uint32_t flags = 0, buffer_size = 0, forwarded = 0;
};
static_assert(sizeof(VsockHeader) == 44);

enum VsockOperation : uint16_t {
  kVsockRequest = 1,
  kVsockResponse = 2,
  kVsockReset = 3,
  kVsockShutdown = 4,
  kVsockData = 5,
  kVsockCreditUpdate = 6,
  kVsockCreditRequest = 7
};

class Vsock : public Device {
 public:
  // Listens at once; the socket file goes with the device.
  static Result<std::unique_ptr<Vsock>> listen(VsockOptions options, Reactor& reactor);
  ~Vsock() override;
  const VsockOptions& options() const { return options_; }
  size_t connections() const { return connections_.size(); }

  Type type() const override { return Type::kVsock; }
  uint64_t features() const override { return 0; }
  std::vector<uint16_t> queue_sizes() const override { return {256, 256, 16}; }
  std::string config() const override;
  void activate(uint64_t features) override;
  void reset() override;
  void notified(unsigned queue) override;
  void transfer(StateStream& s) override;

 private:
  struct Key {
    uint32_t host_port, guest_port;
    auto operator<=>(const Key&) const = default;
  };
  struct Connection {
    Fd socket;
    Watch watch;
    bool established = false, from_host = false;
    bool host_ended = false;   // nothing more to read of the host; told to the guest
    bool guest_ended = false;  // nothing more comes from the guest
    bool guest_deaf = false;   // the guest reads no more
    bool readable = false;
    std::string to_host;                                       // what the socket did not take yet
    uint32_t guest_buffer = 0, guest_forwarded = 0, sent = 0;  // towards the guest
    uint32_t received = 0, forwarded = 0, told_forwarded = 0;  // from the guest
    uint32_t credit() const { return guest_buffer - (sent - guest_forwarded); }
  };
  // Somebody who has connected and not yet said where to.
  struct Caller {
    Fd socket;
    Watch watch;
    std::string line;
  };

  explicit Vsock(VsockOptions options) : options_(std::move(options)) {}
  void accept();
  void hear(int caller);
  void call(Caller caller, uint32_t guest_port);
  Result<> watch(const Key& key, Connection& connection);
  void ready(const Key& key, uint32_t events);
  void set_interest(Connection& connection) const;

  void take_packets();
  bool take(const Chain& chain);
  void request(const VsockHeader& header);
  void data(const Key& key, Connection& connection, const Chain& chain, uint32_t length);
  void shutdown(const Key& key, Connection& connection, uint32_t flags);
  bool flush_to_host(const Key& key, Connection& connection);

  void give_packets();
  bool give_data(const Key& key, Connection& connection, const Chain& chain, uint32_t& written);
  VsockHeader header(const Key& key, uint16_t operation) const;
  void tell(const Key& key, uint16_t operation, uint32_t flags = 0);
  void end(const Key& key, bool tell_guest);
  void tell_reset();
  void look_whether_settled();

  const VsockOptions options_;
  Fd listener_;
  Watch listening_;
  std::map<int, Caller> callers_;
  std::map<Key, Connection> connections_;
  std::deque<VsockHeader> control_;  // packets without data, on their way to the guest
  uint32_t next_port_ = 1u << 30;
  bool reset_due_ = false;  // the guest is to be told that its connections are gone
  // It was told, and has not dealt with it yet: connections made now it would take for old ones.
  bool settling_ = false;
  uint16_t told_at_ = 0;  // the driver's index of events then
};

}  // namespace proa::vmm::virtio
