/* threads.c: the same bits for any number of threads and callers, and in a forked child; slow helpers are left out. */

#define _POSIX_C_SOURCE 200809L /* fork */

#include <stdio.h>
#include <stdlib.h>

#include <pthread.h> /* mingw-w64 has it for Windows, too; the pool is built on the system's own threads there */
#include <time.h>
#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "driver.h"
#include "threads.h"

enum { BIG_N = 203, BIG_D = 170, BIG_M = 130, LONG = 5 << 16 }; /* large enough to be split */

static uint64_t bits(uint64_t hash, array a)
{
    for (size_t i = 0; i < (size_t)a.n * width(a.type); i++)
        hash = hash * 1099511628211u + ((unsigned char *)a.data)[i];
    return hash;
}

/* A sum over the bits of what large work gives. */
static uint64_t big_work(sn_type type)
{
    seed(99);
    const array x = input(type, BIG_N * BIG_D), W = input(type, BIG_D * BIG_M), b = input(type, BIG_M);
    const array out = output(type, BIG_N * BIG_M), dx = output(type, BIG_N * BIG_D);
    const array dW = output(type, BIG_D * BIG_M), db = output(type, BIG_M), p = input(type, LONG);
    const array all[] = { out, dx, dW, db, p };
    const sn_parameter parameter = { LONG, p.data, p.data, { NULL, NULL } };
    const double numbers[4] = { 0.25, 0, 0, 0 };
    uint64_t hash = 0;
    sn_affine_forward(type, BIG_N, BIG_D, BIG_M, x.data, W.data, b.data, out.data);
    sn_affine_backward(type, BIG_N, BIG_D, BIG_M, out.data, x.data, W.data, dx.data, dW.data, db.data);
    sn_update(type, SN_SGD, &parameter, numbers);
    for (int k = 0; k < 5; k++)
        hash = bits(hash, all[k]);
    end_case();
    return hash;
}

static uint64_t big_images(sn_type type)
{
    enum { IMAGES = 17, C = 4, SIDE = 34, P = 3, PLACES = 32, M = 9, DEPTH = C * P * P, L = PLACES * PLACES };
    seed(98);
    const array x = input(type, IMAGES * C * SIDE * SIDE), col = output(type, IMAGES * DEPTH * L);
    const array W = input(type, M * DEPTH), b = input(type, M), dW = input(type, M * DEPTH), db = input(type, M);
    const array out = output(type, IMAGES * M * L), dcol = output(type, IMAGES * DEPTH * L);
    const array dx = output(type, x.n), most = output(type, IMAGES * C * L), all[] = { out, dW, db, dx, most };
    sn_label *argmax = memory((size_t)most.n * sizeof *argmax);
    uint64_t hash = 0;
    sn_im2col(type, IMAGES, C, SIDE, SIDE, P, P, PLACES, PLACES, x.data, 1, 0, col.data);
    sn_convolution_forward(type, IMAGES, DEPTH, L, M, col.data, W.data, b.data, out.data);
    sn_convolution_backward(type, IMAGES, DEPTH, L, M, out.data, col.data, W.data, dcol.data, dW.data, db.data);
    sn_col2im(type, IMAGES, C, SIDE, SIDE, P, P, PLACES, PLACES, dcol.data, 1, 0, dx.data);
    sn_max_pool_forward(type, IMAGES, C, SIDE, SIDE, PLACES, PLACES, x.data, P, P, 1, most.data, argmax);
    for (int k = 0; k < 5; k++)
        hash = bits(hash, all[k]);
    for (sn_size i = 0; i < most.n; i++)
        hash = hash * 1099511628211u + (uint64_t)argmax[i];
    end_case();
    return hash;
}

static uint64_t alone[2], images_alone[2]; /* what one thread gives, of each type */

static void expect_the_same(const char *when)
{
    for (int type = 0; type < 2; type++)
        if (big_work((sn_type)type) != alone[type]) {
            fprintf(stderr, "other bits %s (%s)\n", when, sn_isa());
            exit(1);
        }
}

static void *caller(void *unused)
{
    (void)unused;
    for (int k = 0; k < 3; k++) {
        sn_set_threads(2 + k); /* anyone may change it at any time */
        expect_the_same("with many callers");
        test_affine(SN_FLOAT32, 7, 5, 19, 0);
    }
    return NULL;
}

static void test_many_callers(void)
{
    pthread_t thread[8];
    for (int k = 0; k < 8; k++)
        if (pthread_create(&thread[k], NULL, caller, NULL))
            abort();
    for (int k = 0; k < 8; k++)
        pthread_join(thread[k], NULL);
}

#if !defined(_WIN32)

/* A child has the forking thread alone: it must neither wait for the pool nor differ. */
static void test_fork(int generation)
{
    int status;
    const pid_t child = fork();
    if (child == 0) {
        expect_the_same("in a forked child");
        if (generation)
            test_fork(generation - 1);
        _exit(0);
    }
    expect_the_same("beside a forked child");
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "a forked child failed\n");
        _exit(1);
    }
}

#endif

enum { US = 1000, MS = 1000000 }; /* ns */

typedef struct {
    pthread_t caller;
    long delay;      /* ns that a chunk takes on any other thread */
    int times[4];    /* that each chunk was computed */
    int by_helper[4];
} slow_job;

static void slow_chunk(void *context, sn_size chunk)
{
    slow_job *job = context;
    job->by_helper[chunk] = !pthread_equal(pthread_self(), job->caller);
    nanosleep(&(struct timespec){ 0, job->by_helper[chunk] ? job->delay : 300 * US }, NULL);
    job->times[chunk]++;
}

/* Whether helpers had a part in a job. */
static int helped(long delay)
{
    slow_job job = { pthread_self(), delay, { 0 }, { 0 } };
    int parts = 0;
    sn_parallel(4, slow_chunk, &job);
    for (int k = 0; k < 4; k++) {
        if (job.times[k] != 1) {
            fprintf(stderr, "chunk %d was computed %d times\n", k, job.times[k]);
            exit(1);
        }
        parts += job.by_helper[k];
    }
    return parts > 0;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* With a helper a job takes 5 ms, without 1.5: most have to be done without. When the helper is as fast as the caller
 * it has to come back. */
static void test_slow_helpers(void)
{
    const double start = seconds();
    int slow = 0;
    sn_set_threads(2);
    while (seconds() - start < 0.2 || (slow < 3 && seconds() - start < 30))
        slow += helped(5 * MS);
    if (slow < 3 || slow * 5e-3 > (seconds() - start) / 2) {
        fprintf(stderr, "%d jobs had a slow helper in %g s\n", slow, seconds() - start);
        exit(1);
    }
    for (const double now = seconds(); !helped(300 * US);)
        if (seconds() - now > 30) {
            fprintf(stderr, "a helper never came back\n");
            exit(1);
        }
}

void test_threads(void)
{
    sn_set_threads(1);
    for (int type = 0; type < 2; type++) {
        alone[type] = big_work((sn_type)type);
        images_alone[type] = big_images((sn_type)type);
    }
    for (int threads = 2; threads <= 8; threads += 3) {
        sn_set_threads(threads);
        expect_the_same("with more threads");
        for (int type = 0; type < 2; type++)
            if (big_images((sn_type)type) != images_alone[type]) {
                fprintf(stderr, "other bits of images with more threads (%s)\n", sn_isa());
                exit(1);
            }
    }
    test_slow_helpers();
    test_many_callers();
#if !defined(_WIN32)
    for (int k = 0; k < 3; k++)
        test_fork(1);
#endif
}
