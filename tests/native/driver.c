/* driver.c: every kernel of scratchnet.h against loops written for reading, without Python.
 *
 * It is compiled together with csrc, for the sanitizers, for other compilers and for other processors; `make
 * test-all` says how. Arrays are allocated one by one, to the byte, so that an address sanitizer or valgrind sees
 * the first read or write beside one. What the kernels compute is held against the formula in double; how exact
 * they are to the last place is what the Python tests are for.
 */

#define _POSIX_C_SOURCE 200809L /* fork */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scratchnet.h"

#if !defined(_WIN32)
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

/* ---- arrays, random numbers, comparisons ------------------------------------------------------ */

typedef struct {
    sn_type type;
    sn_size n;
    void *data;
} array;

enum { MOST_ARRAYS = 64 };
static _Thread_local void *owned[MOST_ARRAYS]; /* of the case at hand */
static _Thread_local int owned_count;
static _Thread_local uint64_t state = 1;

static double any(void) /* in [-2, 2) */
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 40) / (1 << 22) - 2;
}

static void *memory(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p || owned_count == MOST_ARRAYS)
        abort();
    return owned[owned_count++] = p;
}

static void end_case(void)
{
    while (owned_count)
        free(owned[--owned_count]);
}

static size_t width(sn_type type) { return type == SN_FLOAT64 ? sizeof(double) : sizeof(float); }
static double at(array a, sn_size i) { return a.type == SN_FLOAT64 ? ((double *)a.data)[i] : ((float *)a.data)[i]; }

static void put(array a, sn_size i, double value)
{
    if (a.type == SN_FLOAT64)
        ((double *)a.data)[i] = value;
    else
        ((float *)a.data)[i] = (float)value;
}

static array output(sn_type type, sn_size n) /* poisoned: all of it must be written */
{
    array a = { type, n, memory((size_t)n * width(type)) };
    for (sn_size i = 0; i < n; i++)
        put(a, i, NAN);
    return a;
}

static array input(sn_type type, sn_size n)
{
    array a = output(type, n);
    for (sn_size i = 0; i < n; i++)
        put(a, i, any());
    return a;
}

static array positive(sn_type type, sn_size n)
{
    array a = input(type, n);
    for (sn_size i = 0; i < n; i++)
        put(a, i, fabs(at(a, i)) / 2);
    return a;
}

static array copy(array a)
{
    array b = { a.type, a.n, memory((size_t)a.n * width(a.type)) };
    memcpy(b.data, a.data, (size_t)a.n * width(a.type));
    return b;
}

static sn_label *labels(sn_size n, sn_size limit)
{
    sn_label *t = memory((size_t)n * sizeof *t);
    for (sn_size i = 0; i < n; i++)
        t[i] = (sn_label)((any() + 2) / 4 * (double)limit);
    return t;
}

static void fail(const char *kernel, sn_type type, sn_size i, double got, double want)
{
    fprintf(stderr, "%s (%s, %s)[%td] = %.17g, expected %.17g\n", kernel, sn_isa(),
            type == SN_FLOAT64 ? "float64" : "float32", i, got, want);
    exit(1);
}

/* `slack` is what the rounding of the type may make of numbers of size `scale` in some operations. */
static void near(const char *kernel, array a, sn_size i, double want, double scale, double operations)
{
    const double unit = a.type == SN_FLOAT64 ? 2.3e-16 : 1.2e-7, got = at(a, i);
    if (!(fabs(got - want) <= operations * unit * (fabs(scale) + fabs(want))))
        fail(kernel, a.type, i, got, want);
}

static void number_near(const char *kernel, sn_type type, double got, double want, double bound)
{
    if (!(fabs(got - want) <= bound * (1 + fabs(want))))
        fail(kernel, type, 0, got, want);
}

static void same(const char *kernel, array a, array b)
{
    if (memcmp(a.data, b.data, (size_t)a.n * width(a.type)) != 0)
        for (sn_size i = 0; i < a.n; i++)
            if (!(at(a, i) == at(b, i)))
                fail(kernel, a.type, i, at(a, i), at(b, i));
}

/* ---- products and rows ------------------------------------------------------------------------ */

