"""Means, standard deviations, and Welch's (1947) interval for a difference of means, which allows different variances."""

import math
from dataclasses import dataclass

FEWEST = 3  # seeds per net that an interval needs


def mean(values):
    return math.fsum(values) / len(values)


def deviation(values):
    """The sample standard deviation, or None for fewer than two values."""
    if len(values) < 2:
        return None
    center = mean(values)
    return math.sqrt(math.fsum((value - center) ** 2 for value in values) / (len(values) - 1))


def incomplete_beta(a, b, x):
    """The regularized incomplete beta function I_x(a, b), by its continued fraction (Lentz's method)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges faster there
        return 1 - incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), tiny)
    product = d
    for m in range(1, 10000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / ((1 + term * d) or tiny)
            c = (1 + term / c) or tiny
            product *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * product


def t_cdf(t, freedom):
    """The CDF of Student's t distribution; `freedom` may be fractional."""
    tail = incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2
    return 1 - tail if t > 0 else tail


def t_quantile(probability, freedom):
    """The quantile of Student's t distribution, for 0.5 <= probability < 1."""
    low, high = 0.0, 1.0
    while t_cdf(high, freedom) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class Interval:
    difference: float  # difference of the means
    low: float
    high: float


def welch(a, b, level=0.95):
    """The confidence interval of mean(a) - mean(b), or None if either has fewer than 3 values."""
    if min(len(a), len(b)) < FEWEST:
        return None
    difference = mean(a) - mean(b)
    parts = [deviation(values) ** 2 / len(values) for values in (a, b)]
    variance = sum(parts)
    if variance == 0:
        return Interval(difference, difference, difference)
    freedom = variance**2 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, (a, b)))
    half = t_quantile((1 + level) / 2, freedom) * math.sqrt(variance)
    return Interval(difference, difference - half, difference + half)
