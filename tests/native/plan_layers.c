/* plan_layers.c: whole steps through every other kind of layer and loss, against plain loops in double. */

#include <math.h>
#include <string.h>

#include "driver.h"

enum {
    ROWS = 9, B = 4, STEPS = 2, AT_ONCE = 3,              /* samples; images of a convolution at once */
    C = 2, H = 5, W = 4, P = 3, Q = 2, PAD = 1, STRIDE = 1, M = 3, Y = 5, X = 5, /* images, windows, filters, places */
    SIDE = 2, PY = 2, PX = 2,                             /* pooling, by as much: one row and column are left over */
    IMAGE = C * H * W, PIXELS = Y * X, F = M * PY * PX, K = 5, O = 3, /* numbers of a sample */
    PARAMETERS = 10, MOST = B * M * PIXELS
};
static const double decay = 0.1, max_grad = 0.5, momentum = 0.9, share = 0.8, rates[STEPS] = { 0.1, 0.05 };

/* gamma and beta of channels, W and b of the convolution, W and b, gamma and beta of columns, W and b */
static const sn_size sizes[PARAMETERS] = { C, C, M * C * P * Q, M, F * K, K, K, K, K * O, O };
static int is_decayed(int k) { return k == 2 || k == 4 || k == 8; }

/* A place of a window in an image, or -1 outside of it. */
static sn_size place(sn_size y, sn_size x, sn_size p, sn_size q)
{
    const sn_size i = y * STRIDE + p - PAD, j = x * STRIDE + q - PAD;
    return i < 0 || i >= H || j < 0 || j >= W ? -1 : i * W + j;
}

/* Every pair of a number of x[B,C,H,W] and one of W[M,C,P,Q] that are multiplied for out[B,M,Y,X]. */
#define EACH_PRODUCT(body) \
    for (sn_size o = 0; o < B * M * PIXELS; o++) \
        for (sn_size c = 0; c < C; c++) \
            for (sn_size p = 0; p < P; p++) \
                for (sn_size q = 0; q < Q; q++) { \
                    const sn_size m = o / PIXELS % M, here = place(o % PIXELS / X, o % X, p, q); \
                    const sn_size j = ((m * C + c) * P + p) * Q + q, i = (o / (M * PIXELS) * C + c) * H * W + here; \
                    if (here >= 0) { body; } \
                }

/* D columns of L pixels each, x[B,D,L] */
static void normalize(sn_size D, sn_size L, const double *x, const double *gamma, const double *beta, double *std,
                      double *xhat, double *out, double *running_mean, double *running_var)
{
    for (sn_size d = 0; d < D; d++) {
        double mean = 0, var = 0;
        for (sn_size i = 0; i < B * L; i++)
            mean += x[(i / L * D + d) * L + i % L] / (B * L);
        for (sn_size i = 0; i < B * L; i++)
            var += pow(x[(i / L * D + d) * L + i % L] - mean, 2) / (B * L);
        std[d] = sqrt(var + 1e-6);
        for (sn_size i = 0; i < B * L; i++) {
            const sn_size here = (i / L * D + d) * L + i % L;
            xhat[here] = (x[here] - mean) / std[d];
            out[here] = gamma[d] * xhat[here] + beta[d];
        }
        running_mean[d] = share * running_mean[d] + (1 - share) * mean;
        running_var[d] = share * running_var[d] + (1 - share) * var;
    }
}

static void normalize_back(sn_size D, sn_size L, double *dout, const double *xhat, const double *gamma,
                           const double *std, double *dgamma, double *dbeta)
{
    for (sn_size d = 0; d < D; d++) {
        dgamma[d] = dbeta[d] = 0;
        for (sn_size i = 0; i < B * L; i++) {
            const sn_size here = (i / L * D + d) * L + i % L;
            dgamma[d] += dout[here] * xhat[here];
            dbeta[d] += dout[here];
        }
        for (sn_size i = 0; i < B * L; i++) {
            const sn_size here = (i / L * D + d) * L + i % L;
            dout[here] = gamma[d] / std[d] * (dout[here] - (dbeta[d] + xhat[here] * dgamma[d]) / (B * L));
        }
    }
}

