//! Rings and segments cut to a rectangle, so that tiny-skia gets only what a tile can show.

use crate::geometry::{Bounds, Point};

/// Cuts a ring by Sutherland and Hodgman's algorithm: one edge of the rectangle after the other.
///
/// What was outside may come back as edges along the rectangle's rim, so the rectangle should be
/// a little larger than what is seen.
pub(crate) fn ring(mut ring: Vec<Point>, to: &Bounds) -> Vec<Point> {
    for edge in Edge::of(to) {
        if ring.is_empty() {
            break;
        }
        let mut kept = Vec::with_capacity(ring.len() + 4);
        let mut previous = ring[ring.len() - 1];
        for &point in &ring {
            if edge.inside(previous) != edge.inside(point) {
                kept.push(edge.crossing(previous, point));
            }
            if edge.inside(point) {
                kept.push(point);
            }
            previous = point;
        }
        ring = kept;
    }
    ring
}

/// Cuts a segment by Liang and Barsky's algorithm; `None` if none of it is within.
pub(crate) fn segment(from: Point, to: Point, bounds: &Bounds) -> Option<(Point, Point)> {
    let (dx, dy) = (to.x - from.x, to.y - from.y);
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    for (towards, distance) in [
        (-dx, from.x - bounds.left),
        (dx, bounds.right - from.x),
        (-dy, from.y - bounds.top),
        (dy, bounds.bottom - from.y),
    ] {
        if towards == 0.0 {
            if distance < 0.0 {
                return None;
            }
        } else if towards < 0.0 {
            enter = enter.max(distance / towards);
        } else {
            leave = leave.min(distance / towards);
        }
    }
    let at = |part: f64| Point {
        x: from.x + part * dx,
        y: from.y + part * dy,
    };
    // An end that is within stays as it is, bit by bit: a line is joined where they are equal.
    (enter <= leave).then(|| {
        (
            if enter == 0.0 { from } else { at(enter) },
            if leave == 1.0 { to } else { at(leave) },
        )
    })
}

enum Edge {
    Left(f64),
    Top(f64),
    Right(f64),
    Bottom(f64),
}

impl Edge {
    fn of(bounds: &Bounds) -> [Self; 4] {
        [
            Self::Left(bounds.left),
            Self::Top(bounds.top),
            Self::Right(bounds.right),
            Self::Bottom(bounds.bottom),
        ]
    }

    fn inside(&self, point: Point) -> bool {
        match *self {
            Self::Left(x) => point.x >= x,
            Self::Top(y) => point.y >= y,
            Self::Right(x) => point.x <= x,
            Self::Bottom(y) => point.y <= y,
        }
    }

    /// Where the line through two points on different sides meets the edge.
    fn crossing(&self, a: Point, b: Point) -> Point {
        match *self {
            Self::Left(x) | Self::Right(x) => Point {
                x,
                y: a.y + (b.y - a.y) * (x - a.x) / (b.x - a.x),
            },
            Self::Top(y) | Self::Bottom(y) => Point {
                x: a.x + (b.x - a.x) * (y - a.y) / (b.y - a.y),
                y,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: Bounds = Bounds {
        left: 0.0,
        top: 0.0,
        right: 10.0,
        bottom: 10.0,
    };

    fn points<const N: usize>(of: [(f64, f64); N]) -> Vec<Point> {
        of.map(|(x, y)| Point { x, y }).to_vec()
    }

    #[test]
    fn a_ring_around_the_rectangle_becomes_the_rectangle() {
        let around = points([(-5.0, -5.0), (15.0, -5.0), (15.0, 15.0), (-5.0, 15.0)]);
        let clipped = ring(around, &SQUARE);
        assert_eq!(Bounds::of(&clipped), SQUARE);
        assert_eq!(clipped.len(), 4);
    }

    #[test]
    fn a_ring_beside_the_rectangle_vanishes() {
        let beside = points([(11.0, 1.0), (15.0, 1.0), (15.0, 5.0)]);
        assert!(ring(beside, &SQUARE).is_empty());
    }

    #[test]
    fn a_segment_keeps_the_end_that_is_within() {
        let (from, to) = (Point { x: 5.0, y: 5.0 }, Point { x: 25.0, y: 5.0 });
        assert_eq!(
            segment(from, to, &SQUARE),
            Some((from, Point { x: 10.0, y: 5.0 }))
        );
    }

    #[test]
    fn a_segment_that_only_passes_a_corner_is_gone() {
        let (from, to) = (Point { x: 8.0, y: -4.0 }, Point { x: 14.0, y: 4.0 });
        assert_eq!(segment(from, to, &SQUARE), None);
    }
}
