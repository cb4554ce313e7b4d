//! Where countries' names go: one place each, chosen at start up, and at each zoom those names
//! that fit into their country and do not run into a larger country's.

use crate::address::MAX_ZOOM;
use crate::geometry::{Bounds, Point};
use crate::lettering;
use crate::world::Part;

const SMALLEST: f32 = 6.4;
const LARGEST: f32 = 11.5;
/// The base lines of a name's lines are this many cap heights apart.
pub(crate) const LINE_SPACE: f32 = 1.75;

/// All labels, by zoom.
pub(crate) struct LabelSet {
    by_zoom: Vec<Vec<Label>>,
}

/// A name as it is drawn at one zoom.
pub(crate) struct Label {
    /// The middle, on the world's square.
    pub(crate) anchor: Point,
    /// Pixels.
    pub(crate) cap_height: f32,
    pub(crate) lines: Vec<String>,
    /// Half the width and height in pixels.
    pub(crate) half: (f64, f64),
}

/// A country's name and the room that it has.
pub(crate) struct Name {
    anchor: Point,
    /// The country's width at the anchor, on the world's square.
    room: f64,
    /// The area of the largest ring; larger countries are labelled first.
    area: f64,
    lines: Vec<String>,
}

impl LabelSet {
    pub(crate) fn new(mut names: Vec<Name>) -> Self {
        names.sort_by(|a, b| b.area.total_cmp(&a.area));
        Self {
            by_zoom: (0..=MAX_ZOOM).map(|zoom| choose(&names, zoom)).collect(),
        }
    }

    pub(crate) fn at(&self, zoom: u8) -> &[Label] {
        &self.by_zoom[usize::from(zoom)]
    }
}

/// The names that are shown at a zoom, the larger countries' first.
fn choose(names: &[Name], zoom: u8) -> Vec<Label> {
    let world = 256.0 * f64::from(1_u32 << zoom);
    let mut taken: Vec<Bounds> = Vec::new();
    let mut labels = Vec::new();
    for name in names {
        let Some(label) = name.sized((name.room * world) as f32) else {
            continue;
        };
        let (x, y) = (name.anchor.x * world, name.anchor.y * world);
        let (half_width, half_height) = label.half;
        let space = Bounds {
            left: x - half_width,
            top: y - half_height,
            right: x + half_width,
            bottom: y + half_height,
        }
        .grown(3.0);
        if !taken.iter().any(|other| other.meets(&space)) {
            taken.push(space);
            labels.push(label);
        }
    }
    labels
}

impl Name {
    /// Finds the best place for a name: on the widest stretch of the largest ring, and rather near
    /// its middle than its top or bottom. `None` for a country without area.
    pub(crate) fn place(name: &str, rings: &[Part]) -> Option<Self> {
        let (ring, area) = rings
            .iter()
            .map(|ring| (ring, area(&ring.points)))
            .max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        const ROWS: u32 = 40;
        let Bounds { top, bottom, .. } = ring.bounds;
        let (anchor, room, _) = (1..ROWS)
            .flat_map(|row| {
                let part = f64::from(row) / f64::from(ROWS);
                let y = top + part * (bottom - top);
                let middling = 4.0 * part * (1.0 - part);
                stretches(&ring.points, y)
                    .into_iter()
                    .map(move |(left, right)| {
                        let room = right - left;
                        (
                            Point {
                                x: (left + right) / 2.0,
                                y,
                            },
                            room,
                            room * middling.sqrt(),
                        )
                    })
            })
            .max_by(|(.., a), (.., b)| a.total_cmp(b))?;
        let anchor = Point {
            x: anchor.x.rem_euclid(1.0),
            ..anchor
        };
        Some(Self {
            anchor,
            room,
            area,
            lines: broken(&lettering::capitals(name)),
        })
    }

    /// The name in the size that suits its country's width in pixels, if it is not too small.
    fn sized(&self, room: f32) -> Option<Label> {
        let width_at = |cap_height: f32| {
            self.lines
                .iter()
                .map(|line| lettering::width(line, cap_height))
                .fold(0.0, f32::max)
        };
        let natural = 0.55 * room / width_at(1.0);
        if width_at(SMALLEST) > 1.15 * room {
            return None;
        }
        let cap_height = natural.clamp(SMALLEST, LARGEST);
        let height = cap_height * (1.0 + LINE_SPACE * (self.lines.len() - 1) as f32);
        Some(Label {
            anchor: self.anchor,
            cap_height,
            lines: self.lines.clone(),
            half: (
                f64::from(width_at(cap_height) / 2.0),
                f64::from(height / 2.0),
            ),
        })
    }
}

/// A long name in two lines, broken at the space that is nearest to its middle.
fn broken(name: &str) -> Vec<String> {
    let middle = name.len() / 2;
    let space = name
        .match_indices(' ')
        .map(|(at, _)| at)
        .min_by_key(|at| at.abs_diff(middle))
        .filter(|_| name.len() > 9);
    match space {
        Some(at) => vec![name[..at].to_owned(), name[at + 1..].to_owned()],
        None => vec![name.to_owned()],
    }
}

fn edges(ring: &[Point]) -> impl Iterator<Item = (Point, Point)> + '_ {
    ring.iter()
        .copied()
        .zip(ring.iter().copied().cycle().skip(1))
}

fn area(ring: &[Point]) -> f64 {
    edges(ring)
        .map(|(a, b)| a.x * b.y - b.x * a.y)
        .sum::<f64>()
        .abs()
        / 2.0
}

/// Where the horizontal line at `y` runs inside a ring.
fn stretches(ring: &[Point], y: f64) -> Vec<(f64, f64)> {
    let mut crossings: Vec<f64> = edges(ring)
        .filter(|(a, b)| (a.y > y) != (b.y > y))
        .map(|(a, b)| a.x + (b.x - a.x) * (y - a.y) / (b.y - a.y))
        .collect();
    crossings.sort_by(f64::total_cmp);
    crossings
        .chunks_exact(2)
        .map(|pair| (pair[0], pair[1]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    fn at_zoom(zoom: u8) -> Vec<String> {
        let world = World::load().unwrap();
        world
            .labels
            .at(zoom)
            .iter()
            .map(|label| label.lines.join(" "))
            .collect()
    }

    #[test]
    fn small_countries_wait_for_a_deeper_zoom() {
        let far = at_zoom(2);
        assert!(far.contains(&"BRAZIL".to_owned()), "{far:?}");
        assert!(!far.contains(&"LUXEMBOURG".to_owned()), "{far:?}");
        assert!(at_zoom(8).contains(&"LUXEMBOURG".to_owned()));
    }

    #[test]
    fn every_name_can_be_written() {
        for name in at_zoom(MAX_ZOOM) {
            assert!(lettering::has_all(&name), "{name}");
        }
    }

    #[test]
    fn long_names_are_broken_near_the_middle() {
        assert_eq!(
            broken("UNITED STATES OF AMERICA"),
            ["UNITED STATES", "OF AMERICA"]
        );
        assert_eq!(broken("SRI LANKA"), ["SRI LANKA"]);
    }

    #[test]
    fn a_line_through_a_notched_ring_has_two_stretches() {
        let notched = [
            (0.0, 0.0),
            (1.0, 0.0),
            (1.0, 4.0),
            (2.0, 4.0),
            (2.0, 0.0),
            (3.0, 0.0),
            (3.0, 5.0),
            (0.0, 5.0),
        ]
        .map(|(x, y)| Point { x, y });
        assert_eq!(stretches(&notched, 2.0), [(0.0, 1.0), (2.0, 3.0)]);
        assert_eq!(area(&notched), 11.0);
    }
}
