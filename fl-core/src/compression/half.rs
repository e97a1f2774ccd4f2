//! IEEE 754's half precision: ten bits after the binary point, from 6e-8 to 65,504.

/// The largest finite half.
pub(crate) const MOST: f32 = 65_504.0;

/// The nearest half, of two equally near ones the even; beyond [`MOST`] that.
pub(crate) fn from_f32(value: f32) -> u16 {
    let sign = (value.to_bits() >> 16) as u16 & 0x8000;
    let size = value.abs().min(MOST);
    // Below 2^-14 halves are multiples of 2^-24: adding a number whose last bit is worth that
    // makes the processor round to one.
    let smallest_normal = f32::from_bits(113 << 23);
    if size < smallest_normal {
        let magic = f32::from_bits(126 << 23);
        let bits = (size + magic).to_bits() - magic.to_bits();
        return sign | bits as u16;
    }
    let bits = size.to_bits() - (112 << 23);
    let rounded = bits + 0xfff + (bits >> 13 & 1);
    sign | (rounded >> 13) as u16
}

/// The value of a half; exact.
pub(crate) fn to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let exponent = u32::from(half >> 10 & 0x1f);
    let fraction = u32::from(half & 0x3ff);
    let bits = match exponent {
        0 => (fraction as f32 * f32::from_bits(103 << 23)).to_bits(),
        31 => 0xff << 23 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_finite_half_survives() {
        for half in 0..=u16::MAX {
            if half & 0x7c00 != 0x7c00 {
                assert_eq!(from_f32(to_f32(half)), half, "{half:#x}");
            }
        }
    }

    #[test]
    fn known_values_are_met() {
        let known = [
            (0.0, 0x0000),
            (-0.0, 0x8000),
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            (65_504.0, 0x7bff),
            (1e9, 0x7bff),
            // 2^-24 and half of it, which is even down to zero.
            (5.960_464_5e-8, 0x0001),
            (2.980_232_2e-8, 0x0000),
            // Between 1 and the next half, and between that and the one after it.
            (1.000_488_3, 0x3c00),
            (1.001_464_8, 0x3c02),
        ];
        for (value, half) in known {
            assert_eq!(from_f32(value), half, "{value}");
        }
        assert!(to_f32(0x7e00).is_nan() && to_f32(0x7c00).is_infinite());
    }

    proptest! {
        #[test]
        fn rounding_is_within_half_a_step(value in -65_504f32..65_504.0, scale in -20i32..0) {
            let value = value * 2f32.powi(scale);
            let error = (to_f32(from_f32(value)) - value).abs();
            prop_assert!(error <= (value.abs() / 2048.0).max(2.98e-8));
        }
    }
}
