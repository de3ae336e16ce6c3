/* plan.c: whole steps of training against the same kernels called one by one, for every type of data. */

#include <math.h>

#include "driver.h"

typedef struct {
    array W1, b1, W2, b2, dW1, db1, dW2, db2, out1, out2;
} net;

static net make_net(sn_type type, sn_size B, sn_size D, sn_size H, sn_size C, uint64_t start)
{
    seed(start);
    return (net){ input(type, D * H), input(type, H), input(type, H * C), input(type, C),
                  output(type, D * H), output(type, H), output(type, H * C), output(type, C),
                  output(type, B * H), output(type, B * C) };
}

void test_plan(sn_type type, sn_data data_type, sn_kind activation)
{
    enum { ROWS = 11, B = 3, D = 5, H = 7, C = 4, STEPS = 3, PAD = 9 };
    static const size_t bytes[] = { 1, 1, 1, 2, 4, 8, 4, 8 };
    const size_t row = D * bytes[data_type] + PAD * bytes[data_type];
    char *data = memory((ROWS - 1) * row + D * bytes[data_type]); /* nothing behind the last row */
    const array plain = output(type, ROWS * D);
    for (sn_size i = 0; i < ROWS * D; i++) {
        const int value = (int)(any() + 2) * 3 + (int)i % 5;
        void *p = data + (size_t)(i / D) * row + (size_t)(i % D) * bytes[data_type];
        put(plain, i, data_type == SN_DATA_BOOL ? value != 0 : value);
        switch (data_type) {
        case SN_DATA_BOOL:
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

    sn_layer layer[3] = {
        { .kind = SN_AFFINE, .D = D, .M = H, .weights = a.W1.data, .b = a.b1.data, .dW = a.dW1.data, .db = a.db1.data,
          .out = a.out1.data },
        { .kind = activation, .M = H, .out = a.out1.data },
        { .kind = SN_AFFINE, .D = H, .M = C, .weights = a.W2.data, .b = a.b2.data, .dW = a.dW2.data, .db = a.db2.data,
          .out = a.out2.data },
    };
    sn_gradient gradient[4] = {
        { D * H, a.dW1.data, a.W1.data }, { H, a.db1.data, NULL },
        { H * C, a.dW2.data, a.W2.data }, { C, a.db2.data, NULL },
    };
    sn_parameter parameter[4] = {
        { D * H, a.W1.data, a.dW1.data, { NULL, NULL } }, { H, a.b1.data, a.db1.data, { NULL, NULL } },
        { H * C, a.W2.data, a.dW2.data, { NULL, NULL } }, { C, a.b2.data, a.db2.data, { NULL, NULL } },
    };
    sn_label batch_t[B];
    sn_plan plan = {
        .type = type, .batch = B, .inputs = D, .outputs = C, .layers = 3, .parameters = 4, .gradients = 4,
        .layer = layer, .parameter = parameter, .gradient = gradient, .optimizer = SN_SGD, .loss = SN_SOFTMAX_LOSS,
        .delta = 1e-7, .loss_factor = 1, .gradient_factor = 1, .max_grad = 0.5, .decay = 0.1, .x = output(type, B * D).data, .t = batch_t,
        .y = output(type, B * C).data, .dout = output(type, B * H).data, .dx = output(type, B * H).data,
    };
    const double rates[STEPS] = { 0.1, 0.05, 0.2 };
    double losses[STEPS];
    const sn_samples given = { .x = { data, data_type, (sn_size)row }, .t = t };
    sn_plan_run(&plan, STEPS, STEPS * B, STEPS * B, order, &given, NULL, rates, losses);

    const array x = output(type, B * D), y = output(type, B * C), dy = output(type, B * C), dh = output(type, B * H);
    const array *grads[] = { &b.dW1, &b.db1, &b.dW2, &b.db2 }, *params[] = { &b.W1, &b.b1, &b.W2, &b.b2 };
    for (int step = 0; step < STEPS; step++) {
        sn_label bt[B];
        for (int i = 0; i < B; i++)
            bt[i] = t[order[step * B + i]];
        sn_gather_rows(type, ROWS, B, D, plain.data, order + step * B, x.data);
        sn_affine_forward(type, B, D, H, x.data, b.W1.data, b.b1.data, b.out1.data);
        if (activation == SN_SIGMOID)
            sn_sigmoid_forward(type, B * H, b.out1.data, b.out1.data);
        else
            sn_relu_forward(type, B * H, b.out1.data, b.out1.data);
        sn_affine_forward(type, B, H, C, b.out1.data, b.W2.data, b.b2.data, b.out2.data);
        double decayed = sn_squared_norm(type, D * H, b.W1.data);
        decayed += sn_squared_norm(type, H * C, b.W2.data);
        const double loss = sn_softmax_cross_entropy_forward(type, B, C, b.out2.data, bt, 1e-7, 0, y.data)
                            + 0.5 * 0.1 * decayed;
        if (loss != losses[step])
            fail("plan_run's loss", type, step, losses[step], loss);
        sn_softmax_cross_entropy_backward(type, B, C, y.data, bt, 1, dy.data);
        sn_affine_backward(type, B, H, C, dy.data, b.out1.data, b.W2.data, dh.data, b.dW2.data, b.db2.data);
        if (activation == SN_SIGMOID)
            sn_sigmoid_backward(type, B * H, dh.data, b.out1.data, dh.data);
        else
            sn_relu_backward(type, B * H, dh.data, b.out1.data, dh.data);
        sn_affine_backward(type, B, D, H, dh.data, x.data, b.W1.data, NULL, b.dW1.data, b.db1.data);
        sn_sgd_update(type, D * H, b.dW1.data, b.W1.data, -0.1);
        sn_sgd_update(type, H * C, b.dW2.data, b.W2.data, -0.1);
        double squares = 0;
        for (int k = 0; k < 4; k++)
            squares += sn_squared_norm(type, grads[k]->n, grads[k]->data);
        const double rate = 0.5 / (sqrt(squares) + 1e-6);
        for (int k = 0; k < 4; k++) {
            if (rate < 1)
                sn_scale(type, grads[k]->n, grads[k]->data, rate);
            sn_sgd_update(type, params[k]->n, params[k]->data, grads[k]->data, rates[step]);
        }
    }
    same("plan_run W1", a.W1, b.W1);
    same("plan_run b1", a.b1, b.b1);
    same("plan_run W2", a.W2, b.W2);
    same("plan_run b2", a.b2, b.b2);
    end_case();
}
