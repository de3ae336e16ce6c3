/* system_threads.h: what the pool in threads.c takes from the system: locks, conditions, threads, the clock and the
 * processor's number. Windows' own, or POSIX's.
 *
 * A lock is a static variable, LOCK at the start; so is a condition, CONDITION at the start. A thread's function is
 * `static THREAD name(void *argument)`, and ends with `return 0`. */
#ifndef SCRATCHNET_SYSTEM_THREADS_H
#define SCRATCHNET_SYSTEM_THREADS_H

#include <stdint.h>

enum { STACK_BYTES = 1 << 20 }; /* of a new thread: musl's default is 128 KB, and a product's panel takes 64 */

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <process.h>

typedef SRWLOCK sn_lock;
typedef CONDITION_VARIABLE sn_condition;
#define LOCK SRWLOCK_INIT
#define CONDITION CONDITION_VARIABLE_INIT
#define THREAD unsigned __stdcall

static inline void lock(sn_lock *l) { AcquireSRWLockExclusive(l); }
static inline int try_lock(sn_lock *l) { return TryAcquireSRWLockExclusive(l); }
static inline void unlock(sn_lock *l) { ReleaseSRWLockExclusive(l); }
static inline void wait_for(sn_condition *c, sn_lock *l) { SleepConditionVariableSRW(c, l, INFINITE, 0); }
static inline void wake_one(sn_condition *c) { WakeConditionVariable(c); }
static inline void wake_all(sn_condition *c) { WakeAllConditionVariable(c); }

/* Starts a thread that nobody waits for; returns whether it was. */
static inline int start_thread(unsigned(__stdcall *function)(void *), void *argument)
{
    const unsigned flags = STACK_SIZE_PARAM_IS_A_RESERVATION;
    const uintptr_t thread = _beginthreadex(NULL, STACK_BYTES, function, argument, flags, NULL);
    return thread && CloseHandle((HANDLE)thread);
}

/* Has a function called in a forked child; returns whether it will be: here nothing forks. */
static inline int in_forked_child(void (*function)(void))
{
    (void)function;
    return 1;
}

static inline void pause_a_little(void) { YieldProcessor(); }

static inline int this_processor(void)
{
    PROCESSOR_NUMBER here;
    GetCurrentProcessorNumberEx(&here);
    return here.Group * 64 + here.Number;
}

static inline int64_t nanoseconds(void)
{
    LARGE_INTEGER ticks, second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&second);
    return ticks.QuadPart / second.QuadPart * 1000000000
         + ticks.QuadPart % second.QuadPart * 1000000000 / second.QuadPart;
}

#else

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

typedef pthread_mutex_t sn_lock;
typedef pthread_cond_t sn_condition;
#define LOCK PTHREAD_MUTEX_INITIALIZER
#define CONDITION PTHREAD_COND_INITIALIZER
#define THREAD void *

static inline void lock(sn_lock *l) { pthread_mutex_lock(l); }
static inline int try_lock(sn_lock *l) { return pthread_mutex_trylock(l) == 0; }
static inline void unlock(sn_lock *l) { pthread_mutex_unlock(l); }
static inline void wait_for(sn_condition *c, sn_lock *l) { pthread_cond_wait(c, l); }
static inline void wake_one(sn_condition *c) { pthread_cond_signal(c); }
static inline void wake_all(sn_condition *c) { pthread_cond_broadcast(c); }

static inline int start_thread(void *(*function)(void *), void *argument)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* leave signals to the program's own threads */
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    const int started = pthread_create(&thread, &attributes, function, argument) == 0 && pthread_detach(thread) == 0;
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static inline int in_forked_child(void (*function)(void)) { return pthread_atfork(NULL, NULL, function) == 0; }

static inline void pause_a_little(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The processor that this thread runs on, or -1 if the system does not say. */
static inline int this_processor(void)
{
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

static inline int64_t nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#endif
#endif
