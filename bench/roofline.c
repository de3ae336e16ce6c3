/* What this machine can do at most, to measure kernels by. Compiled when the benchmarks run, for this machine. */

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif

typedef float vec_f __attribute__((vector_size(BYTES)));
typedef double vec_d __attribute__((vector_size(BYTES)));

/* Twelve independent chains of c = c a + b: enough to hide the latency of two units that take four cycles or
 * five, few enough for sixteen registers. No memory is touched. Returns the number of operations in one turn. */
#define CHAINS(step) step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) step(11)
#define DECLARE(i) vec c##i = one + i; /* all different, or the compiler keeps one chain of them */
#define MULTIPLY_ADD(i) c##i = c##i * va + vb;
#define COLLECT(i) sum += c##i[0] + c##i[BYTES / sizeof(scalar) - 1];

#define PEAK(name, scalar_type, vec_type)                                   \
    double name(long turns, double a, double b)                            \
    {                                                                       \
        typedef scalar_type scalar;                                         \
        typedef vec_type vec;                                               \
        vec zero = {0};                                                     \
        vec va = zero + (scalar)a, vb = zero + (scalar)b, one = zero + 1;   \
        CHAINS(DECLARE)                                                     \
        for (long i = 0; i < turns; i++) {                                  \
            CHAINS(MULTIPLY_ADD)                                            \
        }                                                                   \
        double sum = 0;                                                     \
        CHAINS(COLLECT)                                                     \
        return sum;                                                         \
    }

PEAK(peak_float32, float, vec_f)
PEAK(peak_float64, double, vec_d)

long peak_operations(long itemsize) { return 2 * 12 * BYTES / itemsize; }

/* The memory traffic of an update in place, with as little arithmetic as there can be. */
#define STREAM(name, type)                                                  \
    void name(type *restrict p, const type *restrict g, long n)            \
    {                                                                       \
        for (long i = 0; i < n; i++)                                        \
            p[i] += g[i];                                                   \
    }

STREAM(stream_float32, float)
STREAM(stream_float64, double)