/* out[N,M] = a b, with element (i, j) of a at i * row + j * column, likewise b. */
static void check_product(const char *kernel, array out, sn_size N, sn_size K, sn_size M, array a, sn_size a_row,
                          sn_size a_column, array b, sn_size b_row, sn_size b_column, const array *bias)
{
    for (sn_size i = 0; i < N; i++)
        for (sn_size j = 0; j < M; j++) {
            double sum = 0, size = 0;
            for (sn_size k = 0; k < K; k++) {
                const double term = at(a, i * a_row + k * a_column) * at(b, k * b_row + j * b_column);
                sum += term;
                size += fabs(term);
            }
            if (bias) {
                sum += at(*bias, j);
                size += fabs(at(*bias, j));
            }
            near(kernel, out, i * M + j, sum, size, (double)K + 3);
        }
}

static void test_affine(sn_type type, sn_size N, sn_size D, sn_size M)
{
    const array x = input(type, N * D), W = input(type, D * M), b = input(type, M), dout = input(type, N * M);
    array out = output(type, N * M);
    sn_affine_forward(type, N, D, M, x.data, W.data, b.data, out.data);
    check_product("affine_forward", out, N, D, M, x, D, 1, W, M, 1, &b);
    out = output(type, N * M);
    sn_affine_forward(type, N, D, M, x.data, W.data, NULL, out.data);
    check_product("affine_forward without b", out, N, D, M, x, D, 1, W, M, 1, NULL);

    const array dx = output(type, N * D), dW = output(type, D * M), db = output(type, M), dW2 = output(type, D * M);
    sn_affine_backward(type, N, D, M, dout.data, x.data, W.data, dx.data, dW.data, db.data);
    check_product("affine_backward dx", dx, N, M, D, dout, M, 1, W, 1, M, NULL);
    check_product("affine_backward dW", dW, D, N, M, x, 1, D, dout, M, 1, NULL);
    for (sn_size j = 0; j < M; j++) {
        double sum = 0, size = 0;
        for (sn_size i = 0; i < N; i++) {
            sum += at(dout, i * M + j);
            size += fabs(at(dout, i * M + j));
        }
        near("affine_backward db", db, j, sum, size, (double)N + 1);
    }
    sn_affine_backward(type, N, D, M, dout.data, x.data, W.data, NULL, dW2.data, NULL);
    same("affine_backward without dx and db", dW2, dW);

    const array sums = output(type, M), rows = output(type, N * M);
    sn_sum_rows(type, N, M, dout.data, sums.data);
    same("sum_rows", sums, db);
    sn_repeat_rows(type, N, M, b.data, rows.data);
    for (sn_size i = 0; i < N * M; i++)
        near("repeat_rows", rows, i, at(b, i % M), 0, 0);
    if (N) {
        const array taken = output(type, (N + 2) * D);
        const sn_label *index = labels(N + 2, N);
        sn_take_rows(type, N + 2, D, x.data, index, taken.data);
        for (sn_size i = 0; i < (N + 2) * D; i++)
            near("take_rows", taken, i, at(x, index[i / D] * D + i % D), 0, 0);
    }
    end_case();
}

/* ---- element by element ------------------------------------------------------------------------ */

static double sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }

