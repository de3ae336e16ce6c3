// Runs CUDA C kernels on the CPU, to test them: one fiber per CUDA thread. C++17, g++ or clang++, Linux.
//
// emulator.py puts this file before the kernels' source and a table of the kernels behind it. A block runs
// until all its threads have ended; a thread runs until it must wait for others, and then the scheduler
// chooses the next. Whatever CUDA leaves undefined is an error here, with its kernel, block, thread and line.
//
// What is not seen: races inside one thread's turn, missing memory fences, blocks that spin on each other
// without a cooperative launch, bank conflicts, speed.
#pragma once
#define SN_EMULATED 1

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <math.h> // after <cmath>: brings the float overloads of exp, sqrt, fmax ... into the global namespace
#include <memory>
#include <string>
#include <sys/mman.h>
#include <type_traits>
#include <unistd.h>
#include <utility>
#include <vector>

#if !defined(__x86_64__) && !defined(EMULATOR_UCONTEXT)
#define EMULATOR_UCONTEXT 1
#endif
#ifdef EMULATOR_UCONTEXT
#include <ucontext.h>
#endif

// ---- words of CUDA C -------------------------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))

// All shared arrays lie in one section of the library, so that they can be poisoned and swapped together.
#define __shared__ static __attribute__((section("emulator_shared")))
extern "C" char __start_emulator_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_emulator_shared[] __attribute__((weak, visibility("hidden")));

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) double2 {
    double x, y;
};
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline double2 make_double2(double x, double y) { return {x, y}; }

namespace emulator {

constexpr int WARP = 32;
constexpr size_t STACK_BYTES = 64 * 1024;
constexpr int POISON = 0xFF;        // as float or double: NaN; as an integer: -1
constexpr int FENCE = 0xA5;         // lies behind the dynamic shared memory
constexpr size_t FENCE_BYTES = 256;

// ---- state -----------------------------------------------------------------------------------------------
// All of it is static and none inline: g++ would share inline variables between all loaded libraries.

enum class State { ready, at_block_barrier, at_warp_operation, at_grid_sync, ended };
enum class Kind { barrier, shuffle, vote };
enum class Schedule { forward, reverse, shuffled, warp_ahead };

struct Block;
struct Warp;

struct Fiber {
    char *stack = nullptr;
#ifdef EMULATOR_UCONTEXT
    ucontext_t context;
#else
    void *stack_pointer = nullptr;
#endif
};

// A thread's call of a barrier, shuffle or vote.
struct Visit {
    const char *name;
    int line;
    Kind kind;
    unsigned mask;
    uint64_t value; // what the lane brings
    int source;     // the lane whose value it wants
    uint64_t result;
};

struct Thread {
    Fiber fiber;
    uint3 index;
    int lane;
    State state;
    Visit visit;
    Warp *warp;
    Block *block;
};

struct Warp {
    Thread *lanes[WARP];
    unsigned existing, ended, waiting; // sets of lanes
};

struct Kernel {
    const char *name;
    std::string parameters; // NumPy's names of the types, pointers with a star
    void (*function)();
    void (*call)(void (*function)(), void **arguments);
};

struct Engine {
    const Kernel *kernel;
    void **arguments;
    dim3 grid, block;
    size_t dynamic_bytes;
    bool cooperative;
    Schedule schedule;
    uint64_t random;
    Thread *current;
    Fiber scheduler;
    bool failed;
    char error[1000];
};
static Engine engine;
static std::vector<char *> free_stacks;

// The generated end of the source defines it.
static const std::vector<Kernel> &kernels();

static size_t random_below(size_t limit) {
    engine.random ^= engine.random << 13;
    engine.random ^= engine.random >> 7;
    engine.random ^= engine.random << 17;
    return engine.random % limit;
}

template <class T> static void shuffle(std::vector<T> &values) {
    for (size_t i = values.size(); i > 1; i--)
        std::swap(values[i - 1], values[random_below(i)]);
}

// Tells the compiler that other threads may have changed any memory.
static inline void forget_memory() { asm volatile("" ::: "memory"); }

// ---- fibers ----------------------------------------------------------------------------------------------

static void thread_main();

static char *take_stack() {
    if (!free_stacks.empty()) {
        char *stack = free_stacks.back();
        free_stacks.pop_back();
        return stack;
    }
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *memory = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) {
        std::perror("emulator: stack");
        std::abort();
    }
    // A stack that overflows must crash, not run into its neighbour.
    mprotect(memory, sysconf(_SC_PAGESIZE), PROT_NONE);
    return static_cast<char *>(memory);
}

