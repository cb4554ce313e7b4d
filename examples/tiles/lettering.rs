//! A plain alphabet of capitals for the map's labels, drawn with a pen: each letter is a few
//! strokes on a grid whose capitals are 10 high, so that no font has to ship with the example.

use tiny_skia::PathBuilder;

use Pen::{Close, Curve, Line, Move};

/// One movement of the pen; y points down and the base line is at 10.
#[derive(Clone, Copy)]
enum Pen {
    Move(f32, f32),
    Line(f32, f32),
    /// A quadratic curve: its control point, then its end.
    Curve(f32, f32, f32, f32),
    Close,
}

const CAP_HEIGHT: f32 = 10.0;
const LETTER_SPACE: f32 = 3.4;

/// How wide a line of text is at the given cap height.
pub(crate) fn width(text: &str, cap_height: f32) -> f32 {
    let widths = text.chars().map(|letter| glyph(letter).0 + LETTER_SPACE);
    (widths.sum::<f32>() - LETTER_SPACE).max(0.0) * cap_height / CAP_HEIGHT
}

/// Adds a line of text whose middle is at `x` and whose base line is at `y`.
pub(crate) fn write(path: &mut PathBuilder, text: &str, cap_height: f32, x: f32, y: f32) {
    let scale = cap_height / CAP_HEIGHT;
    let mut left = x - width(text, cap_height) / 2.0;
    let down = |grid: f32| y + (grid - CAP_HEIGHT) * scale;
    for letter in text.chars() {
        let (advance, strokes) = glyph(letter);
        let across = |grid: f32| left + grid * scale;
        for stroke in strokes {
            match *stroke {
                Move(x, y) => path.move_to(across(x), down(y)),
                Line(x, y) => path.line_to(across(x), down(y)),
                Curve(x1, y1, x, y) => path.quad_to(across(x1), down(y1), across(x), down(y)),
                Close => path.close(),
            }
        }
        left += (advance + LETTER_SPACE) * scale;
    }
}

/// The letters of a name as the alphabet has them: capitals without accents.
pub(crate) fn capitals(name: &str) -> String {
    name.chars()
        .map(|letter| match letter {
            'à'..='å' | 'À'..='Å' => 'A',
            'ç' | 'Ç' => 'C',
            'è'..='ë' | 'È'..='Ë' => 'E',
            'ì'..='ï' | 'Ì'..='Ï' => 'I',
            'ñ' | 'Ñ' => 'N',
            'ò'..='ö' | 'Ò'..='Ö' => 'O',
            'ù'..='ü' | 'Ù'..='Ü' => 'U',
            other => other.to_ascii_uppercase(),
        })
        .collect()
}

/// Whether the alphabet has every letter of a text.
#[cfg(test)]
pub(crate) fn has_all(text: &str) -> bool {
    text.chars()
        .all(|letter| letter == ' ' || !glyph(letter).1.is_empty())
}