static void test_elementwise(sn_type type, sn_size n)
{
    const array x = input(type, n), y = positive(type, n), dout = input(type, n);
    if (n > 3) { /* far ends, where a plain formula overflows */
        put(x, 0, 1e4);
        put(x, 1, -1e4);
        put(x, 2, -80);
    }
    const array s = output(type, n), r = output(type, n), ds = output(type, n), dr = output(type, n);
    sn_sigmoid_forward(type, n, x.data, s.data);
    sn_relu_forward(type, n, x.data, r.data);
    sn_sigmoid_backward(type, n, dout.data, y.data, ds.data);
    sn_relu_backward(type, n, dout.data, x.data, dr.data);
    for (sn_size i = 0; i < n; i++) {
        near("sigmoid_forward", s, i, sigmoid(at(x, i)), 0, 4);
        near("relu_forward", r, i, at(x, i) <= 0 ? 0 : at(x, i), 0, 0);
        near("sigmoid_backward", ds, i, at(dout, i) * (1 - at(y, i)) * at(y, i), at(dout, i), 4);
        near("relu_backward", dr, i, at(x, i) <= 0 ? 0 : at(dout, i), 0, 0);
    }
    array in_place = copy(x);
    sn_sigmoid_forward(type, n, in_place.data, in_place.data);
    same("sigmoid_forward in place", in_place, s);
    in_place = copy(x);
    sn_relu_forward(type, n, in_place.data, in_place.data);
    same("relu_forward in place", in_place, r);
    in_place = copy(dout);
    sn_sigmoid_backward(type, n, in_place.data, y.data, in_place.data);
    same("sigmoid_backward in place", in_place, ds);
    in_place = copy(dout);
    sn_relu_backward(type, n, in_place.data, x.data, in_place.data);
    same("relu_backward in place", in_place, dr);

    const sn_label *t = labels(n, 2);
    const array p = output(type, n), dp = output(type, n), scaled = copy(x);
    double loss = 0, squares = 0;
    const double got = sn_sigmoid_cross_entropy_forward(type, n, x.data, t, p.data);
    same("sigmoid_cross_entropy_forward", p, s);
    sn_sigmoid_cross_entropy_backward(type, n, y.data, t, 0.75, dp.data);
    sn_scale(type, n, scaled.data, 0.3);
    for (sn_size i = 0; i < n; i++) {
        loss -= log((t[i] ? at(s, i) : 1 - at(s, i)) + 1e-7) / (double)n;
        squares += at(x, i) * at(x, i);
        near("sigmoid_cross_entropy_backward", dp, i, (at(y, i) - (double)t[i]) * 0.75 / (double)n, 1.0 / (double)n, 4);
        near("scale", scaled, i, at(x, i) * 0.3, 0, 3);
    }
    number_near("sigmoid_cross_entropy_forward", type, got, loss, type == SN_FLOAT64 ? 1e-12 : 1e-6);
    number_near("squared_norm", type, sn_squared_norm(type, n, x.data), squares, 1e-12);
    end_case();
}

/* ---- rows of scores ----------------------------------------------------------------------------- */

static void test_softmax(sn_type type, sn_size N, sn_size C)
{
    const array x = input(type, N * C), dout = input(type, N * C);
    const array y = output(type, N * C), y2 = output(type, N * C), dx = output(type, N * C), dl = output(type, N * C);
    const sn_label *t = labels(N, C);
    double loss = 0;
    sn_softmax_forward(type, N, C, x.data, y.data);
    sn_softmax_backward(type, N, C, dout.data, y.data, dx.data);
    const double joint = sn_softmax_cross_entropy_forward(type, N, C, x.data, t, y2.data);
    sn_softmax_cross_entropy_backward(type, N, C, y.data, t, 0.75, dl.data);
    same("softmax_cross_entropy_forward", y2, y);
    for (sn_size i = 0; i < N; i++) {
        double most = -INFINITY, sum = 0, dot = 0, size = 0;
        for (sn_size j = i * C; j < (i + 1) * C; j++)
            if (at(x, j) > most)
                most = at(x, j);
        for (sn_size j = i * C; j < (i + 1) * C; j++) {
            sum += exp(at(x, j) - most);
            dot += at(dout, j) * at(y, j);
            size += fabs(at(dout, j) * at(y, j));
        }
        for (sn_size j = i * C; j < (i + 1) * C; j++) {
            near("softmax_forward", y, j, exp(at(x, j) - most) / sum, 0, (double)C + 16);
            near("softmax_backward", dx, j, at(y, j) * (at(dout, j) - dot), size + fabs(at(dout, j)), (double)C + 8);
            near("softmax_cross_entropy_backward", dl, j, (at(y, j) - (j == i * C + t[i])) * 0.75 / (double)N,
                 1.0 / (double)N, 4);
        }
        loss -= log(at(y, i * C + t[i]) + 1e-7) / (double)N;
    }
    number_near("cross_entropy_forward", type, sn_cross_entropy_forward(type, N, C, y.data, t), loss, 1e-12);
    number_near("softmax_cross_entropy_forward", type, joint, loss, 1e-12);
    end_case();
}

/* ---- optimizers --------------------------------------------------------------------------------- */

