//! `strftime_now` for a day that the caller names: this crate has no clock.

use minijinja::{Error, ErrorKind};

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// `date`, `2025-06-28`, as Python's `strftime` writes it, at midnight.
pub(super) fn strftime(date: Option<&str>, format: &str) -> Result<String, Error> {
    let date = date.ok_or_else(|| refuse("the template asks for the date, and the request has none".into()))?;
    let (year, month, day) = parse(date).ok_or_else(|| refuse(format!("`{date}` is not a date like 2025-06-28")))?;
    let weekday = WEEKDAYS[weekday(year, month, day)];
    let month_name = MONTHS[month as usize - 1];
    let mut text = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let (padded, code) = match chars.next() {
            Some('-') => (false, chars.next()),
            code => (true, code),
        };
        let number = |n: u32| if padded { format!("{n:02}") } else { n.to_string() };
        text.push_str(&match code {
            Some('Y') => format!("{year:04}"),
            Some('y') => number(year % 100),
            Some('m') => number(month),
            Some('d') => number(day),
            Some('e') => format!("{day:2}"),
            Some('B') => month_name.into(),
            Some('b' | 'h') => month_name[..3].into(),
            Some('A') => weekday.into(),
            Some('a') => weekday[..3].into(),
            Some('F') => format!("{year:04}-{month:02}-{day:02}"),
            Some('H' | 'M' | 'S') => number(0),
            Some('%') => "%".into(),
            other => {
                let code: String = other.into_iter().collect();
                return Err(refuse(format!("date format `%{code}` is not supported")));
            }
        });
    }
    Ok(text)
}

/// Year, month from 1, day from 1.
fn parse(date: &str) -> Option<(u32, u32, u32)> {
    let mut parts = date.splitn(3, '-');
    let mut number = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let n_days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=n_days).contains(&day).then_some((year, month, day))
}

/// Days since Sunday, by Sakamoto's method.
fn weekday(year: u32, month: u32, day: u32) -> usize {
    const SHIFT: [u32; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
    // 400 years are a whole number of weeks; adding them keeps year 0 from going below it.
    let year = year + 400 - u32::from(month < 3);
    let days = year + year / 4 - year / 100 + year / 400 + SHIFT[month as usize - 1] + day;
    (days % 7) as usize
}

fn refuse(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
