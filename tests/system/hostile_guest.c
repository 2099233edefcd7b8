// A guest that breaks every rule of virtio (1.2) it knows, on every device it finds, and then uses the device as it
// should be. Multiboot, 32-bit, no paging; says on the serial port how it went. vm_hostile_test.py builds and runs it.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;

enum { kNet = 1, kBlock = 2, kConsole = 3, kEntropy = 4, kVsock = 19 };
enum { kNext = 1, kWrite = 2, kIndirect = 4 };
enum { kSize = 64 };

struct Descriptor {
  u64 address;
  u32 length;
  u16 flags, next;
};
struct Available {
  u16 flags, index, ring[kSize], event;
};
struct Used {
  u16 flags, index;
  struct {
    u32 id, length;
  } ring[kSize];
  u16 event;
};

__attribute__((section(".multiboot"), used)) static const u32 kHeader[] = {0x1badb002, 0, 0u - 0x1badb002};

static u8 stack[16384] __attribute__((aligned(16)));
static struct Descriptor descriptors[4][kSize] __attribute__((aligned(4096)));
static struct Available available[4] __attribute__((aligned(4096)));
static struct Used used[4] __attribute__((aligned(4096)));
static u8 data[65536] __attribute__((aligned(4096)));
static struct Descriptor table[kSize] __attribute__((aligned(4096)));
static volatile u8* device;
static u32 kind, queues;

void* memset(void* to, int value, u32 size) {
  for (u32 i = 0; i < size; ++i) ((volatile u8*)to)[i] = (u8)value;
  return to;
}

