//! Points, boxes and the Web Mercator projection.

use std::f64::consts::PI;

/// A point on the projected world, whose square is 0 to 1 on both axes with the north on top, or
/// on a tile, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// Projects degrees onto the world's square. What lies beyond 85.05 degrees falls above or below
/// the square, and the poles, which are infinitely far, are brought near.
pub(crate) fn project([longitude, latitude]: [f64; 2]) -> Point {
    let latitude = latitude.clamp(-89.0, 89.0).to_radians();
    Point {
        x: longitude / 360.0 + 0.5,
        y: 0.5 - latitude.tan().asinh() / (2.0 * PI),
    }
}

/// An upright rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Bounds {
    /// The smallest that holds all points; of none, one that meets nothing.
    pub(crate) fn of(points: &[Point]) -> Self {
        let nothing = Self {
            left: f64::INFINITY,
            top: f64::INFINITY,
            right: f64::NEG_INFINITY,
            bottom: f64::NEG_INFINITY,
        };
        points.iter().fold(nothing, |bounds, point| Self {
            left: bounds.left.min(point.x),
            top: bounds.top.min(point.y),
            right: bounds.right.max(point.x),
            bottom: bounds.bottom.max(point.y),
        })
    }

    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.left <= other.right
            && other.left <= self.right
            && self.top <= other.bottom
            && other.top <= self.bottom
    }

    pub(crate) fn contains(&self, other: &Self) -> bool {
        self.left <= other.left
            && self.top <= other.top
            && self.right >= other.right
            && self.bottom >= other.bottom
    }

    pub(crate) fn grown(&self, by: f64) -> Self {
        Self {
            left: self.left - by,
            top: self.top - by,
            right: self.right + by,
            bottom: self.bottom + by,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_is_in_the_middle_and_the_north_on_top() {
        assert_eq!(project([0.0, 0.0]), Point { x: 0.5, y: 0.5 });
        let corner = project([-180.0, 85.051_128_779_8]);
        assert!(corner.x.abs() < 1e-9 && corner.y.abs() < 1e-9, "{corner:?}");
    }

    #[test]
    fn the_tropics_are_where_the_formula_of_web_mercator_puts_them() {
        let tropic = project([90.0, 23.436]);
        assert_eq!(tropic.x, 0.75);
        assert!((tropic.y - 0.433_0).abs() < 1e-4, "{tropic:?}");
    }

    #[test]
    fn the_bounds_of_nothing_meet_nothing() {
        let everything = Bounds {
            left: -1e9,
            top: -1e9,
            right: 1e9,
            bottom: 1e9,
        };
        assert!(!Bounds::of(&[]).meets(&everything));
    }
}
