//! Scalar functions without branches, so that loops over them become vector code in whatever instruction set the
//! caller is compiled for: hence `inline(always)` everywhere, and the type parameter that says whether there is FMA.

use pulp::Simd;

/// a * b + c: fused where that is an instruction, and not a call into libm.
#[inline(always)]
pub(super) fn mul_add<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    if S::IS_SCALAR { a * b + c } else { a.mul_add(b, c) }
}

/// 1.5 x 2^23: added to a float below 2^22, it leaves the float's nearest integer in the low bits of the sum.
const ROUNDING: f32 = 12_582_912.0;

/// The nearest whole number, of values below 2^22 in size.
#[inline(always)]
pub(super) fn round(value: f32) -> f32 {
    (value + ROUNDING) - ROUNDING
}

/// The low byte of the nearest whole number of a value in [0, 255].
#[inline(always)]
pub(super) fn round_to_byte(value: f32) -> u8 {
    (value + ROUNDING).to_bits() as u8
}

/// e^x for x in [-87, 0], relative error below 2e-7; smaller x give e^-87, which no sum notices.
///
/// Cody and Waite's reduction by ln 2 in two parts, then the polynomial of Cephes' expf
/// (<https://www.netlib.org/cephes/>).
#[inline(always)]
pub(super) fn exp<S: Simd>(x: f32) -> f32 {
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = mul_add::<S>(x, std::f32::consts::LOG2_E, ROUNDING);
    let whole = shifted - ROUNDING;
    let rest = mul_add::<S>(whole, -0.693_359_4, x);
    let rest = mul_add::<S>(whole, 2.121_944_4e-4, rest);
    let mut sum = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = mul_add::<S>(sum, rest, coefficient);
    }
    let fraction = mul_add::<S>(sum * rest, rest, rest) + 1.0;
    // The low bits of `shifted` are the exponent, as in `round_to_byte`.
    let exponent = shifted.to_bits().wrapping_add(127) << 23;
    fraction * f32::from_bits(exponent)
}

/// The error function, absolute error below 1e-6: the rational approximation that Eigen and XLA use
/// (Eigen, `generic_fast_erf_float`), whose clamp at 4 is where the function is 1 in single precision.
#[inline(always)]
fn erf<S: Simd>(x: f32) -> f32 {
    let x = if x < -4.0 { -4.0 } else { x };
    let x = if x > 4.0 { 4.0 } else { x };
    let square = x * x;
    let mut above = -2.726_142_3e-10;
    for coefficient in [2.770_681_4e-8, -2.101_024_1e-6, -5.692_506_4e-5, -7.349_906e-4, -2.954_6e-3, -1.609_603_3e-2] {
        above = mul_add::<S>(above, square, coefficient);
    }
    let mut below = -1.456_607_2e-5;
    for coefficient in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2] {
        below = mul_add::<S>(below, square, coefficient);
    }
    x * above / below
}

/// x Phi(x), of Hendrycks and Gimpel, <https://arxiv.org/abs/1606.08415>.
#[inline(always)]
pub(super) fn gelu<S: Simd>(x: f32) -> f32 {
    let half = 0.5 * x;
    mul_add::<S>(half, erf::<S>(x * std::f32::consts::FRAC_1_SQRT_2), half)
}

/// The same with the tanh approximation of that paper (`gelu_new`), written with the logistic function:
/// x / (1 + e^(-2 sqrt(2 / pi) (x + 0.044715 x^3))).
#[inline(always)]
pub(super) fn gelu_tanh<S: Simd>(x: f32) -> f32 {
    let inner = 1.595_769 * mul_add::<S>(0.044_715 * x * x, x, x);
    let small = exp::<S>(-inner.abs());
    let positive = if inner < 0.0 { small } else { 1.0 };
    x * positive / (1.0 + small)
}

/// Combines all lanes, halves first: the same order, and so the same result, whatever the vectors are.
#[inline(always)]
pub(super) fn fold<const N: usize>(mut lanes: [f32; N], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = N / 2;
    while half > 0 {
        for at in 0..half {
            lanes[at] = combine(lanes[at], lanes[at + half]);
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::Scalar;

    /// erf by its Maclaurin series in double precision: good to 1e-12 for |x| <= 4.
    fn exact_erf(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    fn grid(from: f32, to: f32) -> impl Iterator<Item = f32> {
        (0..=10_000).map(move |step| from + (to - from) * step as f32 / 10_000.0)
    }

    #[test]
    fn exp_is_that_of_the_standard_library() {
        for x in grid(-87.0, 0.0) {
            let (found, expected) = (f64::from(exp::<Scalar>(x)), f64::from(x).exp());
            assert!((found / expected - 1.0).abs() < 4e-7, "exp({x}) is {found}, not {expected}");
        }
        assert_eq!(exp::<Scalar>(0.0), 1.0);
        assert!(exp::<Scalar>(f32::NEG_INFINITY) < 2e-38);
    }

    #[test]
    fn erf_is_that_of_its_series() {
        for x in grid(-4.0, 4.0) {
            let (found, expected) = (f64::from(erf::<Scalar>(x)), exact_erf(f64::from(x)));
            assert!((found - expected).abs() < 1e-6, "erf({x}) is {found}, not {expected}");
        }
        assert!((erf::<Scalar>(50.0) - 1.0).abs() < 1e-6 && (erf::<Scalar>(-50.0) + 1.0).abs() < 1e-6);
    }

    #[test]
    fn both_gelus_are_what_their_paper_says() {
        for x in grid(-10.0, 10.0) {
            let exact = f64::from(x);
            let by_tanh = 0.5 * exact * (1.0 + (0.797_884_560_8 * (exact + 0.044_715 * exact.powi(3))).tanh());
            assert!((f64::from(gelu_tanh::<Scalar>(x)) - by_tanh).abs() < 2e-6, "gelu_tanh({x})");
            if x.abs() <= 5.0 {
                let by_erf = 0.5 * exact * (1.0 + exact_erf(exact * std::f64::consts::FRAC_1_SQRT_2));
                assert!((f64::from(gelu::<Scalar>(x)) - by_erf).abs() < 3e-6, "gelu({x})");
            }
        }
        assert_eq!(gelu::<Scalar>(0.0), 0.0);
    }

    #[test]
    fn folding_takes_every_lane_once() {
        assert_eq!(fold([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0], |a, b| a + b), 255.0);
        assert_eq!(fold([3.0], |a, b| a + b), 3.0);
        assert_eq!(fold([1.0, 9.0, 2.0, 3.0], f32::max), 9.0);
    }

    #[test]
    fn rounding_is_to_the_nearest() {
        for (value, expected) in [(0.0, 0), (0.4, 0), (0.6, 1), (126.6, 127), (127.0, 127), (254.7, 255)] {
            assert_eq!(round_to_byte(value), expected);
            assert_eq!(round(value), f32::from(expected));
        }
    }
}
