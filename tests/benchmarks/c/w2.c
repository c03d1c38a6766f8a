/* f = a tanh(b x) + c tanh(d x), a few samples. Lanes over replicas, several vectors of replicas interleaved.

   tanh_one: one of at most four samples with replacement. Half a word of the generator, times 2n, gives sample and sign
   at once: an index into tables of x and of y +- sigma.
   tanh_full: n = 3, each sample once, with fresh noise; three bits of a word for a step, as in w1.c.
   theta before each step goes to a buffer; the sums are taken from it every CHUNK steps, all in registers. */

#include "common.h"

#ifndef ONE_GROUPS
#define ONE_GROUPS 4
#endif
#ifndef FULL_GROUPS
#define FULL_GROUPS (ACCURATE ? 4 : 2)
#endif
#define CHUNK 16 /* steps; 64 must be a multiple of it */

INLINE void add_moments(vec *restrict total, const vec *restrict buffer, long count) {
    vec sum[14];
    for (int k = 0; k < 14; k++) sum[k] = total[k];
    for (long i = 0; i < count; i++) {
        vec p[4];
        UNROLL for (int j = 0; j < 4; j++) p[j] = buffer[4 * i + j];
        UNROLL for (int j = 0; j < 4; j++) sum[j] = add(sum[j], p[j]);
        UNROLL for (int j = 0; j < 4; j++) sum[4 + j] = fmadd(p[0], p[j], sum[4 + j]);
        UNROLL for (int j = 1; j < 4; j++) sum[7 + j] = fmadd(p[1], p[j], sum[7 + j]);
        UNROLL for (int j = 2; j < 4; j++) sum[9 + j] = fmadd(p[2], p[j], sum[9 + j]);
        sum[13] = fmadd(p[3], p[3], sum[13]);
    }
    for (int k = 0; k < 14; k++) total[k] = sum[k];
}

/* The part of a sample's step that needs its x and y + noise: adds to the four components of the gradient, where those
   of b and d lack the factors a and c. */
INLINE void sample(const tanh_table *k, const vec *theta, vec x, vec label, vec *gradient) {
    vec s, t;
    tanh_two(k, mul(theta[1], x), mul(theta[3], x), &s, &t);
    vec r = fmadd(theta[0], s, fmsub(theta[2], t, label));
    vec rx = mul(r, x);
    gradient[0] = fmadd(r, s, gradient[0]);
    gradient[1] = fmadd(rx, fnmadd(s, s, all(1.0)), gradient[1]);
    gradient[2] = fmadd(r, t, gradient[2]);
    gradient[3] = fmadd(rx, fnmadd(t, t, all(1.0)), gradient[3]);
}

INLINE void load_theta(vec *theta, const double *from, long stride) {
    UNROLL for (int j = 0; j < 4; j++) theta[j] = load(from + j * stride);
}

INLINE void store_theta(double *to, long stride, const vec *theta) {
    UNROLL for (int j = 0; j < 4; j++) store(to + j * stride, theta[j]);
}

#define EACH UNROLL for (int g = 0; g < ONE_GROUPS; g++)

INLINE void one_step(const tanh_table *k, vec theta[][4], const word *halves, eight xs, eight labels, vec eta) {
    EACH {
        word index = RIGHT(halves[g], 32);
        vec x = pick(xs, index), label = pick(labels, index), s, t;
        vec a = theta[g][0], b = theta[g][1], c = theta[g][2], d = theta[g][3];
        tanh_two(k, mul(b, x), mul(d, x), &s, &t);
        vec change = mul(fmadd(a, s, fmsub(c, t, label)), eta);
        vec moved = mul(change, x);
        theta[g][0] = fnmadd(change, s, a);
        theta[g][1] = fnmadd(mul(moved, a), fnmadd(s, s, all(1.0)), b);
        theta[g][2] = fnmadd(change, t, c);
        theta[g][3] = fnmadd(mul(moved, c), fnmadd(t, t, all(1.0)), d);
    }
}

