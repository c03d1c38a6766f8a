/* What the C reference shares: xoshiro256++ in all lanes, and a branch-free tanh.

   A function works on replicas first..last-1 for `steps` steps; theta and the words of the generators go on, the sums
   are added to. STATISTICS=0 compiles the sums away. */

#include "simd.h"

#ifndef STATISTICS
#define STATISTICS 1
#endif

typedef struct {
    word a, b, c, d;
} lanes;

INLINE lanes load_lanes(const uint64_t *from, long stride) {
    return (lanes){load_words(from), load_words(from + stride), load_words(from + 2 * stride),
                   load_words(from + 3 * stride)};
}

INLINE void store_lanes(uint64_t *to, long stride, const lanes *s) {
    store_words(to, s->a);
    store_words(to + stride, s->b);
    store_words(to + 2 * stride, s->c);
    store_words(to + 3 * stride, s->d);
}

/* xoshiro256++ (Blackman, Vigna 2021): one 64-bit word for each lane. */
INLINE word next_word(lanes *s) {
    word result = add_words(ROTATED(add_words(s->a, s->d), 23), s->a);
    word shifted = LEFT(s->b, 17);
    word c = differing(s->c, s->a), d = differing(s->d, s->b);
    s->b = differing_three(s->b, s->c, s->a);
    s->a = differing(s->a, d);
    s->c = differing(c, shifted);
    s->d = ROTATED(d, 45);
    return result;
}

#ifndef ACCURATE
#define ACCURATE 0
#endif

/* tanh to 4 ulp, near zero too, as flatmin's kernels have it: with tanh(r) = odd/even and h = (2^m - 1)/2,
   tanh(m log(2)/2 + r) = (h (even + odd) + odd)/(h (even + odd) + even). */
INLINE vec tanh_to_ulps(vec w) {
    const double magic = 0x1.8p52 + 1022.0;
    word sign = both(as_words(w), all_words(0x8000000000000000));
    vec size = smaller(as_vec(differing(as_words(w), sign)), all(22.18070977791825));
    vec shifted = fmadd(size, all(2 * 1.4426950408889634), all(magic));
    vec r = fnmadd(sub(shifted, all(magic)), all(0.5 * 0.6931471805599453), size);
    vec half = sub(as_vec(LEFT(as_words(shifted), 52)), all(0.5)), square = mul(r, r);
    vec top = fmadd(square, all(0.00105741958596825), all(0.1110993805815367));
    vec odd = fmadd(r, mul(square, top), r);
    vec even = fmadd(square, fmadd(square, all(0.015868324226120546), all(0.4444327139148643)), all(1.0));
    vec total = add(even, odd), upper = fmadd(half, total, odd), lower = fmadd(half, total, even);
    return as_vec(differing(as_words(quotient(upper, lower)), sign));
}

/* tanh(w) = 1 - 1/D, D = (exp(2w) + 1)/2, absolute error below 8e-16, so that the caller can share an inverse.
   With k = round(E w/log 2), E = 2 TANH_ENTRIES: exp(2w) = 2^(2k/E) exp(2r), r = w - k log(2)/E; 2^(2k/E) is an entry of
   a table, halved, with the rest of k added to the exponent. A table of sixteen is one instruction with AVX-512 (then
   |r| < 0.011), one of four is four with AVX2 (|r| < 0.044). */
#define TANH_LIMIT 20.0
#define TANH_MAGIC 0x1.8p52

#if LANES == 8

#define TANH_ENTRIES 16
#define TANH_BITS 4
#define TANH_DEGREE 6
static const double TANH_P[] = {
    0x1.0000000000000p+0, 0x1.000000000000ap+1, 0x1.0000000000006p+1, 0x1.555555540526dp+0,
    0x1.5555555465343p-1, 0x1.11126eecc014bp-2, 0x1.6c1851427a2f8p-4};
static const double TANH_POWERS[] = {
    0x1.0000000000000p+0, 0x1.0b5586cf9890fp+0, 0x1.172b83c7d517bp+0, 0x1.2387a6e756238p+0,
    0x1.306fe0a31b715p+0, 0x1.3dea64c123422p+0, 0x1.4bfdad5362a27p+0, 0x1.5ab07dd485429p+0,
    0x1.6a09e667f3bcdp+0, 0x1.7a11473eb0187p+0, 0x1.8ace5422aa0dbp+0, 0x1.9c49182a3f090p+0,
    0x1.ae89f995ad3adp+0, 0x1.c199bdd85529cp+0, 0x1.d5818dcfba487p+0, 0x1.ea4afa2a490dap+0};

