/* SSIM with 7x7 uniform windows and the squared error of two pictures, for distort/metrics.py.
 *
 * Window sums are integers, so they are exact. The float32 arithmetic is, operation by operation, that of the numpy
 * version in metrics.py; build it without contraction to fused multiply-add, and both give the same bits.
 */

#include <stdint.h>

#define WINDOW 7
#define PIXELS 49 /* in a window */

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#define FOR_EVERY_PROCESSOR __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define FOR_EVERY_PROCESSOR
#endif

#ifdef _WIN32
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC
#endif

/* The sum of (x - y)^2 over count samples. */
PUBLIC FOR_EVERY_PROCESSOR int64_t squared_error(const uint8_t *restrict x, const uint8_t *restrict y, int64_t count)
{
    int64_t total = 0;
    for (int64_t start = 0; start < count; start += 16384) { /* 16384 * 255^2 < 2^31 */
        int64_t stop = start + 16384 < count ? start + 16384 : count;
        int32_t part = 0;
        for (int64_t i = start; i < stop; i++) {
            int32_t difference = x[i] - y[i];
            part += difference * difference;
        }
        total += part;
    }
    return total;
}

static inline int32_t across(const int32_t *column, int64_t step)
{
    int32_t sum = 0;
    for (int64_t k = 0; k < WINDOW; k++)
        sum += column[k * step];
    return sum;
}

/* SSIM of every window inside two pictures of height rows of length interleaved samples, step samples a pixel.
 * work: 4 * length values. out: (height - 6) rows of (length - 6 * step) values. c1, c2: the constants of SSIM, times
 * 49 * 49 and 49 * 48.
 */
PUBLIC FOR_EVERY_PROCESSOR void window_ssim(const uint8_t *restrict x, const uint8_t *restrict y, int64_t height,
                                            int64_t length, int64_t step, float c1, float c2,
                                            int32_t *restrict work, float *restrict out)
{
    /* Sums down the columns of the current seven rows: of x, y, x^2 + y^2 and xy. */
    int32_t *restrict sum_x = work, *restrict sum_y = work + length;
    int32_t *restrict squares = work + 2 * length, *restrict products = work + 3 * length;
    int64_t width = length - (WINDOW - 1) * step;
    for (int64_t i = 0; i < 4 * length; i++)
        work[i] = 0;
    for (int64_t row = 0; row < height; row++) {
        const uint8_t *new_x = x + row * length, *new_y = y + row * length;
        if (row < WINDOW) {
            for (int64_t i = 0; i < length; i++) {
                int32_t a = new_x[i], b = new_y[i];
                sum_x[i] += a, sum_y[i] += b;
                squares[i] += a * a + b * b, products[i] += a * b;
            }
        } else {
            const uint8_t *old_x = new_x - WINDOW * length, *old_y = new_y - WINDOW * length;
            for (int64_t i = 0; i < length; i++) {
                int32_t a = new_x[i], b = new_y[i], c = old_x[i], d = old_y[i];
                sum_x[i] += a - c, sum_y[i] += b - d;
                squares[i] += a * a + b * b - c * c - d * d, products[i] += a * b - c * d;
            }
        }
        if (row < WINDOW - 1)
            continue;
        float *restrict line = out + (row - (WINDOW - 1)) * width;
        for (int64_t i = 0; i < width; i++) {
            int32_t sx = across(sum_x + i, step), sy = across(sum_y + i, step);
            int32_t product = sx * sy, square_x = sx * sx, square_y = sy * sy; /* at most (49 * 255)^2 < 2^31 */
            int32_t covariance = across(products + i, step) * PIXELS - product;
            int32_t variances = across(squares + i, step) * PIXELS - square_x - square_y;
            float above = (float)product * 2 + c1;
            above *= (float)covariance * 2 + c2;
            float below = ((float)square_x + c1) + (float)square_y;
            below *= (float)variances + c2;
            line[i] = above / below;
        }
    }
}