#ifdef EMULATOR_UCONTEXT
static void start_at_thread_main(Fiber &fiber) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = STACK_BYTES;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, thread_main, 0);
}

__attribute__((noinline)) static void change_fiber(Fiber &from, Fiber &to) {
    swapcontext(&from.context, &to.context);
    forget_memory();
}
#else
// Pushes the registers that a function must preserve, changes the stack, pops the other fiber's.
extern "C" void emulator_change_stack(void **save, void *load) __attribute__((visibility("hidden")));
asm(R"(
    .text
    .hidden emulator_change_stack
    .globl emulator_change_stack
    .type emulator_change_stack, @function
emulator_change_stack:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret
    .size emulator_change_stack, . - emulator_change_stack
)");

static void start_at_thread_main(Fiber &fiber) {
    constexpr int registers = 6;
    void **top = reinterpret_cast<void **>(fiber.stack + STACK_BYTES);
    *--top = nullptr; // in place of a return address: puts the stack where the ABI has it on entry
    *--top = reinterpret_cast<void *>(thread_main);
    for (int i = 0; i < registers; i++)
        *--top = nullptr;
    fiber.stack_pointer = top;
}

__attribute__((noinline)) static void change_fiber(Fiber &from, Fiber &to) {
    emulator_change_stack(&from.stack_pointer, to.stack_pointer);
    forget_memory();
}
#endif

// ---- a block ---------------------------------------------------------------------------------------------

struct Block {
    uint3 index;
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    size_t ended, at_barrier, at_grid_sync;
    int barrier_line;
    std::vector<char> shared;  // what the shared arrays hold while another block runs
    std::vector<char> dynamic; // dynamic shared memory, with a fence behind it

    Block() : threads(engine.block.x * engine.block.y * engine.block.z) {
        warps.resize((threads.size() + WARP - 1) / WARP);
        for (Thread &thread : threads)
            thread.fiber.stack = take_stack();
    }
    Block(const Block &) = delete;
    ~Block() {
        for (Thread &thread : threads)
            free_stacks.push_back(thread.fiber.stack);
    }

    bool has_ended() const { return ended == threads.size(); }
    bool must_wait_for_blocks() const { return ended + at_grid_sync == threads.size(); }

    void start(uint3 block_index) {
        index = block_index;
        ended = at_barrier = at_grid_sync = 0;
        shared.assign(__stop_emulator_shared - __start_emulator_shared, char(POISON));
        dynamic.assign(engine.dynamic_bytes, char(POISON));
        dynamic.resize(engine.dynamic_bytes + FENCE_BYTES, char(FENCE));
        for (Warp &warp : warps)
            warp = Warp{};
        const dim3 size = engine.block;
        for (unsigned i = 0; i < threads.size(); i++) {
            Thread &thread = threads[i];
            thread.index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
            thread.lane = i % WARP;
            thread.state = State::ready;
            thread.block = this;
            thread.warp = &warps[i / WARP];
            thread.warp->lanes[thread.lane] = &thread;
            thread.warp->existing |= 1u << thread.lane;
            start_at_thread_main(thread.fiber);
        }
    }

    bool fence_holds() const {
        return std::all_of(dynamic.begin() + engine.dynamic_bytes, dynamic.end(),
                           [](char byte) { return byte == char(FENCE); });
    }
};

// ---- errors ----------------------------------------------------------------------------------------------

// Notes the first error: kernel, block, thread, line and what is wrong.
__attribute__((format(printf, 3, 0))) static void note(const Thread &thread, int line, const char *format,
                                                       va_list values) {
    if (engine.failed)
        return;
    engine.failed = true;
    const uint3 b = thread.block->index, t = thread.index;
    const size_t length =
        std::snprintf(engine.error, sizeof engine.error, "%s, block (%u, %u, %u), thread (%u, %u, %u), line %d: ",
                      engine.kernel->name, b.x, b.y, b.z, t.x, t.y, t.z, line);
    if (length < sizeof engine.error)
        std::vsnprintf(engine.error + length, sizeof engine.error - length, format, values);
}

__attribute__((format(printf, 3, 4))) static void report(const Thread &thread, int line, const char *format, ...) {
    va_list values;
    va_start(values, format);
    note(thread, line, format, values);
    va_end(values);
}

