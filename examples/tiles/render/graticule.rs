//! Meridians and parallels, closer together the deeper the zoom.

use crate::geometry::{Bounds, Point, project};
use crate::world::Part;

/// Degrees between two lines, by zoom.
const STEPS: [f64; 13] = [
    30.0, 30.0, 15.0, 10.0, 5.0, 5.0, 2.0, 1.0, 0.5, 0.5, 0.2, 0.1, 0.1,
];
/// The tropics and the polar circles.
const CIRCLES: [f64; 4] = [23.436, -23.436, 66.564, -66.564];

pub(super) struct Grid {
    pub(super) plain: Vec<Part>,
    /// The equator, the prime meridian, the tropics and the polar circles.
    pub(super) great: Vec<Part>,
}

impl Grid {
    pub(super) fn at(zoom: u8) -> Self {
        let step = STEPS[usize::from(zoom)];
        let lines = |limit: f64| {
            // Counted in whole steps, since sums of 0.1 drift.
            let count = (limit / step) as i32;
            (-count..=count)
                .filter(|number| *number != 0)
                .map(move |number| f64::from(number) * step)
        };
        let meridians = lines(180.0).map(meridian);
        let parallels = lines(85.0).map(parallel);
        Self {
            plain: meridians.chain(parallels).collect(),
            great: [meridian(0.0), parallel(0.0)]
                .into_iter()
                .chain(CIRCLES.map(parallel))
                .collect(),
        }
    }
}

/// In this projection both are straight: two points suffice.
fn meridian(longitude: f64) -> Part {
    straight([longitude, 89.0], [longitude, -89.0])
}

fn parallel(latitude: f64) -> Part {
    straight([-180.0, latitude], [180.0, latitude])
}

fn straight(from: [f64; 2], to: [f64; 2]) -> Part {
    let points: Vec<Point> = [from, to].map(project).to_vec();
    Part {
        bounds: Bounds::of(&points),
        points,
    }
}