static void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static u8 in8(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
static u64 now(void) {
  u32 low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (u64)high << 32 | low;
}
static void say(const char* text) {
  for (; *text; ++text) {
    while (!(in8(0x3fd) & 0x20)) {
    }
    out8(0x3f8, (u8)*text);
  }
}
static void say_number(u32 value) {
  char digits[11];
  u32 at = 10;
  digits[10] = 0;
  do digits[--at] = (char)('0' + value % 10);
  while (value /= 10);
  say(digits + at);
}

static u32 get(u32 offset) { return *(volatile u32*)(device + offset); }
static void set(u32 offset, u32 value) { *(volatile u32*)(device + offset) = value; }

static u32 seed = 12345;
static u32 any(void) { return (seed = seed * 1664525 + 1013904223) >> 3; }

static void set_address(u32 offset, u64 address) {
  set(offset, (u32)address);
  set(offset + 4, (u32)(address >> 32));
}
static void set_queue(u32 queue) {
  set(0x30, queue);
  if (!get(0x34)) return;
  memset(descriptors[queue], 0, sizeof descriptors[queue]);
  memset(&available[queue], 0, sizeof available[queue]);
  memset(&used[queue], 0, sizeof used[queue]);
  set(0x38, kSize < get(0x34) ? kSize : get(0x34));
  set_address(0x80, (u32)descriptors[queue]);
  set_address(0x90, (u32)&available[queue]);
  set_address(0xa0, (u32)&used[queue]);
  set(0x44, 1);
}
static int begin(void) {
  set(0x70, 0);
  if (get(0x70)) return 0;
  set(0x70, 3);
  set(0x24, 0), set(0x20, 1u << 28);  // indirect descriptors
  set(0x24, 1), set(0x20, 1);         // version 1
  set(0x70, 11);
  if (!(get(0x70) & 8)) return 0;
  for (u32 i = 0; i < queues; ++i) set_queue(i);
  set(0x70, 15);
  return !(get(0x70) & 64);
}
static u32 size_of(u32 queue) {
  set(0x30, queue);
  return kSize < get(0x34) ? kSize : get(0x34);
}
static void put(u32 queue, u32 index, u64 address, u32 length, u16 flags, u16 next) {
  descriptors[queue][index] = (struct Descriptor){address, length, flags, next};
}
static void offer(u32 queue, u16 head) {
  available[queue].ring[available[queue].index % size_of(queue)] = head;
  __asm__ volatile("" ::: "memory");
  ++*(volatile u16*)&available[queue].index;
  set(0x50, queue);
}
static int done(u32 queue, u16 index) {
  const u64 from = now();
  while (*(volatile u16*)&used[queue].index != index) {
    if (now() - from > 30000000000ull) return 0;
    __asm__ volatile("pause");
  }
  return 1;
}

// The device as it is meant to be used.
static int works(void) {
  if (!begin()) return 0;
  memset(data, 0, 4096);
  switch (kind) {
    case kBlock:  // reads the first sector, which begins with "D"
      put(0, 0, (u32)data, 16, kNext, 1);
      put(0, 1, (u32)data + 512, 512, kNext | kWrite, 2);
      put(0, 2, (u32)data + 2048, 1, kWrite, 0);
      data[2048] = 9;
      offer(0, 0);
      return done(0, 1) && data[2048] == 0 && data[512] == 'D';
    case kEntropy:
      put(0, 0, (u32)data, 64, kWrite, 0);
      offer(0, 0);
      return done(0, 1) && used[0].ring[0].length == 64;
    case kConsole:
      data[0] = '~';
      put(1, 0, (u32)data, 1, 0, 0);
      offer(1, 0);
      return done(1, 1);
    default:  // a frame; a packet
      put(1, 0, (u32)data, kind == kNet ? 72 : 44, 0, 0);
      offer(1, 0);
      return done(1, 1);
  }
}

typedef void (*Attack)(u32 queue);

static void head_out_of_range(u32 q) { offer(q, 0xffff); }
static void index_far_ahead(u32 q) {
  available[q].index = 0x7fff;
  offer(q, 0);
}
static void address_nowhere(u32 q) {
  put(q, 0, 0xffffffffffff0000ull, 4096, 0, 0);
  offer(q, 0);
}
static void address_of_a_device(u32 q) {
  put(q, 0, 0xd0000000, 4096, kWrite, 0);
  offer(q, 0);
}
static void beyond_memory(u32 q) {
  put(q, 0, (16u << 20) - 8, 4096, kWrite, 0);
  offer(q, 0);
}
static void address_wraps(u32 q) {
  put(q, 0, 0xffffffffffffff00ull, 0x200, kWrite, 0);
  offer(q, 0);
}
static void length_huge(u32 q) {
  put(q, 0, (u32)data, 0xffffffff, 0, 0);
  offer(q, 0);
}
static void length_zero(u32 q) {
  put(q, 0, (u32)data, 0, 0, 0);
  offer(q, 0);
  put(q, 1, (u32)data, 0, kWrite, 0);
  offer(q, 1);
}
static void points_to_itself(u32 q) {
  put(q, 0, (u32)data, 64, kNext, 0);
  offer(q, 0);
}
static void ring_of_descriptors(u32 q) {
  const u32 size = size_of(q);
  for (u32 i = 0; i < size; ++i) put(q, i, (u32)data, 1024, kNext, (u16)((i + 1) % size));
  offer(q, 0);
}
static void next_out_of_range(u32 q) {
  put(q, 0, (u32)data, 16, kNext, 0x8000);
  offer(q, 0);
}
static void read_after_write(u32 q) {
  put(q, 0, (u32)data, 64, kNext | kWrite, 1);
  put(q, 1, (u32)data, 64, 0, 0);
  offer(q, 0);
}
static void table_nowhere(u32 q) {
  put(q, 0, 0x7fffffff0000ull, 256, kIndirect, 0);
  offer(q, 0);
}
static void table_of_odd_size(u32 q) {
  put(q, 0, (u32)table, 17, kIndirect, 0);
  offer(q, 0);
  put(q, 1, (u32)table, 0, kIndirect, 0);
  offer(q, 1);
}
static void table_in_a_table(u32 q) {
  table[0] = (struct Descriptor){(u32)table, sizeof table, kIndirect, 0};
  put(q, 0, (u32)table, sizeof table, kIndirect, 0);
  offer(q, 0);
}
static void table_that_loops(u32 q) {
  for (u32 i = 0; i < kSize; ++i) table[i] = (struct Descriptor){(u32)data, 1, kNext | kWrite, 0};
  put(q, 0, (u32)table, sizeof table, kIndirect, 0);
  offer(q, 0);
}
static void table_and_next(u32 q) {
  table[0] = (struct Descriptor){(u32)data, 16, 0, 0};
  put(q, 0, (u32)table, 16, kIndirect | kNext, 1);
  offer(q, 0);
}
static void everything_at_once(u32 q) {
  const u32 size = size_of(q);
  for (u32 i = 0; i < size; ++i) {
    put(q, i, (u32)data, 60000, i % 2 ? kWrite : 0, 0);
    available[q].ring[i] = (u16)i;
  }
  available[q].index = (u16)size;
  set(0x50, q);
}
static void same_buffer_again(u32 q) {
  put(q, 0, (u32)data, 4096, kWrite, 0);
  for (u32 i = 0; i < 200; ++i) offer(q, 0);
}
static void rings_nowhere(u32 q) {
  set(0x70, 0), set(0x70, 3), set(0x24, 1), set(0x20, 1), set(0x70, 11);
  set(0x30, q);
  set(0x38, kSize);
  set_address(0x80, 0xfffffffffffff000ull);
  set_address(0x90, (16u << 20) - 2);
  set_address(0xa0, 0x3fffffff);
  set(0x44, 1);
  set(0x70, 15);
  set(0x50, q);
}
static void sizes_that_cannot_be(u32 q) {
  static const u32 sizes[] = {0, 3, 0x8000, 0x10000, 0xffffffff};
  for (u32 i = 0; i < 5; ++i) {
    set(0x70, 0), set(0x70, 3), set(0x24, 1), set(0x20, 1), set(0x70, 11);
    set(0x30, q);
    set(0x38, sizes[i]);
    set_address(0x80, (u32)descriptors[q]);
    set_address(0x90, (u32)&available[q]);
    set_address(0xa0, (u32)&used[q]);
    set(0x44, 1);
    set(0x70, 15);
    set(0x50, q);
  }
}
static void notifications_for_nobody(u32 q) {
  for (u32 i = 0; i < 70; ++i) set(0x50, q + i * 1000);
}
static void resets_under_way(u32 q) {
  for (u32 i = 0; i < 30; ++i) {
    begin();
    if (kind == kBlock) {
      for (u16 j = 0; j + 2 < size_of(q); j += 3) {
        put(q, j, (u32)data, 16, kNext, j + 1);
        put(q, j + 1u, (u32)data + 4096, 32768, kNext | kWrite, j + 2);
        put(q, j + 2u, (u32)data + 2048, 1, kWrite, 0);
        available[q].ring[available[q].index % size_of(q)] = j;
        ++available[q].index;
      }
      set(0x50, q);
    } else {
      everything_at_once(q);
    }
    set(0x70, 0);
  }
}
static void any_register(u32 q) {
  for (u32 i = 0; i < 400; ++i) {
    const u32 offset = (any() + q) % 0x200;
    switch (any() % 4) {
      case 0: *(volatile u8*)(device + offset) = (u8)any(); break;
      case 1: *(volatile u16*)(device + (offset & ~1u)) = (u16)any(); break;
      case 2: set(offset & ~3u, any()); break;
      default: (void)*(volatile u32*)(device + (offset & ~3u));
    }
  }
}
static void any_ring(u32 q) {
  for (u32 i = 0; i < 300; ++i) {
    if (i % 16 == 0) begin();
    const u64 address = any() % 4 ? (u32)data + any() % 70000 : (u64)any() << any() % 40;
    put(q, any() % size_of(q), address, any() % 3 ? any() % 70000 : any(), (u16)(any() % 8),
        (u16)(any() % (kSize + 2)));
    if (i % 3 == 0) offer(q, (u16)(any() % (kSize + 1)));
    if (i % 50 == 0) available[q].index = (u16)any();
  }
}

static const Attack kAttacks[] = {head_out_of_range,
                                  index_far_ahead,
                                  address_nowhere,
                                  address_of_a_device,
                                  beyond_memory,
                                  address_wraps,
                                  length_huge,
                                  length_zero,
                                  points_to_itself,
                                  ring_of_descriptors,
                                  next_out_of_range,
                                  read_after_write,
                                  table_nowhere,
                                  table_of_odd_size,
                                  table_in_a_table,
                                  table_that_loops,
                                  table_and_next,
                                  everything_at_once,
                                  same_buffer_again,
                                  rings_nowhere,
                                  sizes_that_cannot_be,
                                  notifications_for_nobody,
                                  resets_under_way,
                                  any_register,
                                  any_ring};

// Devices may serve a notification a little later.
static int stops(void) {
  for (const u64 from = now(); now() - from < 10000000;)
    if (get(0x70) & 64) return 1;
  return 0;
}

static void attack_device(void) {
  kind = get(8);
  queues = kind == kVsock ? 3 : kind == kBlock || kind == kEntropy ? 1 : 2;
  u32 stopped = 0, failed = works() ? 0 : 1;
  for (u32 i = 0; i < sizeof kAttacks / sizeof *kAttacks; ++i) {
    for (u32 q = 0; q < queues; ++q) {
      begin();
      kAttacks[i](q);
      if (stops()) ++stopped;
      if (works()) continue;
      ++failed;
      say("device "), say_number(kind), say(" attack "), say_number(i), say(" queue "), say_number(q),
          say(" broke it\n");
    }
  }
  say("device "), say_number(kind), say(failed ? " failed" : " held"), say(", stopped "), say_number(stopped),
      say("\n");
  set(0x70, 0);
}

__attribute__((used)) static void run(void) {
  say("hostile\n");
  for (u32 i = 0; i < 17; ++i) {
    device = (volatile u8*)(0xd0000000u + i * 0x1000u);
    if (get(0) == 0x74726976 && get(8)) attack_device();
  }
  say("done\n");
  out8(0x600, 0x34);
  for (;;) __asm__ volatile("hlt");
}

__attribute__((naked, section(".start"), used)) void _start(void) {
  __asm__ volatile("movl %0, %%esp\n\tcall run" ::"i"(stack + sizeof stack));
}
