//! Numbers with fixed decimals, in integers: a float could be written differently on another machine.

/// `value` divided by ten to the power of `decimals`, with as many decimals.
pub fn decimals(value: u64, decimals: u32) -> String {
    if decimals == 0 {
        return value.to_string();
    }
    let one = 10_u64.pow(decimals);
    format!("{}.{:0width$}", value / one, value % one, width = decimals as usize)
}

/// With a comma at every three digits.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The nearest integer to `numerator / denominator`, halves up.
///
/// # Panics
///
/// If `denominator` is 0, or the result does not fit.
pub fn rounded(numerator: u128, denominator: u128) -> u64 {
    u64::try_from((numerator + denominator / 2) / denominator).expect("a quotient of 64 bits")
}

/// `part` of `whole` in tenths of a percent.
pub fn per_mille(part: u64, whole: u64) -> u64 {
    rounded(u128::from(part) * 1000, u128::from(whole))
}

/// Per mille as a percentage with one decimal.
pub fn percent(per_mille: u64) -> String {
    format!("{} %", decimals(per_mille, 1))
}

/// Bytes in thousands, with one decimal.
pub fn kilobytes(bytes: u64) -> String {
    format!("{} kB", decimals(rounded(u128::from(bytes), 100), 1))
}

/// The mean of some numbers, times `scale`.
pub fn mean(numbers: impl IntoIterator<Item = u64>, scale: u64) -> u64 {
    let (sum, count) = numbers.into_iter().fold((0_u128, 0_u128), |(sum, count), n| (sum + u128::from(n), count + 1));
    rounded(sum * u128::from(scale), count.max(1))
}

/// The standard deviation of a sample, times `scale`, cut off. 0 for less than two numbers.
pub fn deviation(numbers: &[u64], scale: u64) -> u64 {
    let count = numbers.len() as u128;
    if count < 2 {
        return 0;
    }
    let sum: u128 = numbers.iter().map(|n| u128::from(*n)).sum();
    let squares: u128 = numbers.iter().map(|n| u128::from(*n).pow(2)).sum();
    let variance = (count * squares - sum * sum) * u128::from(scale).pow(2) / (count * (count - 1));
    u64::try_from(variance.isqrt()).expect("no more than the largest number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_fixed_decimals() {
        assert_eq!(decimals(3371, 2), "33.71");
        assert_eq!(decimals(5, 2), "0.05");
        assert_eq!(decimals(70, 0), "70");
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(100), "100");
        assert_eq!(percent(per_mille(1, 3)), "33.3 %");
        assert_eq!(kilobytes(17_620), "17.6 kB");
    }

    #[test]
    fn mean_and_deviation_are_those_of_the_textbook() {
        // 2, 4, 4, 4, 5, 5, 7, 9: mean 5, squared differences 32, sample variance 32/7 = 4.571, deviation 2.138.
        let numbers = [2, 4, 4, 4, 5, 5, 7, 9];
        assert_eq!(mean(numbers, 100), 500);
        assert_eq!(deviation(&numbers, 1000), 2138);
        assert_eq!(deviation(&[3], 1000), 0);
        assert_eq!(rounded(5, 2), 3);
    }
}
