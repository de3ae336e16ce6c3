/* updates.c: every optimizer, by its own call and by the plan's. */

#include <math.h>

#include "driver.h"

void test_updates(sn_type type, sn_size n)
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
        case SN_ADAM: sn_adam_update(type, n, p.data, g.data, h.data, v.data, lr, a, b, 1e-8); break;
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
                want = P - lr * state / (sqrt(V + (1 - b) * (G * G - V)) + 1e-8);
                break;
            }
            near(names[k], p, i, want, fabs(P) + fabs(want - P) + 1, 12);
            near(names[k], h, i, state, S + G * G + 1, 12);
        }
        const sn_parameter parameter = { n, p2.data, g.data, { h2.data, v2.data } };
        const double numbers[4] = { lr, k == SN_ADAGRAD ? 0 : a, b, 1e-8 };
        sn_update(type, (sn_optimizer)k, &parameter, numbers);
        same("update", p2, p);
        same("update's state", h2, h);
    }
    end_case();
}
