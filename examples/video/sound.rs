//! What is heard at each moment: another chord every ten seconds, and on it a bell every second.
//!
//! A frame is a function of its number alone, of additions and multiplications, which give the same on every machine.

/// Frames in a second.
pub(crate) const RATE: u64 = 44_100;
/// How long a chord lasts.
pub(crate) const CHORD_SECONDS: u64 = 10;

/// Six of them: a minute, and it begins anew.
pub(crate) const CHORDS: [Chord; 6] = [
    chord("C", [261.63, 329.63, 392.00]),
    chord("Am", [220.00, 261.63, 329.63]),
    chord("F", [174.61, 220.00, 261.63]),
    chord("Dm", [146.83, 220.00, 349.23]),
    chord("B♭", [233.08, 293.66, 349.23]),
    chord("G", [196.00, 246.94, 293.66]),
];

/// A name, and notes in hertz.
pub(crate) struct Chord {
    pub(crate) name: &'static str,
    notes: [f64; 3],
}

const fn chord(name: &'static str, notes: [f64; 3]) -> Chord {
    Chord { name, notes }
}

/// How far each note stands to the right, 0 to 1.
const PLACES: [f64; 3] = [0.5, 0.2, 0.8];
/// Seconds in which a chord comes and goes: without them, it would click.
const FADE: f64 = 0.25;
const CHORD_VOLUME: f64 = 0.09;
const BELL_VOLUME: f64 = 0.18;

/// Left and right of one frame.
pub(crate) fn frame(number: u64) -> [i16; 2] {
    let frames = CHORD_SECONDS * RATE;
    let (nth, within) = (number / frames, number % frames);
    let notes = &CHORDS[(nth % CHORDS.len() as u64) as usize].notes;
    let time = within as f64 / RATE as f64;
    let left = CHORD_SECONDS as f64 - time;
    let fade = (time.min(left) / FADE).min(1.0);

    let (second, since) = (within / RATE, (within % RATE) as f64 / RATE as f64);
    let decay = (1.0 - since) * (1.0 - since);
    let bell_note = 2.0 * notes[(second % 3) as usize];
    let bell = BELL_VOLUME * decay * decay * sine(bell_note * since);

    let mut sound = [bell, bell];
    for (note, place) in notes.iter().zip(PLACES) {
        let voice = CHORD_VOLUME * fade * (sine(note * time) + 0.5 * sine(note * 0.5 * time));
        sound[0] += 2.0 * (1.0 - place) * voice;
        sound[1] += 2.0 * place * voice;
    }
    // It stays below 1; a cast would cut what didn't.
    sound.map(|value| (value * f64::from(i16::MAX)) as i16)
}

/// A sine of so many turns, to a thousandth: two parabolas, bent.
fn sine(turns: f64) -> f64 {
    let x = 2.0 * (turns - turns.floor()) - 1.0;
    let y = 4.0 * x * (x.abs() - 1.0);
    0.225 * (y * y.abs() - y) + y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sine_is_one() {
        for turn in 0..1000 {
            let turns = f64::from(turn) / 100.0;
            let exact = (turns * std::f64::consts::TAU).sin();
            assert!((sine(turns) - exact).abs() < 0.0012, "{turns}");
        }
    }

    #[test]
    fn it_is_neither_too_loud_nor_silent_and_never_clicks() {
        let mut loudest = 0;
        let mut before = frame(0);
        // Over the edge of a chord and of a second.
        for number in (1..2 * RATE).chain(9 * RATE..12 * RATE) {
            let now = frame(number);
            for (now, before) in now.iter().zip(before) {
                loudest = loudest.max(now.unsigned_abs());
                let step = now.abs_diff(before);
                assert!(step < 2500 || number == 9 * RATE, "{number}: {step}");
            }
            before = now;
        }
        assert!((8_000..30_000).contains(&loudest), "{loudest}");
    }

    #[test]
    fn ten_seconds_on_it_is_another_chord_and_a_minute_on_the_same() {
        let from = |start: u64| (start..start + 1000).map(frame).collect::<Vec<_>>();
        assert_ne!(from(RATE), from(11 * RATE));
        assert_eq!(from(RATE), from(61 * RATE));
        assert_ne!(from(RATE), from(2 * RATE));
    }
}
