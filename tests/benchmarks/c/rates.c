/* Doubles per second through the fused multiply-add and the division of one core: chains enough to hide the latency. */

#include "simd.h"
#include <time.h>

#define CHAINS 10
#define EACH UNROLL for (int k = 0; k < CHAINS; k++)

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

static double sink;

double fused(long steps) {
    vec chain[CHAINS], factor = all(0.999), term = all(0.001);
    EACH chain[k] = all(k);
    double began = seconds();
    for (long t = 0; t < steps; t++) EACH {
        chain[k] = fmadd(chain[k], factor, term);
        __asm__ volatile("" : "+x"(chain[k]));
    }
    double took = seconds() - began;
    EACH sink += total_of(chain[k]);
    return (double)steps * CHAINS * LANES / took;
}

double divisions(long steps) {
    vec chain[CHAINS], numerator = all(1.7);
    EACH chain[k] = all(1.3);
    double began = seconds();
    for (long t = 0; t < steps; t++) EACH {
        chain[k] = divided(numerator, chain[k]);
        __asm__ volatile("" : "+x"(chain[k]));
    }
    double took = seconds() - began;
    EACH sink += total_of(chain[k]);
    return (double)steps * CHAINS * LANES / took;
}