#else

#define TANH_ENTRIES 4
#define TANH_BITS 2
#define TANH_DEGREE 7
static const double TANH_P[] = {
    0x1.0000000000000p+0, 0x1.fffffffffffffp+0, 0x1.0000000005c5ep+1, 0x1.5555555557e62p+0,
    0x1.5555546512f5dp-1, 0x1.111110a649a5bp-2, 0x1.6c2fc0c9c73a2p-4, 0x1.a03039d502330p-6};
static const double TANH_POWERS[] = {
    0x1.0000000000000p+0, 0x1.306fe0a31b715p+0, 0x1.6a09e667f3bcdp+0, 0x1.ae89f995ad3adp+0};

#endif

typedef struct {
#if LANES == 8
    word low, high; /* entries 0 to 7, 8 to 15 */
#else
    __m256 low, high; /* halves of the entries, twice */
#endif
} tanh_table;

INLINE tanh_table make_tanh(void) {
    union {
        double value;
        uint64_t bits;
        float halves[2];
    } entries[TANH_ENTRIES];
    for (int j = 0; j < TANH_ENTRIES; j++) {
        entries[j].value = 0.5 * TANH_POWERS[j];
        entries[j].bits -= (uint64_t)j << (52 - TANH_BITS);
    }
#if LANES == 8
    return (tanh_table){load_words(&entries[0].bits), load_words(&entries[8].bits)};
#else
    float low[8], high[8];
    for (int j = 0; j < 8; j++) low[j] = entries[j % 4].halves[0], high[j] = entries[j % 4].halves[1];
    return (tanh_table){_mm256_loadu_ps(low), _mm256_loadu_ps(high)};
#endif
}

INLINE word tanh_entry(const tanh_table *k, word bits) {
#if LANES == 8
    return _mm512_permutex2var_epi64(k->low, bits, k->high);
#else
    word twice = _mm256_shuffle_epi32(bits, 0xa0);
    __m256 low = _mm256_permutevar_ps(k->low, twice), high = _mm256_permutevar_ps(k->high, twice);
    return _mm256_castps_si256(_mm256_blend_ps(low, high, 0xaa));
#endif
}

INLINE vec tanh_denominator(const tanh_table *k, vec w) {
    w = limited(w, TANH_LIMIT);
    vec t = fmadd(w, all(2 * TANH_ENTRIES * 0x1.71547652b82fep+0), all(TANH_MAGIC));
    vec r = fnmadd(sub(t, all(TANH_MAGIC)), all(0x1.62e42fefa39efp-1 / (2 * TANH_ENTRIES)), w);
    word bits = as_words(t);
    vec s = as_vec(add_words(tanh_entry(k, bits), LEFT(bits, 52 - TANH_BITS)));
    vec p = all(TANH_P[TANH_DEGREE]);
    UNROLL for (int j = TANH_DEGREE - 1; j >= 0; j--) p = fmadd(p, r, all(TANH_P[j]));
    return fmadd(s, p, all(0.5));
}

/* tanh of two vectors with one inverse; a division each would be slower. ACCURATE=1 takes the tanh to 4 ulp. */
INLINE void tanh_two(const tanh_table *k, vec w1, vec w2, vec *t1, vec *t2) {
    if (ACCURATE) {
        *t1 = tanh_to_ulps(w1);
        *t2 = tanh_to_ulps(w2);
        return;
    }
    vec d1 = tanh_denominator(k, w1), d2 = tanh_denominator(k, w2), of_both = inverse(mul(d1, d2));
    *t1 = fnmadd(d2, of_both, all(1.0));
    *t2 = fnmadd(d1, of_both, all(1.0));
}

/* Draws with replacement, from half a word each: 2 times the sample plus the sign of its noise. A word of each lane is used
   up, so that there must be room for 2 LANES - 1 codes more than are wanted. */
INLINE void draw(lanes *generator, word n, uint64_t *codes, long count) {
    word choices = add_words(n, n);
    for (long b = 0; b < count; b += 2 * LANES) {
        word drawn = next_word(generator);
        store_words(codes + b, RIGHT(times_low(RIGHT(drawn, 32), choices), 32));
        store_words(codes + b + LANES, RIGHT(times_low(drawn, choices), 32));
    }
}