void tanh_one(double *state, uint64_t *words, const double *x, const double *y, double eta, double sigma, long n,
              long batch, long replicas, long first, long last, long steps, double *sums) {
    tanh_table k = make_tanh();
    double xs[8] = {0}, labels[8] = {0};
    for (int j = 0; j < 2 * n; j++) xs[j] = x[j >> 1], labels[j] = y[j >> 1] + ((j & 1) ? -sigma : sigma);
    eight xv = load_eight(xs), lv = load_eight(labels);
    vec rate = all(eta), total[14];
    word choices = all_words(2 * n);
    vec buffer[CHUNK * ONE_GROUPS][4];
    for (int j = 0; j < 14; j++) total[j] = all(0.0);
    for (long r = first; r < last; r += LANES * ONE_GROUPS) {
        vec theta[ONE_GROUPS][4];
        lanes generators[ONE_GROUPS];
        EACH load_theta(theta[g], state + r + LANES * g, replicas);
        EACH generators[g] = load_lanes(words + r + LANES * g, replicas);
        for (long chunk = 0; chunk < steps; chunk += CHUNK) {
            for (int step = 0; step < CHUNK; step += 2) {
                word drawn[ONE_GROUPS], halves[ONE_GROUPS];
                EACH drawn[g] = next_word(&generators[g]);
                if (STATISTICS) EACH UNROLL for (int j = 0; j < 4; j++) buffer[ONE_GROUPS * step + g][j] = theta[g][j];
                EACH halves[g] = times_low(drawn[g], choices);
                one_step(&k, theta, halves, xv, lv, rate);
                if (STATISTICS)
                    EACH UNROLL for (int j = 0; j < 4; j++) buffer[ONE_GROUPS * (step + 1) + g][j] = theta[g][j];
                EACH halves[g] = times_low(RIGHT(drawn[g], 32), choices);
                one_step(&k, theta, halves, xv, lv, rate);
            }
            if (STATISTICS) add_moments(total, buffer[0], CHUNK * ONE_GROUPS);
        }
        EACH store_theta(state + r + LANES * g, replicas, theta[g]);
        EACH store_lanes(words + r + LANES * g, replicas, &generators[g]);
    }
    for (int j = 0; j < 14; j++) sums[j] += total_of(total[j]);
}

#undef EACH
#define EACH UNROLL for (int g = 0; g < FULL_GROUPS; g++)

void tanh_full(double *state, uint64_t *words, const double *x, const double *y, double eta, double sigma, long n,
               long batch, long replicas, long first, long last, long steps, double *sums) {
    tanh_table k = make_tanh();
    choice labels[3];
    vec xs[3], rate = all(eta / 3), total[14];
    vec buffer[CHUNK * FULL_GROUPS][4];
    for (int i = 0; i < 3; i++) labels[i] = make_choice(i, y[i] + sigma, y[i] - sigma), xs[i] = all(x[i]);
    for (int j = 0; j < 14; j++) total[j] = all(0.0);
    for (long r = first; r < last; r += LANES * FULL_GROUPS) {
        vec theta[FULL_GROUPS][4];
        lanes generators[FULL_GROUPS];
        EACH load_theta(theta[g], state + r + LANES * g, replicas);
        EACH generators[g] = load_lanes(words + r + LANES * g, replicas);
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
                    EACH sample(&k, theta[g], xs[i], CHOSEN(labels[i], bits[g], i), gradient[g]);
                EACH {
                    vec a = mul(theta[g][0], rate), c = mul(theta[g][2], rate);
                    theta[g][0] = fnmadd(rate, gradient[g][0], theta[g][0]);
                    theta[g][1] = fnmadd(a, gradient[g][1], theta[g][1]);
                    theta[g][2] = fnmadd(rate, gradient[g][2], theta[g][2]);
                    theta[g][3] = fnmadd(c, gradient[g][3], theta[g][3]);
                    bits[g] = next_three(bits[g]);
                }
            }
            if (STATISTICS) add_moments(total, buffer[0], CHUNK * FULL_GROUPS);
        }
        EACH store_theta(state + r + LANES * g, replicas, theta[g]);
        EACH store_lanes(words + r + LANES * g, replicas, &generators[g]);
    }
    for (int j = 0; j < 14; j++) sums[j] += total_of(total[j]);
}