static void test_updates(sn_type type, sn_size n)
{
    static const char *const names[] = { "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam" };
    const array start = input(type, n), g = input(type, n), s = positive(type, n), w = positive(type, n);
    const double lr = 0.1, a = 0.9, b = 0.99;
    for (int k = SN_SGD; k <= SN_ADAM; k++) {
        const array p = copy(start), h = copy(s), v = copy(w), p2 = copy(start), h2 = copy(s), v2 = copy(w);
        switch (k) {
        case SN_SGD: sn_sgd_update(type, n, p.data, g.data, lr); break;
        case SN_MOMENTUM: sn_momentum_update(type, n, p.data, g.data, h.data, lr, a); break;
        case SN_NESTEROV: sn_nesterov_update(type, n, p.data, g.data, h.data, lr, a); break;
        case SN_ADAGRAD: sn_adagrad_update(type, n, p.data, g.data, h.data, lr); break;
        case SN_RMSPROP: sn_rmsprop_update(type, n, p.data, g.data, h.data, lr, a); break;
        case SN_ADAM: sn_adam_update(type, n, p.data, g.data, h.data, v.data, lr, a, b); break;
        }
        for (sn_size i = 0; i < n; i++) {
            const double P = at(start, i), G = at(g, i), S = at(s, i), V = at(w, i);
            double state = S, want = P;
            switch (k) {
            case SN_SGD: want = P - lr * G; break;
            case SN_MOMENTUM: state = a * S - lr * G; want = P + state; break;
            case SN_NESTEROV: state = a * S - lr * G; want = P + a * a * S - (1 + a) * lr * G; break;
            case SN_ADAGRAD: state = S + G * G; want = P - lr * G / (sqrt(state) + 1e-7); break;
            case SN_RMSPROP: state = a * S + (1 - a) * G * G; want = P - lr * G / (sqrt(state) + 1e-7); break;
            case SN_ADAM:
                state = S + (1 - a) * (G - S);
                want = P - lr * state / (sqrt(V + (1 - b) * (G * G - V)) + 1e-7);
                break;
            }
            near(names[k], p, i, want, fabs(P) + fabs(want - P) + 1, 12);
            near(names[k], h, i, state, S + G * G + 1, 12);
        }
        const sn_parameter parameter = { n, p2.data, g.data, { h2.data, v2.data } };
        const double numbers[3] = { lr, k == SN_ADAGRAD ? 0 : a, b };
        sn_update(type, (sn_optimizer)k, &parameter, numbers);
        same("update", p2, p);
        same("update's state", h2, h);
    }
    end_case();
}

/* ---- whole steps -------------------------------------------------------------------------------- */

typedef struct {
    array W1, b1, W2, b2, dW1, db1, dW2, db2, out1, out2;
} net;

static net make_net(sn_type type, sn_size B, sn_size D, sn_size H, sn_size C, uint64_t seed)
{
    state = seed;
    return (net){ input(type, D * H), input(type, H), input(type, H * C), input(type, C),
                  output(type, D * H), output(type, H), output(type, H * C), output(type, C),
                  output(type, B * H), output(type, B * C) };
}

