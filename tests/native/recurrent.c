/* recurrent.c: the gated cells of LSTM and GRU. */

#include <math.h>

#include "driver.h"

void test_lstm(sn_type type, sn_size N, sn_size D)
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

void test_gru(sn_type type, sn_size N, sn_size D)
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