static void product(sn_size D, sn_size N, const double *x, const double *w, const double *b, double *out)
{
    for (sn_size i = 0; i < B * N; i++) {
        out[i] = b[i % N];
        for (sn_size d = 0; d < D; d++)
            out[i] += x[i / N * D + d] * w[d * N + i % N];
    }
}

static void product_back(sn_size D, sn_size N, const double *dout, const double *x, const double *w, double *dx,
                         double *dw, double *db)
{
    memset(dx, 0, B * (size_t)D * sizeof *dx);
    memset(dw, 0, (size_t)(D * N) * sizeof *dw);
    memset(db, 0, (size_t)N * sizeof *db);
    for (sn_size i = 0; i < B * N; i++) {
        db[i % N] += dout[i];
        for (sn_size d = 0; d < D; d++) {
            dx[i / N * D + d] += dout[i] * w[d * N + i % N];
            dw[d * N + i % N] += dout[i] * x[i / N * D + d];
        }
    }
}

typedef double numbers[MOST];

/* The loss of a step and its gradients g: Relu, BatchNormalization, Convolution, Tanh, Pooling, Dropout, Affine,
 * BatchNormalization, Affine, loss. */
static double reference(sn_loss loss, const double *images, const double *t, const double *mask, numbers *w, numbers *g,
                        numbers *running)
{
    static _Thread_local numbers x, hat1, out1, conv, pooled, hidden, hat2, out2, scores, dout, dx, std1, std2;
    sn_size largest[B * F];
    double sum = 0, squares = 0;
    for (int i = 0; i < B * IMAGE; i++)
        x[i] = images[i] > 0 ? images[i] : 0;
    normalize(C, H * W, x, w[0], w[1], std1, hat1, out1, running[0], running[1]);
    for (int o = 0; o < B * M * PIXELS; o++)
        conv[o] = w[3][o / PIXELS % M];
    EACH_PRODUCT(conv[o] += out1[i] * w[2][j])
    for (int o = 0; o < B * M * PIXELS; o++)
        conv[o] = tanh(conv[o]);
    for (int i = 0; i < B * F; i++) {
        const sn_size first = i / (PY * PX) * PIXELS + i / PX % PY * SIDE * X + i % PX * SIDE;
        largest[i] = first;
        for (int k = 1; k < SIDE * SIDE; k++)
            if (conv[first + k / SIDE * X + k % SIDE] > conv[largest[i]])
                largest[i] = first + k / SIDE * X + k % SIDE;
        pooled[i] = conv[largest[i]] * mask[i];
    }
    product(F, K, pooled, w[4], w[5], hidden);
    normalize(K, 1, hidden, w[6], w[7], std2, hat2, out2, running[2], running[3]);
    product(K, O, out2, w[8], w[9], scores);
    for (int i = 0; i < B * O; i++) {
        const double y = loss == SN_SIGMOID_LOSS ? sigmoid(scores[i]) : scores[i];
        sum += loss == SN_SIGMOID_LOSS ? -log((t[i] == 1 ? y : 1 - y) + 1e-7) / (B * O) : 0.5 * pow(y - t[i], 2) / B;
        dout[i] = (y - t[i]) / (loss == SN_SIGMOID_LOSS ? B * O : B);
    }
    product_back(K, O, dout, out2, w[8], dx, g[8], g[9]);
    normalize_back(K, 1, dx, hat2, w[6], std2, g[6], g[7]);
    product_back(F, K, dx, pooled, w[4], dout, g[4], g[5]);
    memset(dx, 0, sizeof dx);
    for (int i = 0; i < B * F; i++)
        dx[largest[i]] += dout[i] * mask[i];
    memset(dout, 0, sizeof dout);
    memset(g[2], 0, sizeof g[2]);
    memset(g[3], 0, sizeof g[3]);
    for (int o = 0; o < B * M * PIXELS; o++) {
        dx[o] *= 1 - conv[o] * conv[o];
        g[3][o / PIXELS % M] += dx[o];
    }
    EACH_PRODUCT(g[2][j] += dx[o] * out1[i]; dout[i] += dx[o] * w[2][j])
    normalize_back(C, H * W, dout, hat1, w[0], std1, g[0], g[1]);
    for (int k = 0; k < PARAMETERS; k++)
        for (int i = 0; i < sizes[k]; i++) {
            sum += is_decayed(k) ? 0.5 * decay * w[k][i] * w[k][i] : 0;
            g[k][i] += is_decayed(k) ? decay * w[k][i] : 0;
            squares += g[k][i] * g[k][i];
        }
    const double rate = max_grad / (sqrt(squares) + 1e-6);
    for (int k = 0; k < PARAMETERS; k++)
        for (int i = 0; i < sizes[k]; i++)
            g[k][i] *= rate < 1 ? rate : 1;
    return sum;
}

