/* f = sum_j theta_j^2 x_j, d = 100, batches of a multiple of four. Lanes over the parameters, eight (or four) samples
   fused in a pass over theta. REPLICAS replicas take turns, so that the latency of one is hidden by the others; the
   draws of two steps are made at once, long before they are needed. */

#include "common.h"
#include <string.h>

#define D 100
#define VECTORS ((D + LANES - 1) / LANES)
#define MAX_SAMPLES 64
#ifndef REPLICAS
#define REPLICAS 2
#endif

typedef struct {
    const double *x;      /* rows of LANES VECTORS */
    const double *labels; /* y + sigma, y - sigma of each sample */
    double scale;
    long n, batch;
} problem;

typedef struct {
    const double *x[2 * MAX_SAMPLES]; /* of the draws of two steps */
    double label[2 * MAX_SAMPLES];
} batches;

typedef struct {
    vec theta[VECTORS], first[VECTORS], second[VECTORS];
    lanes generator;
    batches drawn;
} replica;

INLINE void prepare(replica *s, const problem *p) {
    uint64_t codes[2 * MAX_SAMPLES + 2 * LANES];
    draw(&s->generator, all_words(p->n), codes, 2 * p->batch);
    for (long b = 0; b < 2 * p->batch; b++) {
        s->drawn.x[b] = p->x + LANES * VECTORS * (codes[b] >> 1);
        s->drawn.label[b] = p->labels[codes[b]];
    }
}

/* Add the part of `fused` samples, 4 or 8, to the gradient. */
INLINE void pass(const vec *squares, const double *const *x, const double *label, int fused, vec *gradient) {
    vec f[8];
    UNROLL for (int k = 0; k < fused; k++) f[k] = mul(squares[0], load(x[k]));
    UNROLL for (int j = 1; j < VECTORS; j++)
        UNROLL for (int k = 0; k < fused; k++) f[k] = fmadd(squares[j], load(x[k] + LANES * j), f[k]);
    UNROLL for (int k = 0; k < fused; k += 4) {
        __m256d r = _mm256_sub_pd(reduce_four(f[k], f[k + 1], f[k + 2], f[k + 3]), _mm256_loadu_pd(label + k));
        UNROLL for (int q = 0; q < 4; q++) f[k + q] = spread(r, q);
    }
    __asm__ volatile("" ::: "memory"); /* read x again: kept, its vectors would go to the stack */
    UNROLL for (int j = 0; j < VECTORS; j++)
        UNROLL for (int k = 0; k < fused; k++)
            gradient[j] = fmadd(f[k], load(x[k] + LANES * j), gradient[j]);
}

INLINE void step(replica *s, const problem *p, long drawn) {
    vec squares[VECTORS], gradient[VECTORS];
    UNROLL for (int j = 0; j < VECTORS; j++) {
        squares[j] = mul(s->theta[j], s->theta[j]);
        if (STATISTICS) {
            s->first[j] = add(s->first[j], s->theta[j]);
            s->second[j] = add(s->second[j], squares[j]);
        }
        gradient[j] = all(0.0);
    }
    const double *const *x = s->drawn.x + drawn, *label = s->drawn.label + drawn;
    long b = 0;
    for (; b + 8 <= p->batch; b += 8) pass(squares, x + b, label + b, 8, gradient);
    if (b < p->batch) pass(squares, x + b, label + b, 4, gradient);
    UNROLL for (int j = 0; j < VECTORS; j++)
        s->theta[j] = fnmadd(mul(s->theta[j], all(p->scale)), gradient[j], s->theta[j]);
}

void square(double *theta, uint64_t *words, const double *x, const double *y, double eta, double sigma, long n,
            long batch, long replicas, long first, long last, long steps, double *sums) {
    double rows[MAX_SAMPLES * LANES * VECTORS] __attribute__((aligned(64))), labels[2 * MAX_SAMPLES];
    problem p = {rows, labels, 2 * eta / batch, n, batch};
    memset(rows, 0, sizeof rows);
    for (long i = 0; i < n; i++) {
        memcpy(rows + LANES * VECTORS * i, x + D * i, D * sizeof(double));
        labels[2 * i] = y[i] + sigma, labels[2 * i + 1] = y[i] - sigma;
    }
    for (long r = first; r < last; r += REPLICAS) {
        replica s[REPLICAS];
        memset(s, 0, sizeof s);
        for (int k = 0; k < REPLICAS; k++) {
            memcpy(s[k].theta, theta + D * (r + k), D * sizeof(double));
            s[k].generator = load_lanes(words + 4 * LANES * (r + k), LANES);
        }
        for (long t = 0; t < steps; t++)
            for (int k = 0; k < REPLICAS; k++) {
                if (t % 2 == 0) prepare(&s[k], &p);
                step(&s[k], &p, t % 2 * batch);
            }
        for (int k = 0; k < REPLICAS; k++) {
            memcpy(theta + D * (r + k), s[k].theta, D * sizeof(double));
            store_lanes(words + 4 * LANES * (r + k), LANES, &s[k].generator);
            for (int j = 0; j < D; j++) {
                sums[j] += ((double *)s[k].first)[j];
                sums[D + j] += ((double *)s[k].second)[j];
            }
        }
    }
}
