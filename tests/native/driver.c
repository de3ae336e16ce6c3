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

    const array dx2 = output(type, N * D), added_to = output(type, N * M);
    sn_matmul_transposed(type, N, D, M, dout.data, W.data, dx2.data);
    same("matmul_transposed", dx2, dx);
    sn_repeat_rows(type, N, M, b.data, added_to.data);
    sn_matmul_add(type, N, D, M, x.data, W.data, added_to.data);
    check_product("matmul_add", added_to, N, D, M, x, D, 1, W, M, 1, &b);

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
        for (sn_size rows = 0; rows <= N + 2; rows += N + 2) {
            const array added = output(type, N * D);
            sn_add_rows(type, rows, N, D, taken.data, index, added.data);
            for (sn_size i = 0; i < N * D; i++) {
                double sum = 0, size = 0;
                for (sn_size k = 0; k < rows; k++)
                    if (index[k] == i / D) {
                        sum += at(taken, k * D + i % D);
                        size += fabs(at(taken, k * D + i % D));
                    }
                near("add_rows", added, i, sum, size, (double)rows);
            }
        }
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
    const array h = output(type, n), dh = output(type, n), m = output(type, n);
    sn_sigmoid_forward(type, n, x.data, s.data);
    sn_relu_forward(type, n, x.data, r.data);
    sn_sigmoid_backward(type, n, dout.data, y.data, ds.data);
    sn_relu_backward(type, n, dout.data, x.data, dr.data);
    sn_tanh_forward(type, n, x.data, h.data);
    sn_tanh_backward(type, n, dout.data, y.data, dh.data);
    sn_multiply_by_mask(type, n, x.data, dout.data, m.data);
    for (sn_size i = 0; i < n; i++) {
        near("sigmoid_forward", s, i, sigmoid(at(x, i)), 0, 4);
        near("relu_forward", r, i, at(x, i) <= 0 ? 0 : at(x, i), 0, 0);
        near("sigmoid_backward", ds, i, at(dout, i) * (1 - at(y, i)) * at(y, i), at(dout, i), 4);
        near("relu_backward", dr, i, at(x, i) <= 0 ? 0 : at(dout, i), 0, 0);
        near("tanh_forward", h, i, tanh(at(x, i)), 0, 4);
        near("tanh_backward", dh, i, at(dout, i) * (1 - at(y, i) * at(y, i)), at(dout, i), 4);
        near("multiply_by_mask", m, i, at(x, i) * at(dout, i), 0, 1);
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
    in_place = copy(x);
    sn_tanh_forward(type, n, in_place.data, in_place.data);
    same("tanh_forward in place", in_place, h);
    in_place = copy(dout);
    sn_tanh_backward(type, n, in_place.data, y.data, in_place.data);
    same("tanh_backward in place", in_place, dh);
    in_place = copy(x);
    sn_multiply_by_mask(type, n, in_place.data, dout.data, in_place.data);
    same("multiply_by_mask in place", in_place, m);

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
    const array y = output(type, N * C), y2 = output(type, N * C), y3 = output(type, N * C);
    const array dx = output(type, N * C), dl = output(type, N * C);
    const sn_label *t = labels(N, C);
    double loss = 0, log_loss = 0;
    sn_softmax_forward(type, N, C, x.data, y.data);
    sn_softmax_backward(type, N, C, dout.data, y.data, dx.data);
    const double joint = sn_softmax_cross_entropy_forward(type, N, C, x.data, t, y2.data);
    sn_softmax_cross_entropy_backward(type, N, C, y.data, t, 0.75, dl.data);
    same("softmax_cross_entropy_forward", y2, y);
    const double joint_log = sn_softmax_log_loss_forward(type, N, C, x.data, t, y3.data);
    same("softmax_log_loss_forward", y3, y);
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
        log_loss -= log(at(y, i * C + t[i])) / (double)N;
    }
    number_near("cross_entropy_forward", type, sn_cross_entropy_forward(type, N, C, y.data, t), loss, 1e-12);
    number_near("softmax_cross_entropy_forward", type, joint, loss, 1e-12);
    number_near("softmax_log_loss_forward", type, joint_log, log_loss, 1e-12);
    end_case();
}

/* ---- windows of images -------------------------------------------------------------------------- */

typedef struct {
    sn_size N, C, H, W, P, Q, stride, pad;
} windows;

static sn_size places(sn_size size, sn_size window, sn_size stride, sn_size pad)
{
    return size + 2 * pad < window ? 0 : (size + 2 * pad - window) / stride + 1;
}