// An error met by the running thread, which never goes on.
__attribute__((noreturn, format(printf, 3, 4))) static void fail(const Thread &thread, int line,
                                                                 const char *format, ...) {
    va_list values;
    va_start(values, format);
    note(thread, line, format, values);
    va_end(values);
    for (;;)
        change_fiber(engine.current->fiber, engine.scheduler);
}

// ---- what threads wait for -------------------------------------------------------------------------------

static void wait(Thread &self, State state) {
    self.state = state;
    change_fiber(self.fiber, engine.scheduler);
}

__attribute__((noinline)) static void block_barrier(int line) {
    Thread &self = *engine.current;
    Block &block = *self.block;
    self.visit = {"__syncthreads", line, Kind::barrier, 0, 0, 0, 0};
    if (block.ended)
        fail(self, line, "__syncthreads after %zu threads of the block have ended", block.ended);
    if (block.at_barrier && block.barrier_line != line)
        fail(self, line, "divergent __syncthreads: other threads wait at the one of line %d", block.barrier_line);
    block.barrier_line = line;
    if (++block.at_barrier < block.threads.size()) {
        wait(self, State::at_block_barrier);
        return;
    }
    block.at_barrier = 0;
    for (Thread &thread : block.threads)
        thread.state = State::ready;
    forget_memory();
}

__attribute__((noinline)) static void grid_sync(int line) {
    Thread &self = *engine.current;
    self.visit = {"grid sync", line, Kind::barrier, 0, 0, 0, 0};
    if (!engine.cooperative)
        fail(self, line, "grid sync outside a cooperative launch");
    self.block->at_grid_sync++;
    wait(self, State::at_grid_sync);
}

// All lanes of the mask are there: gives each its result and lets them go on.
static void resolve(const Thread &last, unsigned mask) {
    Warp &warp = *last.warp;
    unsigned votes = 0;
    for (int lane = 0; lane < WARP; lane++) {
        if (!(mask >> lane & 1))
            continue;
        const Thread &thread = *warp.lanes[lane];
        const Visit &theirs = thread.visit, &ours = last.visit;
        if (theirs.line != ours.line || std::strcmp(theirs.name, ours.name))
            fail(last, ours.line, "lanes meet at different warp operations: %s, and %s of line %d (lane %d)",
                 ours.name, theirs.name, theirs.line, lane);
        if (theirs.mask != ours.mask)
            fail(last, ours.line, "%s: lane %d has mask 0x%08x, lane %d has 0x%08x", ours.name, last.lane,
                 ours.mask, lane, theirs.mask);
        if (theirs.kind == Kind::shuffle && !(mask >> theirs.source & 1))
            fail(thread, theirs.line, "%s: lane %d reads lane %d, which is outside the mask 0x%08x", theirs.name,
                 lane, theirs.source, mask);
        if (theirs.kind == Kind::vote && theirs.value)
            votes |= 1u << lane;
    }
    for (int lane = 0; lane < WARP; lane++) {
        if (!(mask >> lane & 1))
            continue;
        Visit &visit = warp.lanes[lane]->visit;
        if (visit.kind == Kind::shuffle)
            visit.result = warp.lanes[visit.source]->visit.value;
        else
            visit.result = votes;
        warp.lanes[lane]->state = State::ready;
    }
    warp.waiting &= ~mask;
}

__attribute__((noinline)) static uint64_t warp_operation(const char *name, int line, Kind kind, unsigned mask,
                                                         uint64_t value = 0, int source = 0) {
    Thread &self = *engine.current;
    Warp &warp = *self.warp;
    self.visit = {name, line, kind, mask, value, source, 0};
    if (!(mask >> self.lane & 1))
        fail(self, line, "%s: the mask 0x%08x does not name the calling lane %d", name, mask, self.lane);
    if (mask & ~warp.existing)
        fail(self, line, "%s: the mask 0x%08x names lanes that do not exist: the warp has 0x%08x", name, mask,
             warp.existing);
    if (mask & warp.ended)
        fail(self, line, "%s: the mask 0x%08x names lanes that have ended: 0x%08x", name, mask, warp.ended);
    warp.waiting |= 1u << self.lane;
    if ((warp.waiting & mask) == mask)
        resolve(self, mask);
    else
        wait(self, State::at_warp_operation);
    forget_memory();
    return self.visit.result;
}

// ---- shuffles and votes ----------------------------------------------------------------------------------

