/* activations.c: activations and losses, element by element and by rows of scores. */

#include <math.h>
#include <stdlib.h>

#include "driver.h"

typedef void of_one(sn_type, sn_size, const void *, void *);
typedef void of_two(sn_type, sn_size, const void *, const void *, void *);

/* The output may be the argument itself, of two the first. */
static void check_in_place(const char *kernel, of_one *run, array x, array expected)
{
    const array both = copy(x);
    run(x.type, x.n, both.data, both.data);
    same(kernel, both, expected);
}

static void check_first_in_place(const char *kernel, of_two *run, array first, array second, array expected)
{
    const array both = copy(first);
    run(first.type, first.n, both.data, second.data, both.data);
    same(kernel, both, expected);
}

/* Relu with a mask is relu, and the mask says where; there and back. */
static void check_relu_with_mask(array x, array dout, array expected, array expected_back)
{
    const array out = output(x.type, x.n), dx = output(x.type, x.n);
    sn_bool *mask = malloc(x.n ? (size_t)x.n : 1); /* as long as it must be: a sanitizer sees what is beyond */
    sn_relu_forward_with_mask(x.type, x.n, x.data, out.data, mask);
    sn_relu_backward_by_mask(x.type, x.n, dout.data, mask, dx.data);
    same("relu_forward_with_mask", out, expected);
    same("relu_backward_by_mask", dx, expected_back);
    for (sn_size i = 0; i < x.n; i++)
        near("relu's mask", x, i, mask[i] == (at(x, i) <= 0) ? at(x, i) : 1e300, 0, 0);
    free(mask);
}

void test_elementwise(sn_type type, sn_size n)
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
    check_relu_with_mask(x, dout, r, dr);
    check_in_place("sigmoid_forward in place", sn_sigmoid_forward, x, s);
    check_in_place("relu_forward in place", sn_relu_forward, x, r);
    check_in_place("tanh_forward in place", sn_tanh_forward, x, h);
    check_first_in_place("sigmoid_backward in place", sn_sigmoid_backward, dout, y, ds);
    check_first_in_place("relu_backward in place", sn_relu_backward, dout, x, dr);
    check_first_in_place("tanh_backward in place", sn_tanh_backward, dout, y, dh);
    check_first_in_place("multiply_by_mask in place", sn_multiply_by_mask, x, dout, m);

    const sn_label *t = labels(n, 2);
    const array p = output(type, n), dp = output(type, n), scaled = copy(x);
    double loss = 0, clipped = 0, squares = 0;
    const double got = sn_sigmoid_cross_entropy_forward(type, n, x.data, t, 1e-7, 0, p.data);
    same("sigmoid_cross_entropy_forward", p, s);
    sn_sigmoid_cross_entropy_backward(type, n, y.data, t, 0.75, dp.data);
    sn_scale(type, n, scaled.data, 0.3);
    for (sn_size i = 0; i < n; i++) {
        loss -= log((t[i] ? at(s, i) : 1 - at(s, i)) + 1e-7) / (double)n;
        clipped -= log(fmin(fmax(t[i] ? at(s, i) : 1 - at(s, i), 0.25), 0.75)) / (double)n;
        squares += at(x, i) * at(x, i);
        near("sigmoid_cross_entropy_backward", dp, i, (at(y, i) - (double)t[i]) * 0.75 / (double)n, 1.0 / (double)n, 4);
        near("scale", scaled, i, at(x, i) * 0.3, 0, 3);
    }
    number_near("sigmoid_cross_entropy_forward", type, got, loss, type == SN_FLOAT64 ? 1e-12 : 1e-6);
    number_near("sigmoid_cross_entropy_forward, clipped", type,
                sn_sigmoid_cross_entropy_forward(type, n, x.data, t, 0, 0.25, p.data), clipped, 1e-6);
    number_near("squared_norm", type, sn_squared_norm(type, n, x.data), squares, 1e-12);
    end_case();
}