/* Where in x[N,C,H,W] element i of col[N,C,P,Q,Y,X] comes from, -1: from the padding. */
static sn_size source(windows s, sn_size Y, sn_size X, sn_size i)
{
    const sn_size q = i / (Y * X) % s.Q, p = i / (Y * X * s.Q) % s.P, plane = i / (Y * X * s.Q * s.P);
    const sn_size y = i / X % Y * s.stride + p - s.pad, x = i % X * s.stride + q - s.pad;
    return y < 0 || y >= s.H || x < 0 || x >= s.W ? -1 : (plane * s.H + y) * s.W + x;
}

static void test_windows(sn_type type, windows s)
{
    const sn_size Y = places(s.H, s.P, s.stride, s.pad), X = places(s.W, s.Q, s.stride, s.pad);
    const sn_size n = s.N * s.C * s.H * s.W, many = s.N * s.C * s.P * s.Q * Y * X;
    const array x = input(type, n), col = output(type, many), dcol = input(type, many), dx = output(type, n);
    double *sum = memory((size_t)n * sizeof *sum), *size = memory((size_t)n * sizeof *size);
    sn_im2col(type, s.N, s.C, s.H, s.W, s.P, s.Q, Y, X, x.data, s.stride, s.pad, col.data);
    sn_col2im(type, s.N, s.C, s.P, s.Q, Y, X, s.H, s.W, dcol.data, s.stride, s.pad, dx.data);
    for (sn_size i = 0; i < n; i++)
        sum[i] = size[i] = 0;
    for (sn_size i = 0; i < many; i++) {
        const sn_size from = source(s, Y, X, i);
        near("im2col", col, i, from < 0 ? 0 : at(x, from), 0, 0);
        if (from >= 0) {
            sum[from] += at(dcol, i);
            size[from] += fabs(at(dcol, i));
        }
    }
    for (sn_size i = 0; i < n; i++)
        near("col2im", dx, i, sum[i], size[i], (double)(s.P * s.Q));
    end_case();
}

/* Without padding. A few values only, so that some are equal, and one NaN, which is the largest. */
static void test_max_pool(sn_type type, windows s)
{
    const sn_size Y = places(s.H, s.P, s.stride, 0), X = places(s.W, s.Q, s.stride, 0);
    const sn_size n = s.N * s.C * s.H * s.W, count = s.N * s.C * Y * X;
    const array x = input(type, n), out = output(type, count), dout = input(type, count), dx = output(type, n);
    sn_label *argmax = memory((size_t)count * sizeof *argmax);
    double *sum = memory((size_t)n * sizeof *sum), *size = memory((size_t)n * sizeof *size);
    for (sn_size i = 0; i < n; i++) {
        put(x, i, i == n / 2 ? NAN : floor(2 * at(x, i)));
        sum[i] = size[i] = 0;
    }
    for (sn_size i = 0; i < count; i++)
        argmax[i] = -1;
    sn_max_pool_forward(type, s.N, s.C, s.H, s.W, Y, X, x.data, s.P, s.Q, s.stride, out.data, argmax);
    for (sn_size i = 0; i < count; i++) {
        const sn_size plane = i / (Y * X) * s.H * s.W, corner = i / X % Y * s.stride * s.W + i % X * s.stride;
        sn_size best = corner;
        for (sn_size k = 1; k < s.P * s.Q; k++) {
            const sn_size here = corner + k / s.Q * s.W + k % s.Q;
            const double most = at(x, plane + best), value = at(x, plane + here);
            if (value > most || (isnan(value) && !isnan(most)))
                best = here;
        }
        if (argmax[i] != best)
            fail("max_pool_forward's argmax", type, i, (double)argmax[i], (double)best);
        if (!isnan(at(out, i)) || !isnan(at(x, plane + best)))
            near("max_pool_forward", out, i, at(x, plane + best), 0, 0);
        sum[plane + best] += at(dout, i);
        size[plane + best] += fabs(at(dout, i));
    }
    sn_max_pool_backward(type, s.N, s.C, Y, X, s.H, s.W, dout.data, argmax, dx.data);
    for (sn_size i = 0; i < n; i++)
        near("max_pool_backward", dx, i, sum[i], size[i], (double)(s.P * s.Q));
    end_case();
}

