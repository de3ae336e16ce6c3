/* threads.c: a small pool that helps the calling thread with work split into chunks.
 *
 * Chunks are claimed one by one, so that a helper that the system does not run in time takes none and nobody
 * waits for it. A helper joins a job only while it is open; the caller closes it when no chunk is left, and
 * waits for those that joined. Between jobs helpers spin for a bounded time and then sleep. If the pool is
 * busy (several Python threads compute at once), the caller does its work alone. A forked child starts
 * without helpers and makes its own when it needs them. Which thread computes a chunk never changes a result.
 */

#define _POSIX_C_SOURCE 200809L /* signal masks, which C11 alone does not have */

#include "threads.h"

#if defined(_WIN32)

int sn_threads(void) { return 1; }
void sn_set_threads(int n) { (void)n; }

void sn_parallel(sn_size chunks, sn_task task, void *context)
{
    for (sn_size i = 0; i < chunks; i++)
        task(context, i);
}

#else

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

enum { MOST_HELPERS = 255, SPINS = 4000 };

/* The state of the job in one word: its number, whether it is closed, how many helpers are in it. */
#define CLOSED ((uint64_t)1 << 31)
#define NUMBER(word) ((uint32_t)((word) >> 32))
#define COUNT(word) ((uint32_t)(word) & 0x7fffffffu)

static atomic_int threads = 1;
static pthread_mutex_t entry = PTHREAD_MUTEX_INITIALIZER; /* held by the thread whose job runs */
static pthread_mutex_t bed = PTHREAD_MUTEX_INITIALIZER;   /* with `bell`: where helpers sleep */
static pthread_cond_t bell = PTHREAD_COND_INITIALIZER;
static int helpers;                                       /* started; guarded by entry */

static _Atomic uint64_t word = CLOSED;
static struct {                                           /* written by the caller while no helper is in */
    sn_task task;
    void *context;
    int most_helpers;
    sn_size chunks;
    _Atomic sn_size next;
} job;

static inline void pause_a_little(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void work(void)
{
    sn_size i;
    while ((i = atomic_fetch_add_explicit(&job.next, 1, memory_order_relaxed)) < job.chunks)
        job.task(job.context, i);
}

/* Wait until there is a job with another number than `seen`. */
static uint64_t next_word(uint32_t seen)
{
    uint64_t w;
    for (int i = 0; i < SPINS; i++) {
        if (NUMBER(w = atomic_load_explicit(&word, memory_order_acquire)) != seen)
            return w;
        pause_a_little();
    }
    pthread_mutex_lock(&bed);
    while (NUMBER(w = atomic_load_explicit(&word, memory_order_acquire)) == seen)
        pthread_cond_wait(&bell, &bed);
    pthread_mutex_unlock(&bed);
    return w;
}

static void *help(void *argument)
{
    const int id = (int)(intptr_t)argument;
    uint32_t seen = 0;
    for (;;) {
        uint64_t w = next_word(seen);
        seen = NUMBER(w);
        while (!(w & CLOSED) && NUMBER(w) == seen)
            if (atomic_compare_exchange_weak_explicit(&word, &w, w + 1, memory_order_acq_rel, memory_order_acquire)) {
                if (id < job.most_helpers)
                    work();
                atomic_fetch_sub_explicit(&word, 1, memory_order_release);
                break;
            }
    }
    return NULL;
}

/* The child of a fork has only the thread that forked. */
static void after_fork(void)
{
    pthread_mutex_init(&entry, NULL);
    pthread_mutex_init(&bed, NULL);
    pthread_cond_init(&bell, NULL);
    helpers = 0;
    atomic_store(&word, CLOSED);
}

static void start_helpers(int wanted)
{
    static int registered;
    sigset_t all, before;
    pthread_attr_t attributes;
    if (!registered)
        registered = pthread_atfork(NULL, NULL, after_fork) == 0;
    if (!registered)
        return; /* without it a child could wait for helpers that it does not have */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the program's own threads */
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 1 << 20); /* musl gives 128 KB, and a product's panel takes 64 */
    while (helpers < wanted && helpers < MOST_HELPERS) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, help, (void *)(intptr_t)helpers))
            break;
        pthread_detach(thread);
        helpers++;
    }
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int sn_threads(void)
{
    return atomic_load_explicit(&threads, memory_order_relaxed);
}

void sn_set_threads(int n)
{
    atomic_store(&threads, n < 1 ? 1 : n > MOST_HELPERS + 1 ? MOST_HELPERS + 1 : n);
}

void sn_parallel(sn_size chunks, sn_task task, void *context)
{
    const int wanted = sn_threads() - 1;
    if (chunks < 2 || wanted < 1 || pthread_mutex_trylock(&entry)) {
        for (sn_size i = 0; i < chunks; i++)
            task(context, i);
        return;
    }
    if (helpers < wanted)
        start_helpers(wanted);
    job.task = task;
    job.context = context;
    job.chunks = chunks;
    job.most_helpers = wanted;
    atomic_store_explicit(&job.next, 0, memory_order_relaxed);
    /* Number 0 is what a new helper has seen. */
    uint32_t number = NUMBER(atomic_load_explicit(&word, memory_order_relaxed)) + 1;
    pthread_mutex_lock(&bed);
    atomic_store_explicit(&word, (uint64_t)(number ? number : 1) << 32, memory_order_release);
    pthread_cond_broadcast(&bell);
    pthread_mutex_unlock(&bed);
    work();
    atomic_fetch_or_explicit(&word, CLOSED, memory_order_acq_rel);
    for (int i = 0; COUNT(atomic_load_explicit(&word, memory_order_acquire)); i++)
        if (i < SPINS)
            pause_a_little();
        else if (i < 2 * SPINS)
            sched_yield();
        else
            nanosleep(&(struct timespec){ 0, 20000 }, NULL);
    pthread_mutex_unlock(&entry);
}

#endif