/* The plan against the same kernels called one by one, for every type of data and both activations. */
static void test_plan(sn_type type, sn_data data_type, sn_activation activation)
{
    enum { ROWS = 11, B = 3, D = 5, H = 7, C = 4, STEPS = 3, PAD = 9 };
    static const size_t bytes[] = { 1, 1, 2, 4, 8, 4, 8 };
    const size_t row = D * bytes[data_type] + PAD * bytes[data_type];
    char *data = memory((ROWS - 1) * row + D * bytes[data_type]); /* nothing behind the last row */
    const array plain = output(type, ROWS * D);
    for (sn_size i = 0; i < ROWS * D; i++) {
        const int value = (int)(any() + 2) * 3 + (int)i % 5;
        void *p = data + (size_t)(i / D) * row + (size_t)(i % D) * bytes[data_type];
        put(plain, i, value);
        switch (data_type) {
        case SN_DATA_U8: *(uint8_t *)p = (uint8_t)value; break;
        case SN_DATA_I8: *(int8_t *)p = (int8_t)value; break;
        case SN_DATA_I16: *(int16_t *)p = (int16_t)value; break;
        case SN_DATA_I32: *(int32_t *)p = value; break;
        case SN_DATA_I64: *(int64_t *)p = value; break;
        case SN_DATA_F32: *(float *)p = (float)value; break;
        case SN_DATA_F64: *(double *)p = value; break;
        }
    }
    const sn_label *t = labels(ROWS, C), *order = labels(STEPS * B, ROWS);
    const net a = make_net(type, B, D, H, C, 7), b = make_net(type, B, D, H, C, 7);

    sn_layer layer[2] = {
        { D, H, activation, a.W1.data, a.b1.data, a.dW1.data, a.db1.data, a.out1.data },
        { H, C, SN_NO_ACTIVATION, a.W2.data, a.b2.data, a.dW2.data, a.db2.data, a.out2.data },
    };
    sn_parameter parameter[4] = {
        { D * H, a.W1.data, a.dW1.data, { NULL, NULL } }, { H, a.b1.data, a.db1.data, { NULL, NULL } },
        { H * C, a.W2.data, a.dW2.data, { NULL, NULL } }, { C, a.b2.data, a.db2.data, { NULL, NULL } },
    };
    sn_label batch_t[B];
    sn_plan plan = {
        .type = type, .batch = B, .layers = 2, .parameters = 4, .layer = layer, .parameter = parameter,
        .optimizer = SN_SGD, .numbers = { 0.1, 0, 0 }, .max_grad = 0.5, .x = output(type, B * D).data, .t = batch_t,
        .y = output(type, B * C).data, .dout = output(type, B * H).data, .dx = output(type, B * H).data,
    };
    double losses[STEPS];
    sn_plan_run(&plan, STEPS, order, data, data_type, (sn_size)row, t, losses);

    const array x = output(type, B * D), y = output(type, B * C), dy = output(type, B * C), dh = output(type, B * H);
    const array *grads[] = { &b.dW1, &b.db1, &b.dW2, &b.db2 }, *params[] = { &b.W1, &b.b1, &b.W2, &b.b2 };
    for (int step = 0; step < STEPS; step++) {
        sn_label bt[B];
        for (int i = 0; i < B; i++)
            bt[i] = t[order[step * B + i]];
        sn_take_rows(type, B, D, plain.data, order + step * B, x.data);
        sn_affine_forward(type, B, D, H, x.data, b.W1.data, b.b1.data, b.out1.data);
        if (activation == SN_SIGMOID)
            sn_sigmoid_forward(type, B * H, b.out1.data, b.out1.data);
        else
            sn_relu_forward(type, B * H, b.out1.data, b.out1.data);
        sn_affine_forward(type, B, H, C, b.out1.data, b.W2.data, b.b2.data, b.out2.data);
        const double loss = sn_softmax_cross_entropy_forward(type, B, C, b.out2.data, bt, y.data);
        if (loss != losses[step])
            fail("plan_run's loss", type, step, losses[step], loss);
        sn_softmax_cross_entropy_backward(type, B, C, y.data, bt, 1, dy.data);
        sn_affine_backward(type, B, H, C, dy.data, b.out1.data, b.W2.data, dh.data, b.dW2.data, b.db2.data);
        if (activation == SN_SIGMOID)
            sn_sigmoid_backward(type, B * H, dh.data, b.out1.data, dh.data);
        else
            sn_relu_backward(type, B * H, dh.data, b.out1.data, dh.data);
        sn_affine_backward(type, B, D, H, dh.data, x.data, b.W1.data, NULL, b.dW1.data, b.db1.data);
        double squares = 0;
        for (int k = 0; k < 4; k++)
            squares += sn_squared_norm(type, grads[k]->n, grads[k]->data);
        const double rate = 0.5 / (sqrt(squares) + 1e-6);
        for (int k = 0; k < 4; k++) {
            if (rate < 1)
                sn_scale(type, grads[k]->n, grads[k]->data, rate);
            sn_sgd_update(type, params[k]->n, params[k]->data, grads[k]->data, 0.1);
        }
    }
    same("plan_run W1", a.W1, b.W1);
    same("plan_run b1", a.b1, b.b1);
    same("plan_run W2", a.W2, b.W2);
    same("plan_run b2", a.b2, b.b2);
    end_case();
}

/* ---- threads ------------------------------------------------------------------------------------ */

enum { BIG_N = 203, BIG_D = 170, BIG_M = 130, LONG = 5 << 16 }; /* large enough to be split */