static void test_convolution(sn_type type, sn_size N, sn_size K, sn_size L, sn_size M)
{
    const array col = input(type, N * K * L), W = input(type, M * K), b = input(type, M);
    const array dout = input(type, N * M * L), dW = input(type, M * K), db = input(type, M);
    const array dW0 = copy(dW), db0 = copy(db), out = output(type, N * M * L), dcol = output(type, N * K * L);
    sn_convolution_forward(type, N, K, L, M, col.data, W.data, b.data, out.data);
    sn_convolution_backward(type, N, K, L, M, dout.data, col.data, W.data, dcol.data, dW.data, db.data);
    for (sn_size i = 0; i < N * M * L; i++) {
        const sn_size n = i / (M * L), m = i / L % M, l = i % L;
        double sum = at(b, m), size = fabs(sum);
        for (sn_size k = 0; k < K; k++) {
            const double term = at(W, m * K + k) * at(col, (n * K + k) * L + l);
            sum += term;
            size += fabs(term);
        }
        near("convolution_forward", out, i, sum, size, (double)K + 3);
    }
    for (sn_size i = 0; i < N * K * L; i++) {
        const sn_size n = i / (K * L), k = i / L % K, l = i % L;
        double sum = 0, size = 0;
        for (sn_size m = 0; m < M; m++) {
            const double term = at(W, m * K + k) * at(dout, (n * M + m) * L + l);
            sum += term;
            size += fabs(term);
        }
        near("convolution_backward dcol", dcol, i, sum, size, (double)M + 3);
    }
    for (sn_size i = 0; i < M * K + M; i++) { /* first dW, then db, which is dW for a col of ones */
        const sn_size m = i < M * K ? i / K : i - M * K;
        double sum = i < M * K ? at(dW0, i) : at(db0, m), size = fabs(sum);
        for (sn_size j = 0; j < N * L; j++) {
            const sn_size n = j / L, l = j % L;
            const double term = at(dout, (n * M + m) * L + l) * (i < M * K ? at(col, (n * K + i % K) * L + l) : 1);
            sum += term;
            size += fabs(term);
        }
        if (i < M * K)
            near("convolution_backward dW", dW, i, sum, size, (double)(N * L) + 3);
        else
            near("convolution_backward db", db, m, sum, size, (double)(N * L) + 3);
    }
    end_case();
}

static void test_images(sn_type type)
{
    static const windows shapes[] = {
        { 2, 3, 7, 6, 3, 2, 1, 0 }, { 1, 2, 9, 8, 3, 3, 2, 1 }, { 2, 1, 5, 5, 5, 5, 1, 2 }, { 1, 1, 1, 1, 1, 1, 1, 0 },
        { 1, 2, 6, 70, 2, 2, 2, 0 }, { 2, 2, 5, 7, 2, 2, 2, 0 }, { 1, 1, 4, 150, 2, 3, 1, 1 },
        { 1, 1, 3, 3, 2, 2, 5, 3 }, { 1, 2, 2, 2, 3, 3, 1, 0 }, { 1, 1, 2, 2, 7, 7, 1, 3 }, { 0, 2, 4, 4, 2, 2, 1, 1 },
        { 2, 0, 4, 4, 2, 2, 1, 0 }, { 1, 1, 0, 0, 1, 1, 1, 1 },
    };
    static const sn_size products[][4] = { /* N, K, L, M */
        { 0, 2, 3, 4 }, { 2, 0, 3, 4 }, { 2, 3, 0, 4 }, { 2, 3, 4, 0 }, { 1, 1, 1, 1 }, { 2, 3, 5, 7 }, { 3, 9, 17, 8 },
        { 1, 27, 33, 9 }, { 2, 18, 100, 19 }, { 1, 140, 31, 5 },
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        test_windows(type, shapes[i]);
        test_max_pool(type, shapes[i]);
    }
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++)
        test_convolution(type, products[i][0], products[i][1], products[i][2], products[i][3]);
}

/* ---- batch normalization ------------------------------------------------------------------------ */