// The lane that a shuffle reads, from the calling lane, the shuffle's number and the width.
static int lane_itself(int lane, int number, int width) { return (lane & -width) + (number & (width - 1)); }
static int lane_above(int lane, int number, int width) {
    return (lane & (width - 1)) + number < width ? lane + number : lane;
}
static int lane_below(int lane, int number, int width) {
    return (lane & (width - 1)) >= number ? lane - number : lane;
}
static int lane_across(int lane, int number, int width) {
    const int other = lane ^ number;
    return (other & -width) <= (lane & -width) ? other : lane; // not from a later group
}

template <class T, class N>
static T shuffle_lanes(const char *name, int line, int (*choose)(int, int, int), unsigned mask, T value, N number,
                       int width = WARP) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8, "shuffles move 1 to 8 bytes");
    const Thread &self = *engine.current;
    if (width < 1 || width > WARP || (width & (width - 1)))
        fail(self, line, "%s: the width %d is not a power of two up to 32", name, width);
    if (choose != lane_itself && (number < 0 || number >= WARP))
        fail(self, line, "%s: no lane is %lld away", name, static_cast<long long>(number));
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    const int source = choose(self.lane, static_cast<int>(number), width);
    bits = warp_operation(name, line, Kind::shuffle, mask, bits, source);
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

static inline unsigned vote(const char *name, int line, unsigned mask, bool value) {
    return static_cast<unsigned>(warp_operation(name, line, Kind::vote, mask, value));
}

// An object, so that the macro passes the line although the mask may be missing.
struct WarpBarrier {
    int line;
    void operator()(unsigned mask = 0xffffffffu) const { warp_operation("__syncwarp", line, Kind::barrier, mask); }
};

static inline void *dynamic_shared() { return engine.current->block->dynamic.data(); }
static inline const uint3 &thread_index() { return engine.current->index; }
static inline const uint3 &block_index() { return engine.current->block->index; }

// ---- the scheduler ---------------------------------------------------------------------------------------

// Every thread begins here, on its own stack.
static void thread_main() {
    engine.kernel->call(engine.kernel->function, engine.arguments);
    Thread &self = *engine.current;
    Block &block = *self.block;
    self.state = State::ended;
    block.ended++;
    self.warp->ended |= 1u << self.lane;
    if (block.at_barrier)
        fail(self, block.barrier_line, "the thread has ended, but others wait for it at this __syncthreads");
    for (const Thread *other : self.warp->lanes)
        if (other && other->state == State::at_warp_operation && (other->visit.mask >> self.lane & 1))
            fail(self, other->visit.line, "the thread has ended, but lane %d waits for it at this %s", other->lane,
                 other->visit.name);
    change_fiber(self.fiber, engine.scheduler);
    std::abort(); // nobody resumes a thread that has ended
}

// Lets a thread run until it waits or ends.
static void resume(Thread &thread) {
    engine.current = &thread;
    change_fiber(engine.scheduler, thread.fiber);
}

// The numbers 0 to count - 1 in the order of the schedule.
static std::vector<size_t> in_order(size_t count) {
    std::vector<size_t> order(count);
    for (size_t i = 0; i < count; i++)
        order[i] = engine.schedule == Schedule::reverse ? count - 1 - i : i;
    if (engine.schedule == Schedule::shuffled || engine.schedule == Schedule::warp_ahead)
        shuffle(order);
    return order;
}

// Each thread that can runs once; returns whether any could.
static bool let_threads_run(Block &block) {
    bool any = false;
    for (size_t i : in_order(block.threads.size())) {
        if (block.threads[i].state != State::ready)
            continue;
        resume(block.threads[i]);
        if (engine.failed)
            return true;
        any = true;
    }
    return any;
}

// Each warp runs as far as it gets alone. The last one to reach a barrier runs on past it at once, up to the
// next: that finds memory which is written again while slower warps still read it.
static bool let_warps_run_ahead(Block &block) {
    bool any = false;
    for (size_t w : in_order(block.warps.size())) {
        const bool backwards = random_below(2);
        for (bool again = true; again;) {
            again = false;
            for (int i = 0; i < WARP; i++) {
                Thread *thread = block.warps[w].lanes[backwards ? WARP - 1 - i : i];
                if (!thread || thread->state != State::ready)
                    continue;
                resume(*thread);
                if (engine.failed)
                    return true;
                any = again = true;
            }
        }
    }
    return any;
}

