/* normalization.c: batch normalization. */

#include <math.h>

#include "driver.h"

/* Each output is held against the formula of the outputs before it. */
void test_batch_normalization(sn_type type, sn_size N, sn_size D)
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