/* Each output is held against the formula of the outputs before it. */
static void test_batch_normalization(sn_type type, sn_size N, sn_size D)
{
    const double eps = 1e-3, rows = N ? (double)N : 1;
    const array x = input(type, N * D), gamma = input(type, D), beta = input(type, D), dout = input(type, N * D);
    const array mean = output(type, D), var = output(type, D), std = output(type, D), xhat = output(type, N * D);
    const array out = output(type, N * D), y = output(type, N * D), dx = output(type, N * D);
    const array dgamma = output(type, D), dbeta = output(type, D);
    sn_batch_normalization_forward(type, N, D, x.data, gamma.data, beta.data, eps, mean.data, var.data, std.data,
                                   xhat.data, out.data);
    sn_batch_normalization_inference(type, N, D, x.data, gamma.data, beta.data, mean.data, var.data, eps, y.data);
    sn_batch_normalization_backward(type, N, D, dout.data, xhat.data, gamma.data, std.data, dx.data, dgamma.data,
                                    dbeta.data);
    for (sn_size j = 0; j < D; j++) {
        double sum = 0, size = 0, squares = 0, sum_d = 0, size_d = 0, sum_g = 0, size_g = 0;
        for (sn_size i = j; i < N * D; i += D) {
            const double d = at(x, i) - at(mean, j), g = at(dout, i) * at(xhat, i);
            sum += at(x, i);
            size += fabs(at(x, i));
            squares += d * d;
            sum_d += at(dout, i);
            size_d += fabs(at(dout, i));
            sum_g += g;
            size_g += fabs(g);
        }
        near("batch_normalization_forward mean", mean, j, sum / rows, size / rows, rows + 2);
        near("batch_normalization_forward var", var, j, squares / rows, 0, rows + 6);
        near("batch_normalization_forward std", std, j, sqrt(at(var, j) + eps), 0, 3);
        near("batch_normalization_backward dbeta", dbeta, j, sum_d, size_d, rows + 1);
        near("batch_normalization_backward dgamma", dgamma, j, sum_g, size_g, rows + 2);
    }
    for (sn_size i = 0; i < N * D; i++) {
        const sn_size j = i % D;
        const double h = at(xhat, i), scaled = at(gamma, j) * h, factor = at(gamma, j) / at(std, j);
        const double shifted = at(gamma, j) * (at(x, i) - at(mean, j)) / sqrt(at(var, j) + eps);
        const double through = h * at(dgamma, j), size = fabs(at(dbeta, j)) + fabs(through);
        near("batch_normalization_forward xhat", xhat, i, (at(x, i) - at(mean, j)) / at(std, j), 0, 3);
        near("batch_normalization_forward out", out, i, scaled + at(beta, j), fabs(scaled) + fabs(at(beta, j)), 3);
        near("batch_normalization_inference", y, i, shifted + at(beta, j), fabs(shifted) + fabs(at(beta, j)), 8);
        near("batch_normalization_backward dx", dx, i, factor * (at(dout, i) - (at(dbeta, j) + through) / rows),
             fabs(factor) * (fabs(at(dout, i)) + size / rows), 8);
    }
    end_case();
}

/* ---- recurrent cells ---------------------------------------------------------------------------- */

static void test_lstm(sn_type type, sn_size N, sn_size D)
{
    const array A = input(type, N * 4 * D), c_prev = input(type, N * D), dh = input(type, N * D);
    const array dc = input(type, N * D), gates = output(type, N * 4 * D), c = output(type, N * D);
    const array h = output(type, N * D), dA = output(type, N * 4 * D), dc_prev = output(type, N * D);
    sn_lstm_forward(type, N, D, c_prev.data, A.data, gates.data, c.data, h.data);
    sn_lstm_backward(type, N, D, dh.data, dc.data, c_prev.data, c.data, gates.data, dA.data, dc_prev.data);
    for (sn_size k = 0; k < N * D; k++) {
        const sn_size F = k / D * 4 * D + k % D, G = F + D, I = G + D, O = I + D;
        near("lstm_forward f", gates, F, sigmoid(at(A, F)), 0, 4);
        near("lstm_forward g", gates, G, tanh(at(A, G)), 0, 4);
        near("lstm_forward i", gates, I, sigmoid(at(A, I)), 0, 4);
        near("lstm_forward o", gates, O, sigmoid(at(A, O)), 0, 4);
        const double f = at(gates, F), g = at(gates, G), i = at(gates, I), o = at(gates, O), before = at(c_prev, k);
        const double t = tanh(at(c, k)), d = at(dh, k), s = at(dc, k) + d * o * (1 - t * t);
        const double size = fabs(at(dc, k)) + fabs(d * o); /* of s */
        near("lstm_forward c", c, k, f * before + g * i, fabs(f * before) + fabs(g * i), 3);
        near("lstm_forward h", h, k, o * t, 0, 5);
        near("lstm_backward df", dA, F, s * before * f * (1 - f), size * before * f, 16);
        near("lstm_backward dg", dA, G, s * i * (1 - g * g), size * i, 16);
        near("lstm_backward di", dA, I, s * g * i * (1 - i), size * g * i, 16);
        near("lstm_backward do", dA, O, d * t * o * (1 - o), d * t * o, 16);
        near("lstm_backward dc_prev", dc_prev, k, s * f, size * f, 16);
    }
    end_case();
}

