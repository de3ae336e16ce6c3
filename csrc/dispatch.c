/* dispatch.c: chooses the instruction set, and goes from scratchnet.h's functions to its loops for the type. */

#include "table.h"

#if defined(__x86_64__) || defined(_M_X64)

/* What the processor has and the system saves, asked by hand: the compilers' own helpers differ.
 * Intel SDM vol. 2A, CPUID; vol. 1, 13.2 (XCR0). */
#if defined(_MSC_VER)
#include <intrin.h>
static void cpuid(unsigned leaf, unsigned r[4]) { __cpuidex((int *)r, (int)leaf, 0); }
static unsigned saved_by_system(void) { return (unsigned)_xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(unsigned leaf, unsigned r[4]) { __cpuid_count(leaf, 0, r[0], r[1], r[2], r[3]); }
static unsigned saved_by_system(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}
#endif

#define BIT(n) (1u << (n))

static int has(const sn_isa_table *table)
{
    enum { EBX = 1, ECX = 2 };
    const unsigned osxsave_avx_fma = BIT(27) | BIT(28) | BIT(12);
    const unsigned avx2_bmi = BIT(5) | BIT(3) | BIT(8);
    const unsigned avx512_f_dq_cd_bw_vl = BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31);
    const unsigned ymm = 0x6, zmm = 0xe6;
    unsigned r[4];
    if (table == &sn_baseline)
        return 1;
    cpuid(0, r);
    if (r[0] < 7)
        return 0;
    cpuid(1, r);
    if ((r[ECX] & osxsave_avx_fma) != osxsave_avx_fma || (saved_by_system() & ymm) != ymm)
        return 0;
    cpuid(7, r);
    if ((r[EBX] & avx2_bmi) != avx2_bmi)
        return 0;
    return table == &sn_avx2
        || ((r[EBX] & avx512_f_dq_cd_bw_vl) == avx512_f_dq_cd_bw_vl && (saved_by_system() & zmm) == zmm);
}

static const sn_isa_table *const tables[] = { &sn_avx512, &sn_avx2, &sn_baseline };

#else

static int has(const sn_isa_table *table) { return table != NULL; }
static const sn_isa_table *const tables[] = { &sn_baseline };

#endif

enum { TABLES = sizeof tables / sizeof tables[0] };

static const sn_isa_table *isa = &sn_baseline; /* set once, when the extension is imported */

const char *sn_isa(void)
{
    return isa->name;
}

const char *sn_isa_available(int i)
{
    for (int k = 0; k < TABLES; k++)
        if (has(tables[k]) && i-- == 0)
            return tables[k]->name;
    return NULL;
}

int sn_use_isa(const char *name)
{
    for (int k = 0; k < TABLES; k++)
        if (has(tables[k]) && (!name || strcmp(name, tables[k]->name) == 0)) {
            isa = tables[k];
            return 1;
        }
    return 0;
}

sn_size sn_find_label_outside(sn_size n, const sn_label *t, sn_size limit)
{
    for (sn_size i = 0; i < n; i++)
        if (t[i] < 0 || t[i] >= limit)
            return i;
    return -1;
}

#define CALL(kernel, ...) \
    (type == SN_FLOAT64 ? isa->f64->kernel(__VA_ARGS__) : isa->f32->kernel(__VA_ARGS__))

void sn_affine_forward(sn_type type, sn_size N, sn_size D, sn_size M,
                       const void *x, const void *W, const void *b, void *out)
{
    CALL(affine_forward, N, D, M, x, W, b, out);
}

void sn_affine_backward(sn_type type, sn_size N, sn_size D, sn_size M,
                        const void *dout, const void *x, const void *W, void *dx, void *dW, void *db)
{
    CALL(affine_backward, N, D, M, dout, x, W, dx, dW, db);
}

void sn_matmul_accumulate(sn_type type, sn_size N, sn_size D, sn_size M, const void *x, const void *W, void *out)
{
    CALL(matmul_accumulate, N, D, M, x, W, out);
}

void sn_matmul_transposed(sn_type type, sn_size N, sn_size D, sn_size M, const void *dout, const void *W, void *dx)
{
    CALL(matmul_transposed, N, D, M, dout, W, dx);
}

void sn_sum_rows(sn_type type, sn_size N, sn_size D, const void *x, void *out)
{
    CALL(sum_rows, N, D, x, out);
}

void sn_repeat_rows(sn_type type, sn_size N, sn_size D, const void *x, void *out)
{
    CALL(repeat_rows, N, D, x, out);
}