static void report_deadlock(const Block &block) {
    const Thread *first = nullptr;
    for (const Thread &thread : block.threads) {
        if (thread.state == State::ended)
            continue;
        if (!first) {
            first = &thread;
        } else if (thread.visit.line != first->visit.line) {
            report(*first, first->visit.line, "deadlock: waits at %s, and thread (%u, %u, %u) at %s of line %d",
                   first->visit.name, thread.index.x, thread.index.y, thread.index.z, thread.visit.name,
                   thread.visit.line);
            return;
        }
    }
    report(*first, first->visit.line, "deadlock: waits at %s, which other threads never reach", first->visit.name);
}

// Runs a block until its threads have ended, or all wait for other blocks. False: there was an error.
static bool run_block(Block &block) {
    char *const section = __start_emulator_shared;
    const size_t bytes = block.shared.size();
    if (bytes)
        std::memcpy(section, block.shared.data(), bytes);
    while (!engine.failed && !block.must_wait_for_blocks()) {
        const bool any =
            engine.schedule == Schedule::warp_ahead ? let_warps_run_ahead(block) : let_threads_run(block);
        if (!any)
            report_deadlock(block);
    }
    if (bytes)
        std::memcpy(block.shared.data(), section, bytes);
    if (!engine.failed && !block.fence_holds())
        report(block.threads[0], 0, "some thread wrote behind the %zu bytes of dynamic shared memory",
               engine.dynamic_bytes);
    return !engine.failed;
}

static uint3 place_in_grid(size_t number) {
    const size_t x = engine.grid.x, y = engine.grid.y;
    return {unsigned(number % x), unsigned(number / x % y), unsigned(number / (x * y))};
}

static void run_blocks_one_by_one(size_t count) {
    Block block;
    for (size_t number : in_order(count)) {
        block.start(place_in_grid(number));
        if (!run_block(block))
            return;
    }
}

// Whether the whole block waits at one grid sync.
static bool is_whole_at_grid_sync(const Block &block) {
    const Thread &first = block.threads[0];
    for (const Thread &thread : block.threads) {
        const bool differs = thread.state != first.state || thread.visit.line != first.visit.line;
        if (thread.state != State::ended && differs) {
            report(thread, thread.visit.line, "divergent grid sync: thread (0, 0, 0) of the block %s",
                   first.state == State::ended ? "has ended" : "waits at another one");
            return false;
        }
        if (thread.state == State::ended && differs) {
            report(first, first.visit.line, "divergent grid sync: thread (%u, %u, %u) of the block has ended",
                   thread.index.x, thread.index.y, thread.index.z);
            return false;
        }
    }
    return true;
}

static void run_blocks_together(size_t count) {
    std::vector<std::unique_ptr<Block>> blocks;
    for (size_t number = 0; number < count; number++) {
        blocks.push_back(std::make_unique<Block>());
        blocks.back()->start(place_in_grid(number));
    }
    for (;;) {
        size_t ended = 0;
        for (size_t number : in_order(count)) {
            if (!run_block(*blocks[number]))
                return;
            ended += blocks[number]->has_ended();
        }
        if (ended == count)
            return;
        for (auto &block : blocks) {
            if (block->has_ended())
                continue;
            if (!is_whole_at_grid_sync(*block))
                return;
            if (ended) {
                const Thread &first = block->threads[0];
                report(first, first.visit.line, "deadlock: waits at a grid sync, but %zu blocks have ended",
                       ended);
                return;
            }
            block->at_grid_sync = 0;
            for (Thread &thread : block->threads)
                thread.state = State::ready;
        }
    }
}

// ---- the kernels' parameters -----------------------------------------------------------------------------

template <class T> static std::string type_name() {
    if constexpr (std::is_pointer_v<T>)
        return "*" + type_name<std::remove_cv_t<std::remove_pointer_t<T>>>();
    else if constexpr (std::is_void_v<T>)
        return "void";
    else if constexpr (std::is_same_v<T, bool>)
        return "bool";
    else if constexpr (std::is_same_v<T, float2> || std::is_same_v<T, float4>)
        return "float32";
    else if constexpr (std::is_same_v<T, double2>)
        return "float64";
    else if constexpr (std::is_floating_point_v<T>)
        return "float" + std::to_string(8 * sizeof(T));
    else if constexpr (std::is_integral_v<T>)
        return (std::is_signed_v<T> ? "int" : "uint") + std::to_string(8 * sizeof(T));
    else
        return "unknown";
}

template <class... P, size_t... I>
static void call_with(void (*function)(), void **arguments, std::index_sequence<I...>) {
    (void)arguments; // of a kernel without parameters
    reinterpret_cast<void (*)(P...)>(function)(*static_cast<P *>(arguments[I])...);
}

