/* threads.c: a small pool that helps the calling thread with work split into chunks.
 *
 * Chunks are claimed one by one, so that a helper that the system does not schedule in time takes none and
 * nobody waits for it. A helper joins a job only while it is open; the caller closes it when no chunk is left, and
 * waits for those that joined. Between jobs helpers spin for a bounded time and then sleep. If the pool is
 * busy (several Python threads compute at once), the caller does its work alone. A forked child starts
 * without helpers and creates its own when it needs them. Which thread computes a chunk never changes a result.
 *
 * When other processes are busy, a helper can lose its processor in the middle of a chunk, for a time slice of
 * some milliseconds. So:
 * - A waiting caller sleeps after a short spin and never yields: its processor is then free for the helper.
 * - A helper on the caller's own processor does not spin, since the caller could not run meanwhile; nor does one
 *   that is excluded.
 * - If the caller waited longer than the help was worth, the next jobs use one helper fewer: for 10 ms, doubled each
 *   time that it soon happens again, up to 640 ms.
 */

#define _GNU_SOURCE /* signal masks, which C11 alone does not have, and sched_getcpu */

#include "threads.h"

#include <math.h>
#include <stdatomic.h>
#include <stdint.h>

#include "system_threads.h"

enum { MOST_HELPERS = 255, SPINS = 4000 }; /* this many pauses take about 50 us */
enum { MS = 1000000, SHORTEST_ABSENCE = 10 * MS, LONGEST_ABSENCE = 640 * MS }; /* ns */
enum { SOON = 32 }; /* jobs; a delay rarer than one in this many does not show in the 90th percentile */

/* The state of the job in one word: its number, whether it is closed, whether the caller sleeps until the last
 * helper leaves, how many helpers are in it. */
#define CLOSED ((uint64_t)1 << 31)
#define AWAITED ((uint64_t)1 << 30)
#define NUMBER(word) ((uint32_t)((word) >> 32))
#define COUNT(word) ((uint32_t)(word) & 0x3fffffffu)

static atomic_int threads = 1;
static sn_lock entry = LOCK;          /* held by the thread whose job runs */
static sn_lock bed = LOCK;            /* with the two below: */
static sn_condition bell = CONDITION; /* where helpers sleep until there is a job, */
static sn_condition left = CONDITION; /* and the caller until the last of them has left */
static int helpers;                   /* started; guarded by entry, as are these: */
static int absent;                    /* helpers that are excluded for now */
static int64_t absence, back;         /* ns: how long, and when the next one comes back */
static int jobs;                      /* since one left or came back; counted up to SOON */

static _Atomic uint64_t word = CLOSED;
static struct {                       /* written by the caller while no helper is in */
    sn_task task;
    void *context;
    int most_helpers, processor;
    sn_size chunks;
    _Atomic sn_size next;
} job;

/* Computes the remaining chunks; returns how many there were. */
static sn_size work(void)
{
    sn_size own = 0, i;
    for (; (i = atomic_fetch_add_explicit(&job.next, 1, memory_order_relaxed)) < job.chunks; own++)
        job.task(job.context, i);
    return own;
}

/* Waits for a job whose number is not `seen`. */
static uint64_t next_word(uint32_t seen, int spins)
{
    uint64_t w;
    for (int i = 0; i < spins; i++) {
        if (NUMBER(w = atomic_load_explicit(&word, memory_order_acquire)) != seen)
            return w;
        pause_a_little();
    }
    lock(&bed);
    while (NUMBER(w = atomic_load_explicit(&word, memory_order_acquire)) == seen)
        wait_for(&bell, &bed);
    unlock(&bed);
    return w;
}

static THREAD help(void *argument)
{
    const int id = (int)(intptr_t)argument;
    uint32_t seen = 0;
    int spins = SPINS;
    for (;;) {
        uint64_t w = next_word(seen, spins);
        seen = NUMBER(w);
        while (!(w & CLOSED) && NUMBER(w) == seen)
            if (atomic_compare_exchange_weak_explicit(&word, &w, w + 1, memory_order_acq_rel, memory_order_acquire)) {
                const int wanted = id < job.most_helpers;
                if (wanted)
                    work();
                const int here = this_processor();
                spins = !wanted || (here >= 0 && here == job.processor) ? 0 : SPINS;
                w = atomic_fetch_sub_explicit(&word, 1, memory_order_acq_rel);
                if (w & AWAITED && COUNT(w) == 1) {
                    lock(&bed);
                    wake_one(&left);
                    unlock(&bed);
                }
                break;
            }
    }
    return 0;
}