void sn_gather_rows(sn_type type, sn_size B, sn_size D, const void *x, const sn_label *index, void *out)
{
    CALL(gather_rows, B, D, x, index, out);
}

void sn_sigmoid_forward(sn_type type, sn_size n, const void *x, void *out)
{
    CALL(sigmoid_forward, n, x, out);
}

void sn_sigmoid_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx)
{
    CALL(sigmoid_backward, n, dout, y, dx);
}

void sn_relu_forward(sn_type type, sn_size n, const void *x, void *out)
{
    CALL(relu_forward, n, x, out);
}

void sn_relu_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx)
{
    CALL(relu_backward, n, dout, y, dx);
}

void sn_relu_forward_with_mask(sn_type type, sn_size n, const void *x, void *out, sn_bool *mask)
{
    CALL(relu_forward_with_mask, n, x, out, mask);
}

void sn_relu_backward_by_mask(sn_type type, sn_size n, const void *dout, const sn_bool *mask, void *dx)
{
    CALL(relu_backward_by_mask, n, dout, mask, dx);
}

void sn_softmax_forward(sn_type type, sn_size N, sn_size C, const void *x, void *y)
{
    CALL(softmax_forward, N, C, x, y);
}

void sn_softmax_backward(sn_type type, sn_size N, sn_size C, const void *dout, const void *y, void *dx)
{
    CALL(softmax_backward, N, C, dout, y, dx);
}

double sn_cross_entropy_forward(sn_type type, sn_size N, sn_size C, const void *y, const sn_label *t)
{
    return CALL(cross_entropy_forward, N, C, y, t);
}

double sn_softmax_cross_entropy_forward(sn_type type, sn_size N, sn_size C,
                                        const void *x, const sn_label *t, void *y)
{
    return CALL(softmax_cross_entropy_forward, N, C, x, t, y);
}

void sn_softmax_cross_entropy_backward(sn_type type, sn_size N, sn_size C,
                                       const void *y, const sn_label *t, double dout, void *dx)
{
    CALL(softmax_cross_entropy_backward, N, C, y, t, dout, dx);
}

double sn_sigmoid_cross_entropy_forward(sn_type type, sn_size n, const void *x, const sn_label *t, void *y)
{
    return CALL(sigmoid_cross_entropy_forward, n, x, t, y);
}

void sn_sigmoid_cross_entropy_backward(sn_type type, sn_size n,
                                       const void *y, const sn_label *t, double dout, void *dx)
{
    CALL(sigmoid_cross_entropy_backward, n, y, t, dout, dx);
}

void sn_im2col(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size P, sn_size Q, sn_size Y, sn_size X,
               const void *x, sn_size stride, sn_size pad, void *col)
{
    CALL(im2col, N, C, H, W, P, Q, Y, X, x, stride, pad, col);
}

void sn_col2im(sn_type type, sn_size N, sn_size C, sn_size P, sn_size Q, sn_size Y, sn_size X, sn_size H, sn_size W,
               const void *col, sn_size stride, sn_size pad, void *dx)
{
    CALL(col2im, N, C, P, Q, Y, X, H, W, col, stride, pad, dx);
}

void sn_convolution_forward(sn_type type, sn_size N, sn_size K, sn_size L, sn_size M,
                            const void *col, const void *W, const void *b, void *out)
{
    CALL(convolution_forward, N, K, L, M, col, W, b, out);
}

void sn_convolution_backward(sn_type type, sn_size N, sn_size K, sn_size L, sn_size M, const void *dout,
                             const void *col, const void *W, void *dcol, void *dW, void *db)
{
    CALL(convolution_backward, N, K, L, M, dout, col, W, dcol, dW, db);
}

void sn_max_pool_forward(sn_type type, sn_size N, sn_size C, sn_size H, sn_size W, sn_size Y, sn_size X,
                         const void *x, sn_size P, sn_size Q, sn_size stride, void *out, sn_label *argmax)
{
    CALL(max_pool_forward, N, C, H, W, Y, X, x, P, Q, stride, out, argmax);
}

void sn_max_pool_backward(sn_type type, sn_size N, sn_size C, sn_size Y, sn_size X, sn_size H, sn_size W,
                          const void *dout, const sn_label *argmax, void *dx)
{
    CALL(max_pool_backward, N, C, Y, X, H, W, dout, argmax, dx);
}

void sn_batch_normalization_forward(sn_type type, sn_size N, sn_size D, const void *x, const void *gamma,
                                    const void *beta, double eps, void *mean, void *var, void *std, void *xhat,
                                    void *out)
{
    CALL(batch_normalization_forward, N, D, x, gamma, beta, eps, mean, var, std, xhat, out);
}