void test_plan_layers(sn_type type, sn_loss loss)
{
    static _Thread_local numbers w[PARAMETERS], g[PARAMETERS], v[PARAMETERS], running[4], x, targets, kept;
    array p[PARAMETERS], d[PARAMETERS], speed[PARAMETERS], average[4];
    sn_parameter parameter[PARAMETERS];
    sn_gradient gradient[PARAMETERS];
    seed(11 + (uint64_t)loss);
    for (int k = 0; k < PARAMETERS; k++) {
        p[k] = input(type, sizes[k]), d[k] = output(type, sizes[k]), speed[k] = output(type, sizes[k]);
        parameter[k] = (sn_parameter){ sizes[k], p[k].data, d[k].data, { speed[k].data, NULL } };
        gradient[k] = (sn_gradient){ sizes[k], d[k].data, is_decayed(k) ? p[k].data : NULL };
        for (int i = 0; i < sizes[k]; i++)
            put(p[k], i, at(p[k], i) / 4), put(speed[k], i, v[k][i] = 0), w[k][i] = at(p[k], i);
    }
    for (int k = 0; k < 4; k++) {
        average[k] = positive(type, k < 2 ? C : K);
        for (int i = 0; i < average[k].n; i++)
            running[k][i] = at(average[k], i);
    }
    const array images = input(SN_FLOAT32, ROWS * IMAGE), wanted = input(SN_FLOAT64, ROWS * O);
    const sn_label *t = labels(ROWS * O, 2), order[STEPS * B] = { 0, 2, 4, 6, 8, 1, 3, 5 };
    const array masks = output(type, STEPS * B * F);
    for (int i = 0; i < STEPS * B * F; i++)
        put(masks, i, any() > -1);

#define NUMBERS(n) output(type, n).data
    void *convolved = NUMBERS(B * M * PIXELS), *pooled = NUMBERS(B * F);
    sn_plan plan = {
        .type = type, .batch = B, .inputs = IMAGE, .outputs = O, .layers = 9, .first = 1, .parameters = PARAMETERS,
        .gradients = PARAMETERS, .parameter = parameter, .gradient = gradient, .optimizer = SN_MOMENTUM, .loss = loss,
        .numbers = { momentum }, .max_grad = max_grad, .decay = decay, .masks = F, .delta = 1e-7,
        .loss_factor = 1, .gradient_factor = 1, .x = NUMBERS(B * IMAGE),
        .t = memory(B * O * sizeof(sn_label)), .y = NUMBERS(B * O), .dout = NUMBERS(MOST), .dx = NUMBERS(MOST),
    };
    sn_layer layer[] = {
        { .kind = SN_RELU, .M = IMAGE, .out = plan.x },
        { .kind = SN_NORMALIZATION, .M = C, .L = H * W, .number = share, .out = NUMBERS(B * IMAGE),
          .running = { average[0].data, average[1].data },
          .cache = { NUMBERS(C), NUMBERS(C), NUMBERS(C), NUMBERS(B * IMAGE), NUMBERS(B * IMAGE), NUMBERS(B * IMAGE) } },
        { .kind = SN_CONVOLUTION, .M = M, .C = C, .H = H, .W = W, .P = P, .Q = Q, .Y = Y, .X = X, .stride = STRIDE,
          .pad = PAD, .at_once = AT_ONCE, .out = convolved,
          .cache = { NUMBERS(AT_ONCE * C * P * Q * PIXELS), NUMBERS(AT_ONCE * C * P * Q * PIXELS) } },
        { .kind = SN_TANH, .M = M * PIXELS, .out = convolved },
        { .kind = SN_POOLING, .M = F, .C = M, .H = Y, .W = X, .P = SIDE, .Q = SIDE, .Y = PY, .X = PX, .stride = SIDE,
          .out = pooled, .cache = { memory(B * F * sizeof(sn_label)) } },
        { .kind = SN_DROPOUT, .M = F, .out = pooled },
        { .kind = SN_AFFINE, .D = F, .M = K, .out = NUMBERS(B * K) },
        { .kind = SN_NORMALIZATION, .M = K, .L = 1, .number = share, .out = NUMBERS(B * K),
          .running = { average[2].data, average[3].data },
          .cache = { NUMBERS(K), NUMBERS(K), NUMBERS(K), NUMBERS(B * K) } },
        { .kind = SN_AFFINE, .D = K, .M = O, .out = NUMBERS(B * O) },
    };
    static const int of[PARAMETERS / 2] = { 1, 2, 6, 7, 8 }; /* the layers with parameters */
    for (int k = 0; k < PARAMETERS; k += 2) {
        sn_layer *l = &layer[of[k / 2]];
        l->weights = p[k].data, l->b = p[k + 1].data, l->dW = d[k].data, l->db = d[k + 1].data;
    }
    plan.layer = layer;
    double losses[STEPS];
    const sn_samples given = { .x = { images.data, SN_DATA_F32, IMAGE * sizeof(float) }, .t = t,
                               .targets = { wanted.data, SN_DATA_F64, O * sizeof(double) } };
    sn_plan_run(&plan, STEPS, STEPS * B, STEPS * B, order, &given, masks.data, rates, losses);

    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < B; i++) {
            const sn_label row = order[step * B + i];
            for (int j = 0; j < IMAGE; j++)
                x[i * IMAGE + j] = at(images, row * IMAGE + j);
            for (int j = 0; j < O; j++)
                targets[i * O + j] = loss == SN_SIGMOID_LOSS ? (double)t[row * O + j] : at(wanted, row * O + j);
        }
        for (int i = 0; i < B * F; i++)
            kept[i] = at(masks, step * B * F + i);
        const double want = reference(loss, x, targets, kept, w, g, running);
        number_near("plan_run's loss", type, losses[step], want, type == SN_FLOAT64 ? 1e-12 : 1e-5);
        for (int k = 0; k < PARAMETERS; k++)
            for (int i = 0; i < sizes[k]; i++)
                w[k][i] += v[k][i] = momentum * v[k][i] - rates[step] * g[k][i];
    }
    for (int k = 0; k < PARAMETERS; k++)
        for (int i = 0; i < sizes[k]; i++) {
            near("plan_run's parameters", p[k], i, w[k][i], 1, 100);
            near("plan_run's gradients", d[k], i, g[k][i], 1, 100);
        }
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < average[k].n; i++)
            near("plan_run's statistics", average[k], i, running[k][i], 1, 100);
    end_case();
}
