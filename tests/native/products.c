/* products.c: matrix products, and rows that are summed, repeated, taken and added. */

#include <math.h>

#include "driver.h"

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

void test_affine(sn_type type, sn_size N, sn_size D, sn_size M, int zeros)
{
    const array x = input(type, N * D), W = input(type, D * M), b = input(type, M), dout = input(type, N * M);
    array out = output(type, N * M);
    for (sn_size i = 0; i < N * D; i++)
        if (10 * any() < 4 * zeros - 20)
            put(x, i, 0);
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
    sn_matmul_accumulate(type, N, D, M, x.data, W.data, added_to.data);
    check_product("matmul_accumulate", added_to, N, D, M, x, D, 1, W, M, 1, &b);

    const array sums = output(type, M), rows = output(type, N * M);
    sn_sum_rows(type, N, M, dout.data, sums.data);
    same("sum_rows", sums, db);
    sn_repeat_rows(type, N, M, b.data, rows.data);
    for (sn_size i = 0; i < N * M; i++)
        near("repeat_rows", rows, i, at(b, i % M), 0, 0);
    if (N) {
        const array taken = output(type, (N + 2) * D);
        const sn_label *index = labels(N + 2, N);
        sn_gather_rows(type, N, N + 2, D, x.data, index, taken.data);
        for (sn_size i = 0; i < (N + 2) * D; i++)
            near("gather_rows", taken, i, at(x, index[i / D] * D + i % D), 0, 0);
        for (sn_size rows = 0; rows <= N + 2; rows += N + 2) {
            const array added = output(type, N * D);
            sn_scatter_add_rows(type, N, rows, D, taken.data, index, added.data);
            for (sn_size i = 0; i < N * D; i++) {
                double sum = 0, size = 0;
                for (sn_size k = 0; k < rows; k++)
                    if (index[k] == i / D) {
                        sum += at(taken, k * D + i % D);
                        size += fabs(at(taken, k * D + i % D));
                    }
                near("scatter_add_rows", added, i, sum, size, (double)rows);
            }
        }
    }
    end_case();
}