/// A letter's width and strokes; what the alphabet lacks is a gap.
#[rustfmt::skip]
fn glyph(letter: char) -> (f32, &'static [Pen]) {
    match letter {
        'A' => (8.4, &[Move(0.0, 10.0), Line(4.2, 0.0), Line(8.4, 10.0), Move(1.5, 6.5), Line(6.9, 6.5)]),
        'B' => (6.8, &[Move(0.0, 0.0), Line(3.9, 0.0), Curve(6.3, 0.0, 6.3, 2.4), Curve(6.3, 4.8, 3.9, 4.8),
                       Line(0.0, 4.8), Move(3.9, 4.8), Curve(6.8, 4.8, 6.8, 7.4), Curve(6.8, 10.0, 3.9, 10.0),
                       Line(0.0, 10.0), Line(0.0, 0.0)]),
        'C' => (7.8, &[Move(7.8, 2.1), Curve(6.6, 0.0, 4.4, 0.0), Curve(0.0, 0.0, 0.0, 5.0),
                       Curve(0.0, 10.0, 4.4, 10.0), Curve(6.6, 10.0, 7.8, 7.9)]),
        'D' => (8.0, &[Move(0.0, 0.0), Line(3.4, 0.0), Curve(8.0, 0.0, 8.0, 5.0), Curve(8.0, 10.0, 3.4, 10.0),
                       Line(0.0, 10.0), Close]),
        'E' => (5.8, &[Move(5.8, 0.0), Line(0.0, 0.0), Line(0.0, 10.0), Line(5.8, 10.0), Move(0.0, 4.9), Line(5.0, 4.9)]),
        'F' => (5.6, &[Move(5.6, 0.0), Line(0.0, 0.0), Line(0.0, 10.0), Move(0.0, 5.1), Line(4.8, 5.1)]),
        'G' => (8.2, &[Move(7.8, 2.1), Curve(6.6, 0.0, 4.4, 0.0), Curve(0.0, 0.0, 0.0, 5.0),
                       Curve(0.0, 10.0, 4.4, 10.0), Curve(8.2, 10.0, 8.2, 5.6), Line(5.0, 5.6)]),
        'H' => (7.4, &[Move(0.0, 0.0), Line(0.0, 10.0), Move(7.4, 0.0), Line(7.4, 10.0), Move(0.0, 4.9), Line(7.4, 4.9)]),
        'I' => (0.0, &[Move(0.0, 0.0), Line(0.0, 10.0)]),
        'J' => (4.8, &[Move(4.8, 0.0), Line(4.8, 7.0), Curve(4.8, 10.0, 2.3, 10.0), Curve(0.4, 10.0, 0.0, 7.9)]),
        'K' => (6.8, &[Move(0.0, 0.0), Line(0.0, 10.0), Move(6.6, 0.0), Line(0.0, 6.2), Move(2.5, 3.9), Line(6.8, 10.0)]),
        'L' => (5.4, &[Move(0.0, 0.0), Line(0.0, 10.0), Line(5.4, 10.0)]),
        'M' => (9.2, &[Move(0.0, 10.0), Line(0.0, 0.0), Line(4.6, 7.2), Line(9.2, 0.0), Line(9.2, 10.0)]),
        'N' => (7.6, &[Move(0.0, 10.0), Line(0.0, 0.0), Line(7.6, 10.0), Line(7.6, 0.0)]),
        'O' => (9.2, &[Move(4.6, 0.0), Curve(9.2, 0.0, 9.2, 5.0), Curve(9.2, 10.0, 4.6, 10.0),
                       Curve(0.0, 10.0, 0.0, 5.0), Curve(0.0, 0.0, 4.6, 0.0), Close]),
        'P' => (6.4, &[Move(0.0, 10.0), Line(0.0, 0.0), Line(3.7, 0.0), Curve(6.4, 0.0, 6.4, 2.8),
                       Curve(6.4, 5.6, 3.7, 5.6), Line(0.0, 5.6)]),
        'Q' => (9.2, &[Move(4.6, 0.0), Curve(9.2, 0.0, 9.2, 5.0), Curve(9.2, 10.0, 4.6, 10.0),
                       Curve(0.0, 10.0, 0.0, 5.0), Curve(0.0, 0.0, 4.6, 0.0), Close, Move(5.6, 7.2), Line(9.0, 10.8)]),
        'R' => (6.8, &[Move(0.0, 10.0), Line(0.0, 0.0), Line(3.7, 0.0), Curve(6.4, 0.0, 6.4, 2.7),
                       Curve(6.4, 5.4, 3.7, 5.4), Line(0.0, 5.4), Move(3.5, 5.4), Line(6.8, 10.0)]),
        'S' => (6.6, &[Move(6.2, 1.7), Curve(5.4, 0.0, 3.4, 0.0), Curve(0.4, 0.0, 0.4, 2.5),
                       Curve(0.4, 4.3, 3.3, 4.9), Curve(6.6, 5.6, 6.6, 7.5), Curve(6.6, 10.0, 3.3, 10.0),
                       Curve(0.8, 10.0, 0.0, 8.1)]),
        'T' => (7.2, &[Move(0.0, 0.0), Line(7.2, 0.0), Move(3.6, 0.0), Line(3.6, 10.0)]),
        'U' => (7.4, &[Move(0.0, 0.0), Line(0.0, 6.4), Curve(0.0, 10.0, 3.7, 10.0), Curve(7.4, 10.0, 7.4, 6.4),
                       Line(7.4, 0.0)]),
        'V' => (8.0, &[Move(0.0, 0.0), Line(4.0, 10.0), Line(8.0, 0.0)]),
        'W' => (11.2, &[Move(0.0, 0.0), Line(2.9, 10.0), Line(5.6, 0.6), Line(8.3, 10.0), Line(11.2, 0.0)]),
        'X' => (7.2, &[Move(0.2, 0.0), Line(7.0, 10.0), Move(7.0, 0.0), Line(0.2, 10.0)]),
        'Y' => (7.6, &[Move(0.0, 0.0), Line(3.8, 5.2), Line(7.6, 0.0), Move(3.8, 5.2), Line(3.8, 10.0)]),
        'Z' => (6.8, &[Move(0.2, 0.0), Line(6.8, 0.0), Line(0.0, 10.0), Line(6.8, 10.0)]),
        '.' => (0.4, &[Move(0.0, 9.8), Line(0.4, 9.8)]),
        '\'' => (0.4, &[Move(0.4, 0.0), Line(0.0, 2.6)]),
        '-' => (4.0, &[Move(0.2, 5.4), Line(3.8, 5.4)]),
        _ => (2.6, &[]),
    }
}