/* A sum over the bits of what large work gives. */
static uint64_t big_work(sn_type type)
{
    state = 99;
    const array x = input(type, BIG_N * BIG_D), W = input(type, BIG_D * BIG_M), b = input(type, BIG_M);
    const array out = output(type, BIG_N * BIG_M), dx = output(type, BIG_N * BIG_D);
    const array dW = output(type, BIG_D * BIG_M), db = output(type, BIG_M), p = input(type, LONG);
    const array all[] = { out, dx, dW, db, p };
    const sn_parameter parameter = { LONG, p.data, p.data, { NULL, NULL } };
    const double numbers[3] = { 0.25, 0, 0 };
    uint64_t hash = 0;
    sn_affine_forward(type, BIG_N, BIG_D, BIG_M, x.data, W.data, b.data, out.data);
    sn_affine_backward(type, BIG_N, BIG_D, BIG_M, out.data, x.data, W.data, dx.data, dW.data, db.data);
    sn_update(type, SN_SGD, &parameter, numbers);
    for (int k = 0; k < 5; k++)
        for (size_t i = 0; i < (size_t)all[k].n * width(type); i++)
            hash = hash * 1099511628211u + ((unsigned char *)all[k].data)[i];
    end_case();
    return hash;
}

static uint64_t alone[2]; /* what one thread gives, of each type */

static void expect_the_same(const char *when)
{
    for (int type = 0; type < 2; type++)
        if (big_work((sn_type)type) != alone[type]) {
            fprintf(stderr, "other bits %s (%s)\n", when, sn_isa());
            exit(1);
        }
}

#if !defined(_WIN32)

static void *caller(void *unused)
{
    (void)unused;
    for (int k = 0; k < 3; k++) {
        sn_set_threads(2 + k); /* anyone may change it at any time */
        expect_the_same("with many callers");
        test_affine(SN_FLOAT32, 7, 5, 19);
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

static void test_threads(void)
{
    sn_set_threads(1);
    alone[SN_FLOAT32] = big_work(SN_FLOAT32);
    alone[SN_FLOAT64] = big_work(SN_FLOAT64);
    for (int threads = 2; threads <= 8; threads += 3) {
        sn_set_threads(threads);
        expect_the_same("with more threads");
    }
#if !defined(_WIN32)
    test_many_callers();
    for (int k = 0; k < 3; k++)
        test_fork(1);
#endif
}

/* ------------------------------------------------------------------------------------------------- */

int main(void)
{
    static const sn_size sizes[][3] = {
        { 0, 3, 2 }, { 3, 0, 2 }, { 3, 2, 0 }, { 0, 0, 0 }, { 1, 1, 1 }, { 2, 3, 4 }, { 4, 7, 8 }, { 5, 8, 9 },
        { 6, 16, 3 }, { 7, 5, 16 }, { 8, 9, 17 }, { 9, 4, 31 }, { 30, 2, 10 }, { 33, 31, 40 }, { 13, 130, 65 },
        { 40, 257, 70 }, { 65, 20, 129 },
    };
    const sn_label outside[] = { 0, 4, 2, 5, -1 };
    if (sn_find_label_outside(5, outside, 5) != 3 || sn_find_label_outside(3, outside, 5) != -1
        || sn_find_label_outside(0, NULL, 0) != -1 || sn_use_isa("none")) {
        fprintf(stderr, "labels or instruction sets\n");
        return 1;
    }
    for (int k = 0; sn_isa_available(k); k++) {
        sn_use_isa(sn_isa_available(k));
        for (int type = SN_FLOAT32; type <= SN_FLOAT64; type++) {
            for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
                test_affine((sn_type)type, sizes[i][0], sizes[i][1], sizes[i][2]);
            for (sn_size n = 0; n < 70; n++) {
                test_elementwise((sn_type)type, n);
                test_updates((sn_type)type, n);
                test_softmax((sn_type)type, n % 7, n + 1);
            }
            test_softmax((sn_type)type, 0, 0);
            for (int data = SN_DATA_U8; data <= SN_DATA_F64; data++) {
                test_plan((sn_type)type, (sn_data)data, SN_SIGMOID);
                test_plan((sn_type)type, (sn_data)data, SN_RELU);
            }
        }
        test_threads();
        sn_set_threads(1);
        printf("%s: every kernel agrees\n", sn_isa());
        fflush(stdout);
    }
    return 0;
}