static void test_gru(sn_type type, sn_size N, sn_size D)
{
    const array A = input(type, N * 2 * D), A_hat = input(type, N * D), h_prev = input(type, N * D);
    const array gates = output(type, N * 2 * D), rh = output(type, N * D), h_hat = output(type, N * D);
    const array h = output(type, N * D), dh = input(type, N * D), drh = input(type, N * D);
    const array dA_hat = output(type, N * D), dA = output(type, N * 2 * D), dh_prev = output(type, N * D);
    sn_gru_gates_forward(type, N, D, h_prev.data, A.data, gates.data, rh.data);
    sn_gru_forward(type, N, D, h_prev.data, gates.data, A_hat.data, h_hat.data, h.data);
    sn_gru_backward(type, N, D, dh.data, gates.data, h_hat.data, dA_hat.data);
    sn_gru_gates_backward(type, N, D, dh.data, drh.data, h_prev.data, gates.data, h_hat.data, dA.data, dh_prev.data);
    for (sn_size k = 0; k < N * D; k++) {
        const sn_size Z = k / D * 2 * D + k % D, R = Z + D;
        const double z = at(gates, Z), r = at(gates, R), hat = at(h_hat, k), before = at(h_prev, k);
        const double d = at(dh, k), dr = at(drh, k);
        near("gru_gates_forward z", gates, Z, sigmoid(at(A, Z)), 0, 4);
        near("gru_gates_forward r", gates, R, sigmoid(at(A, R)), 0, 4);
        near("gru_gates_forward rh", rh, k, r * before, 0, 1);
        near("gru_forward h_hat", h_hat, k, tanh(at(A_hat, k)), 0, 4);
        near("gru_forward h", h, k, (1 - z) * before + z * hat, fabs(before) + fabs(hat), 4);
        near("gru_backward", dA_hat, k, d * z * (1 - hat * hat), d * z, 5);
        near("gru_gates_backward dz", dA, Z, d * (hat - before) * z * (1 - z), d * z, 6);
        near("gru_gates_backward dr", dA, R, dr * before * r * (1 - r), 0, 6);
        near("gru_gates_backward dh_prev", dh_prev, k, d * (1 - z) + dr * r, fabs(d) + fabs(dr * r), 4);
    }
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

static uint64_t bits(uint64_t hash, array a)
{
    for (size_t i = 0; i < (size_t)a.n * width(a.type); i++)
        hash = hash * 1099511628211u + ((unsigned char *)a.data)[i];
    return hash;
}

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
        hash = bits(hash, all[k]);
    end_case();
    return hash;
}

static uint64_t big_images(sn_type type)
{
    enum { IMAGES = 17, C = 4, SIDE = 34, P = 3, PLACES = 32, M = 9, DEPTH = C * P * P, L = PLACES * PLACES };
    state = 98;
    const array x = input(type, IMAGES * C * SIDE * SIDE), col = output(type, IMAGES * DEPTH * L);
    const array W = input(type, M * DEPTH), b = input(type, M), dW = input(type, M * DEPTH), db = input(type, M);
    const array out = output(type, IMAGES * M * L), dcol = output(type, IMAGES * DEPTH * L);
    const array dx = output(type, x.n), most = output(type, IMAGES * C * L), all[] = { out, dW, db, dx, most };
    sn_label *argmax = memory((size_t)most.n * sizeof *argmax);
    uint64_t hash = 0;
    sn_im2col(type, IMAGES, C, SIDE, SIDE, P, P, PLACES, PLACES, x.data, 1, 0, col.data);
    sn_convolution_forward(type, IMAGES, DEPTH, L, M, col.data, W.data, b.data, out.data);
    sn_convolution_backward(type, IMAGES, DEPTH, L, M, out.data, col.data, W.data, dcol.data, dW.data, db.data);
    sn_col2im(type, IMAGES, C, P, P, PLACES, PLACES, SIDE, SIDE, dcol.data, 1, 0, dx.data);
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
            for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                test_affine((sn_type)type, sizes[i][0], sizes[i][1], sizes[i][2]);
                test_batch_normalization((sn_type)type, sizes[i][0], sizes[i][1]);
            }
            test_images((sn_type)type);
            for (sn_size n = 0; n < 70; n++) {
                test_elementwise((sn_type)type, n);
                test_updates((sn_type)type, n);
                test_softmax((sn_type)type, n % 7, n + 1);
                test_lstm((sn_type)type, n % 4, n);
                test_gru((sn_type)type, n % 4, n);
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
