/* images.c: windows of images, convolution and pooling. */

#include <math.h>

#include "driver.h"

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
    sn_col2im(type, s.N, s.C, s.H, s.W, s.P, s.Q, Y, X, dcol.data, s.stride, s.pad, dx.data);
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
    sn_max_pool_backward(type, s.N, s.C, s.H, s.W, Y, X, dout.data, argmax, dx.data);
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

void test_images(sn_type type)
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
