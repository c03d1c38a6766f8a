/* f = a tanh(b x) + c tanh(d x), a few samples. Lanes over replicas, several vectors of eight replicas interleaved.

   tanh_one: one of at most four samples with replacement. Half a word of the generator, times 2n, gives sample and sign
   at once: an index into tables of x and of y +- sigma.
   tanh_full: n = 3, each sample once, with fresh noise; three bits of a word for a step, as in w1.c.
   theta before each step goes to a buffer; the sums are taken from it every CHUNK steps, all in registers. */

#include "common.h"

#ifndef ONE_GROUPS
#define ONE_GROUPS 4
#endif
#ifndef FULL_GROUPS
#define FULL_GROUPS 2
#endif
#define CHUNK 16 /* steps; 64 must be a multiple of it */

INLINE void add_moments(vec *restrict total, const vec *restrict buffer, long count) {
    vec sum[14];
    for (int k = 0; k < 14; k++) sum[k] = total[k];
    for (long i = 0; i < count; i++) {
        vec p[4];
        UNROLL for (int j = 0; j < 4; j++) p[j] = buffer[4 * i + j];
        UNROLL for (int j = 0; j < 4; j++) sum[j] = _mm512_add_pd(sum[j], p[j]);
        UNROLL for (int j = 0; j < 4; j++) sum[4 + j] = _mm512_fmadd_pd(p[0], p[j], sum[4 + j]);
        UNROLL for (int j = 1; j < 4; j++) sum[7 + j] = _mm512_fmadd_pd(p[1], p[j], sum[7 + j]);
        UNROLL for (int j = 2; j < 4; j++) sum[9 + j] = _mm512_fmadd_pd(p[2], p[j], sum[9 + j]);
        sum[13] = _mm512_fmadd_pd(p[3], p[3], sum[13]);
    }
    for (int k = 0; k < 14; k++) total[k] = sum[k];
}

/* The part of a sample's step that needs its x and y + noise: adds to the four components of the gradient, where those
   of b and d lack the factors a and c. */
INLINE void sample(const tanh_table *k, const vec *theta, vec x, vec label, vec *gradient) {
    vec s, t;
    tanh_two(k, _mm512_mul_pd(theta[1], x), _mm512_mul_pd(theta[3], x), &s, &t);
    vec r = _mm512_fmadd_pd(theta[0], s, _mm512_fmsub_pd(theta[2], t, label));
    vec rx = _mm512_mul_pd(r, x);
    gradient[0] = _mm512_fmadd_pd(r, s, gradient[0]);
    gradient[1] = _mm512_fmadd_pd(rx, _mm512_fnmadd_pd(s, s, all(1.0)), gradient[1]);
    gradient[2] = _mm512_fmadd_pd(r, t, gradient[2]);
    gradient[3] = _mm512_fmadd_pd(rx, _mm512_fnmadd_pd(t, t, all(1.0)), gradient[3]);
}

INLINE void load_theta(vec *theta, const double *from, long stride) {
    UNROLL for (int j = 0; j < 4; j++) theta[j] = _mm512_loadu_pd(from + j * stride);
}

INLINE void store_theta(double *to, long stride, const vec *theta) {
    UNROLL for (int j = 0; j < 4; j++) _mm512_storeu_pd(to + j * stride, theta[j]);
}

#define EACH UNROLL for (int g = 0; g < ONE_GROUPS; g++)

INLINE void one_step(const tanh_table *k, vec theta[][4], const word *halves, vec xs, vec labels, vec eta) {
    EACH {
        word index = _mm512_srli_epi64(halves[g], 32);
        vec x = _mm512_permutexvar_pd(index, xs), label = _mm512_permutexvar_pd(index, labels), s, t;
        vec a = theta[g][0], b = theta[g][1], c = theta[g][2], d = theta[g][3];
        tanh_two(k, _mm512_mul_pd(b, x), _mm512_mul_pd(d, x), &s, &t);
        vec change = _mm512_mul_pd(_mm512_fmadd_pd(a, s, _mm512_fmsub_pd(c, t, label)), eta);
        vec moved = _mm512_mul_pd(change, x);
        theta[g][0] = _mm512_fnmadd_pd(change, s, a);
        theta[g][1] = _mm512_fnmadd_pd(_mm512_mul_pd(moved, a), _mm512_fnmadd_pd(s, s, all(1.0)), b);
        theta[g][2] = _mm512_fnmadd_pd(change, t, c);
        theta[g][3] = _mm512_fnmadd_pd(_mm512_mul_pd(moved, c), _mm512_fnmadd_pd(t, t, all(1.0)), d);
    }
}