void sn_batch_normalization_inference(sn_type type, sn_size N, sn_size D, const void *x, const void *gamma,
                                      const void *beta, const void *mean, const void *var, double eps, void *out)
{
    CALL(batch_normalization_inference, N, D, x, gamma, beta, mean, var, eps, out);
}

void sn_batch_normalization_backward(sn_type type, sn_size N, sn_size D, const void *dout, const void *xhat,
                                     const void *gamma, const void *std, void *dx, void *dgamma, void *dbeta)
{
    CALL(batch_normalization_backward, N, D, dout, xhat, gamma, std, dx, dgamma, dbeta);
}

void sn_sgd_update(sn_type type, sn_size n, void *p, const void *g, double lr)
{
    CALL(sgd_update, n, p, g, lr);
}

void sn_momentum_update(sn_type type, sn_size n, void *p, const void *g, void *v, double lr, double momentum)
{
    CALL(momentum_update, n, p, g, v, lr, momentum);
}

void sn_nesterov_update(sn_type type, sn_size n, void *p, const void *g, void *v, double lr, double momentum)
{
    CALL(nesterov_update, n, p, g, v, lr, momentum);
}

void sn_adagrad_update(sn_type type, sn_size n, void *p, const void *g, void *h, double lr)
{
    CALL(adagrad_update, n, p, g, h, lr);
}

void sn_rmsprop_update(sn_type type, sn_size n, void *p, const void *g, void *h, double lr, double decay_rate)
{
    CALL(rmsprop_update, n, p, g, h, lr, decay_rate);
}

void sn_adam_update(sn_type type, sn_size n, void *p, const void *g, void *m, void *v,
                    double lr, double beta1, double beta2)
{
    CALL(adam_update, n, p, g, m, v, lr, beta1, beta2);
}

double sn_squared_norm(sn_type type, sn_size n, const void *g)
{
    return CALL(squared_norm, n, g);
}

void sn_scale(sn_type type, sn_size n, void *x, double factor)
{
    CALL(scale, n, x, factor);
}

void sn_scatter_add_rows(sn_type type, sn_size B, sn_size N, sn_size D, const void *dout, const sn_label *index, void *out)
{
    CALL(scatter_add_rows, B, N, D, dout, index, out);
}

void sn_tanh_forward(sn_type type, sn_size n, const void *x, void *out)
{
    CALL(tanh_forward, n, x, out);
}

void sn_tanh_backward(sn_type type, sn_size n, const void *dout, const void *y, void *dx)
{
    CALL(tanh_backward, n, dout, y, dx);
}

void sn_multiply_by_mask(sn_type type, sn_size n, const void *x, const void *mask, void *out)
{
    CALL(multiply_by_mask, n, x, mask, out);
}

double sn_softmax_log_loss_forward(sn_type type, sn_size N, sn_size C, const void *x, const sn_label *t, void *y)
{
    return CALL(softmax_log_loss_forward, N, C, x, t, y);
}

void sn_lstm_forward(sn_type type, sn_size N, sn_size D, const void *c_prev, const void *A, void *gates, void *c,
                     void *h)
{
    CALL(lstm_forward, N, D, c_prev, A, gates, c, h);
}

void sn_lstm_backward(sn_type type, sn_size N, sn_size D, const void *dh, const void *dc, const void *c_prev,
                      const void *c, const void *gates, void *dA, void *dc_prev)
{
    CALL(lstm_backward, N, D, dh, dc, c_prev, c, gates, dA, dc_prev);
}

void sn_gru_gates_forward(sn_type type, sn_size N, sn_size D, const void *h_prev, const void *A, void *gates,
                          void *rh)
{
    CALL(gru_gates_forward, N, D, h_prev, A, gates, rh);
}

void sn_gru_forward(sn_type type, sn_size N, sn_size D, const void *h_prev, const void *gates, const void *A,
                    void *h_hat, void *h)
{
    CALL(gru_forward, N, D, h_prev, gates, A, h_hat, h);
}

void sn_gru_backward(sn_type type, sn_size N, sn_size D, const void *dh, const void *gates, const void *h_hat,
                     void *dA)
{
    CALL(gru_backward, N, D, dh, gates, h_hat, dA);
}

void sn_gru_gates_backward(sn_type type, sn_size N, sn_size D, const void *dh, const void *drh, const void *h_prev,
                           const void *gates, const void *h_hat, void *dA, void *dh_prev)
{
    CALL(gru_gates_backward, N, D, dh, drh, h_prev, gates, h_hat, dA, dh_prev);
}