/* Whether all helpers have left, after a short wait. */
static int helpers_left(void)
{
    for (int i = 0; i < SPINS; i++) {
        if (COUNT(atomic_load_explicit(&word, memory_order_acquire)) == 0)
            return 1;
        pause_a_little();
    }
    return 0;
}

static void sleep_until_helpers_left(void)
{
    atomic_fetch_or_explicit(&word, AWAITED, memory_order_acq_rel);
    lock(&bed);
    while (COUNT(atomic_load_explicit(&word, memory_order_acquire)))
        wait_for(&left, &bed);
    unlock(&bed);
}

/* How many of the wanted helpers a job that starts now gets. */
static int present_helpers(int wanted, int64_t now)
{
    if (absent > wanted)
        absent = wanted;
    if (absent && now >= back) {
        absent--;
        back = now + absence;
        jobs = 0;
    }
    return wanted - absent;
}

static void leave_one_out(int64_t now)
{
    if (jobs >= SOON || absence == 0)
        absence = SHORTEST_ABSENCE;
    else if (absence < LONGEST_ABSENCE)
        absence *= 2;
    absent++;
    back = now + absence;
    jobs = 0;
}

/* A forked child has only the thread that forked. */
static void after_fork(void)
{
    entry = bed = (sn_lock)LOCK;
    bell = left = (sn_condition)CONDITION;
    helpers = 0;
    atomic_store(&word, CLOSED);
}

static void start_helpers(int wanted)
{
    static int registered;
    if (!registered)
        registered = in_forked_child(after_fork);
    if (!registered)
        return; /* without it a child could wait for helpers that it does not have */
    while (helpers < wanted && helpers < MOST_HELPERS && start_thread(help, (void *)(intptr_t)helpers))
        helpers++;
}

int sn_threads(void)
{
    return atomic_load_explicit(&threads, memory_order_relaxed);
}

void sn_set_threads(int n)
{
    atomic_store(&threads, n < 1 ? 1 : n > MOST_HELPERS + 1 ? MOST_HELPERS + 1 : n);
}

static void alone(sn_size chunks, sn_task task, void *context)
{
    for (sn_size i = 0; i < chunks; i++)
        task(context, i);
}

/* Runs the job with helpers, while holding entry; `start` in ns. */
static void together(int most_helpers, int64_t start, sn_size chunks, sn_task task, void *context)
{
    if (helpers < most_helpers)
        start_helpers(most_helpers);
    job.task = task;
    job.context = context;
    job.chunks = chunks;
    job.most_helpers = most_helpers;
    job.processor = this_processor();
    atomic_store_explicit(&job.next, 0, memory_order_relaxed);
    /* A new helper starts with seen = 0. */
    uint32_t number = NUMBER(atomic_load_explicit(&word, memory_order_relaxed)) + 1;
    lock(&bed);
    atomic_store_explicit(&word, (uint64_t)(number ? number : 1) << 32, memory_order_release);
    wake_all(&bell);
    unlock(&bed);
    const sn_size own = work();
    atomic_fetch_or_explicit(&word, CLOSED, memory_order_acq_rel);
    jobs += jobs < SOON;
    if (helpers_left())
        return;
    const int64_t worked = nanoseconds();
    sleep_until_helpers_left();
    const int64_t now = nanoseconds();
    /* With one helper fewer, the others would share its part of the helpers' work: that is what it was worth.
     * One chunk's time is the ordinary wait for the last one. */
    const double chunk = own ? (double)(worked - start) / (double)own : HUGE_VAL;
    const double worth = chunk * (double)(chunks - own) / ((double)most_helpers * most_helpers);
    if ((double)(now - worked) > worth + chunk)
        leave_one_out(now);
}

void sn_parallel(sn_size chunks, sn_task task, void *context)
{
    const int wanted = sn_threads() - 1;
    if (chunks < 2 || wanted < 1 || !try_lock(&entry)) {
        alone(chunks, task, context);
        return;
    }
    const int64_t start = nanoseconds();
    const int most_helpers = present_helpers(wanted, start);
    if (most_helpers)
        together(most_helpers, start, chunks, task, context);
    unlock(&entry);
    if (!most_helpers)
        alone(chunks, task, context);
}