void tanh_one(double *state, uint64_t *words, const double *x, const double *y, double eta, double sigma, long n,
              long batch, long replicas, long first, long last, long steps, double *sums) {
    tanh_table k = make_tanh();
    double xs[8] = {0}, labels[8] = {0};
    for (int j = 0; j < 2 * n; j++) xs[j] = x[j >> 1], labels[j] = y[j >> 1] + ((j & 1) ? -sigma : sigma);
    vec xv = _mm512_loadu_pd(xs), lv = _mm512_loadu_pd(labels), rate = all(eta), total[14];
    word choices = _mm512_set1_epi64(2 * n);
    vec buffer[CHUNK * ONE_GROUPS][4];
    for (int j = 0; j < 14; j++) total[j] = all(0.0);
    for (long r = first; r < last; r += 8 * ONE_GROUPS) {
        vec theta[ONE_GROUPS][4];
        lanes generators[ONE_GROUPS];
        EACH load_theta(theta[g], state + r + 8 * g, replicas);
        EACH generators[g] = load_lanes(words + r + 8 * g, replicas);
        for (long chunk = 0; chunk < steps; chunk += CHUNK) {
            for (int step = 0; step < CHUNK; step += 2) {
                word drawn[ONE_GROUPS], halves[ONE_GROUPS];
                EACH drawn[g] = next_word(&generators[g]);
                if (STATISTICS) EACH UNROLL for (int j = 0; j < 4; j++) buffer[ONE_GROUPS * step + g][j] = theta[g][j];
                EACH halves[g] = _mm512_mul_epu32(drawn[g], choices);
                one_step(&k, theta, halves, xv, lv, rate);
                if (STATISTICS)
                    EACH UNROLL for (int j = 0; j < 4; j++) buffer[ONE_GROUPS * (step + 1) + g][j] = theta[g][j];
                EACH halves[g] = _mm512_mul_epu32(_mm512_srli_epi64(drawn[g], 32), choices);
                one_step(&k, theta, halves, xv, lv, rate);
            }
            if (STATISTICS) add_moments(total, buffer[0], CHUNK * ONE_GROUPS);
        }
        EACH store_theta(state + r + 8 * g, replicas, theta[g]);
        EACH store_lanes(words + r + 8 * g, replicas, &generators[g]);
    }
    for (int j = 0; j < 14; j++) sums[j] += _mm512_reduce_add_pd(total[j]);
}

#undef EACH
#define EACH UNROLL for (int g = 0; g < FULL_GROUPS; g++)

void tanh_full(double *state, uint64_t *words, const double *x, const double *y, double eta, double sigma, long n,
               long batch, long replicas, long first, long last, long steps, double *sums) {
    tanh_table k = make_tanh();
    vec labels[3], xs[3], rate = all(eta / 3), total[14];
    vec buffer[CHUNK * FULL_GROUPS][4];
    for (int i = 0; i < 3; i++) {
        double entries[8];
        for (int j = 0; j < 8; j++) entries[j] = y[i] + ((j >> i & 1) ? -sigma : sigma);
        labels[i] = _mm512_loadu_pd(entries), xs[i] = all(x[i]);
    }
    for (int j = 0; j < 14; j++) total[j] = all(0.0);
    for (long r = first; r < last; r += 8 * FULL_GROUPS) {
        vec theta[FULL_GROUPS][4];
        lanes generators[FULL_GROUPS];
        EACH load_theta(theta[g], state + r + 8 * g, replicas);
        EACH generators[g] = load_lanes(words + r + 8 * g, replicas);
        for (long chunk = 0; chunk < steps; chunk += CHUNK) {
            word bits[FULL_GROUPS];
            EACH bits[g] = next_word(&generators[g]);
            for (int step = 0; step < CHUNK; step++) {
                vec gradient[FULL_GROUPS][4];
                EACH UNROLL for (int j = 0; j < 4; j++) {
                    if (STATISTICS) buffer[FULL_GROUPS * step + g][j] = theta[g][j];
                    gradient[g][j] = all(0.0);
                }
                UNROLL for (int i = 0; i < 3; i++)
                    EACH sample(&k, theta[g], xs[i], _mm512_permutexvar_pd(bits[g], labels[i]), gradient[g]);
                EACH {
                    vec a = _mm512_mul_pd(theta[g][0], rate), c = _mm512_mul_pd(theta[g][2], rate);
                    theta[g][0] = _mm512_fnmadd_pd(rate, gradient[g][0], theta[g][0]);
                    theta[g][1] = _mm512_fnmadd_pd(a, gradient[g][1], theta[g][1]);
                    theta[g][2] = _mm512_fnmadd_pd(rate, gradient[g][2], theta[g][2]);
                    theta[g][3] = _mm512_fnmadd_pd(c, gradient[g][3], theta[g][3]);
                    bits[g] = _mm512_srli_epi64(bits[g], 3);
                }
            }
            if (STATISTICS) add_moments(total, buffer[0], CHUNK * FULL_GROUPS);
        }
        EACH store_theta(state + r + 8 * g, replicas, theta[g]);
        EACH store_lanes(words + r + 8 * g, replicas, &generators[g]);
    }
    for (int j = 0; j < 14; j++) sums[j] += _mm512_reduce_add_pd(total[j]);
}