template <class... P> static void call(void (*function)(), void **arguments) {
    call_with<P...>(function, arguments, std::index_sequence_for<P...>());
}

template <class... P> static Kernel describe(const char *name, void (*function)(P...)) {
    std::string parameters;
    ((parameters += type_name<P>() + " "), ...);
    return {name, parameters, reinterpret_cast<void (*)()>(function), &call<P...>};
}

} // namespace emulator

// ---- what emulator.py calls ------------------------------------------------------------------------------

#define EMULATOR_EXPORT extern "C" __attribute__((visibility("default")))

EMULATOR_EXPORT int emulator_count() { return static_cast<int>(emulator::kernels().size()); }
EMULATOR_EXPORT const char *emulator_name(int kernel) { return emulator::kernels()[kernel].name; }
EMULATOR_EXPORT const char *emulator_parameters(int kernel) {
    return emulator::kernels()[kernel].parameters.c_str();
}

// Runs a kernel; emulator.py has checked the shape. Returns nullptr, or what was wrong.
EMULATOR_EXPORT const char *emulator_launch(int kernel, const unsigned *shape, uint64_t dynamic_bytes,
                                            void **arguments, int cooperative, int schedule, uint64_t seed) {
    emulator::Engine &engine = emulator::engine;
    engine.kernel = &emulator::kernels()[kernel];
    engine.arguments = arguments;
    engine.grid = {shape[0], shape[1], shape[2]};
    engine.block = {shape[3], shape[4], shape[5]};
    engine.dynamic_bytes = dynamic_bytes;
    engine.cooperative = cooperative;
    engine.schedule = static_cast<emulator::Schedule>(schedule);
    engine.random = 0x9E3779B97F4A7C15u ^ (seed * 0xD1342543DE82EF95u + 1); // xorshift needs it nonzero
    engine.failed = false;
    const size_t blocks = size_t(shape[0]) * shape[1] * shape[2];
    if (cooperative)
        emulator::run_blocks_together(blocks);
    else
        emulator::run_blocks_one_by_one(blocks);
    return engine.failed ? engine.error : nullptr;
}

// ---- what kernels use ------------------------------------------------------------------------------------

#define threadIdx (::emulator::thread_index())
#define blockIdx (::emulator::block_index())
#define blockDim (::emulator::engine.block)
#define gridDim (::emulator::engine.grid)
#define warpSize 32

#define SN_DYNAMIC_SHARED(T, name) T *const name = static_cast<T *>(::emulator::dynamic_shared())
#define SN_GRID_SYNC(counter) ((void)(counter), ::emulator::grid_sync(__LINE__))

#define __syncthreads() ::emulator::block_barrier(__LINE__)
#define __syncwarp(...) ::emulator::WarpBarrier{__LINE__}(__VA_ARGS__)
#define __shfl_sync(...) ::emulator::shuffle_lanes("__shfl_sync", __LINE__, ::emulator::lane_itself, __VA_ARGS__)
#define __shfl_up_sync(...) \
    ::emulator::shuffle_lanes("__shfl_up_sync", __LINE__, ::emulator::lane_below, __VA_ARGS__)
#define __shfl_down_sync(...) \
    ::emulator::shuffle_lanes("__shfl_down_sync", __LINE__, ::emulator::lane_above, __VA_ARGS__)
#define __shfl_xor_sync(...) \
    ::emulator::shuffle_lanes("__shfl_xor_sync", __LINE__, ::emulator::lane_across, __VA_ARGS__)
#define __ballot_sync(mask, value) ::emulator::vote("__ballot_sync", __LINE__, mask, value)
#define __any_sync(mask, value) (::emulator::vote("__any_sync", __LINE__, mask, value) != 0)
#define __all_sync(mask, value) (::emulator::vote("__all_sync", __LINE__, mask, value) == (mask))

#define __threadfence() ::emulator::forget_memory()
#define __threadfence_block() ::emulator::forget_memory()

// No atomicAdd of float: its result depends on the order of the threads.
static inline unsigned atomicAdd(unsigned *address, unsigned value) {
    const unsigned old = *address;
    *address = old + value;
    return old;
}
static inline unsigned atomicAdd(volatile unsigned *, unsigned) = delete; // CUDA has none either

template <class T> static inline T __ldg(const T *address) { return *address; }
static inline float __int_as_float(int bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
static inline double __longlong_as_double(long long bits) {
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline float rsqrt(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
using std::max;
using std::min;

// Macros, because glibc has functions of these names.
#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __fdividef(x, y) (float(x) / float(y))