/* The losses with weights 1, 2, 0, 1, 2, 0, ... of the rows; x and target are scores and numbers to come near to. */
static void check_weighted_losses(sn_type type, sn_size N, sn_size C, array x, array target, const sn_label *t)
{
    const array w = output(type, N), p = output(type, N * C), dx = copy(x);
    const sn_label *each = labels(N * C, 2);
    double total = 0, chosen = 0, binary = 0, squares = 0;
    sn_sigmoid_forward(type, N * C, x.data, p.data);
    for (sn_size i = 0; i < N; i++) {
        put(w, i, (double)((i + 1) % 3));
        total += at(w, i);
        chosen -= at(w, i) * log(at(p, i * C + t[i]) + 1e-7);
        for (sn_size j = i * C; j < (i + 1) * C; j++) {
            const double difference = at(x, j) - at(target, j);
            binary -= at(w, i) * log((each[j] ? at(p, j) : 1 - at(p, j)) + 1e-7) / (double)C;
            squares += at(w, i) * difference * difference / 2;
        }
    }
    const double mean = total != 0 ? 1 / total : 0;
    number_near("weighted_cross_entropy_forward", type,
                sn_weighted_cross_entropy_forward(type, N, C, p.data, t, w.data, 1e-7, 0), chosen * mean, 1e-12);
    number_near("weighted_binary_cross_entropy_forward", type,
                sn_weighted_binary_cross_entropy_forward(type, N, C, p.data, each, w.data, 1e-7, 0), binary * mean,
                type == SN_FLOAT64 ? 1e-12 : 1e-6);
    number_near("weighted_squared_error_forward", type,
                sn_weighted_squared_error_forward(type, N, C, x.data, target.data, w.data), squares * mean, 1e-12);
    sn_weight_rows(type, N, C, dx.data, w.data);
    for (sn_size j = 0; j < N * C; j++)
        near("weight_rows", dx, j, at(x, j) * at(w, j / C) * (double)N * mean, 0, 4);
}

void test_softmax(sn_type type, sn_size N, sn_size C)
{
    const array x = input(type, N * C), dout = input(type, N * C);
    const array y = output(type, N * C), y2 = output(type, N * C), y3 = output(type, N * C);
    const array dx = output(type, N * C), dl = output(type, N * C);
    const sn_label *t = labels(N, C);
    const array target = input(type, N * C), de = output(type, N * C);
    double loss = 0, clipped_loss = 0, squares = 0;
    sn_squared_error_backward(type, N, C, x.data, target.data, 0.75, de.data);
    for (sn_size j = 0; j < N * C; j++) {
        const double difference = at(x, j) - at(target, j);
        squares += difference * difference / (2 * (double)N);
        near("squared_error_backward", de, j, difference * 0.75 / (double)N, 0, 4);
    }
    number_near("squared_error_forward", type, sn_squared_error_forward(type, N, C, x.data, target.data), squares,
                1e-12);
    check_weighted_losses(type, N, C, x, target, t);
    sn_softmax_forward(type, N, C, x.data, y.data);
    sn_softmax_backward(type, N, C, dout.data, y.data, dx.data);
    const double joint = sn_softmax_cross_entropy_forward(type, N, C, x.data, t, 1e-7, 0, y2.data);
    sn_softmax_cross_entropy_backward(type, N, C, y.data, t, 0.75, dl.data);
    same("softmax_cross_entropy_forward", y2, y);
    const double clipped = sn_softmax_cross_entropy_forward(type, N, C, x.data, t, 0, 0.125, y3.data);
    same("softmax_cross_entropy_forward, clipped", y3, y);
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
        clipped_loss -= log(fmin(fmax(at(y, i * C + t[i]), 0.125), 0.875)) / (double)N;
    }
    number_near("cross_entropy_forward", type, sn_cross_entropy_forward(type, N, C, y.data, t, 1e-7, 0), loss, 1e-12);
    number_near("softmax_cross_entropy_forward", type, joint, loss, 1e-12);
    number_near("softmax_cross_entropy_forward, clipped", type, clipped, clipped_loss, 1e-12);
    end_case();
}
