//! Numbers of 16 bits, widened without branches so that the compiler makes SIMD of it, which it
//! cannot of a conversion that looks at every kind of number.

/// A format of 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// IEEE 754's binary16.
    F16,
    /// The upper half of an f32.
    BF16,
}

impl Format {
    /// The nearest number of this format.
    pub(super) fn narrow(self, value: f32) -> u16 {
        match self {
            Self::F16 => half::f16::from_f32(value).to_bits(),
            Self::BF16 => half::bf16::from_f32(value).to_bits(),
        }
    }

    /// `wide` becomes these numbers, exactly. All are finite.
    #[inline(always)]
    pub(super) fn widen<const N: usize>(self, halves: &[[u16; N]], wide: &mut Vec<[f32; N]>) {
        wide.resize(halves.len(), [0.0; N]);
        match self {
            Self::F16 => each(halves, wide, f16),
            Self::BF16 => each(halves, wide, |half| f32::from_bits(u32::from(half) << 16)),
        }
    }
}

#[inline(always)]
fn each<const N: usize>(halves: &[[u16; N]], wide: &mut [[f32; N]], widen: impl Fn(u16) -> f32) {
    for (wide, halves) in wide.iter_mut().zip(halves) {
        for (wide, half) in wide.iter_mut().zip(halves) {
            *wide = widen(*half);
        }
    }
}

/// A finite binary16.
#[inline(always)]
fn f16(half: u16) -> f32 {
    /// 2^-14, the least normal number: as f32, with room for the mantissa below.
    const LEAST: u32 = 0x3880_0000;
    let (sign, magnitude) = (u32::from(half & 0x8000) << 16, u32::from(half & 0x7fff));
    let shifted = magnitude << 13;
    // The exponents' biases are 15 and 127.
    let normal = shifted + (112 << 23);
    // A mantissa without its leading 1 is what is above 2^-14 with it.
    let small = f32::from_bits(shifted | LEAST) - f32::from_bits(LEAST);
    let absolute = match magnitude < 0x0400 {
        true => small.to_bits(),
        false => normal,
    };
    f32::from_bits(absolute | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_number_comes_back() {
        for bits in 0..=u16::MAX {
            let (ieee, brain) = (half::f16::from_bits(bits), half::bf16::from_bits(bits));
            for (format, number) in [(Format::F16, ieee.to_f32()), (Format::BF16, brain.to_f32())] {
                if number.is_finite() {
                    let mut wide = Vec::new();
                    format.widen(&[[bits]], &mut wide);
                    assert_eq!(
                        wide[0][0].to_bits(),
                        number.to_bits(),
                        "{format:?} {bits:#x}"
                    );
                    assert_eq!(format.narrow(number), bits);
                }
            }
        }
    }
}
