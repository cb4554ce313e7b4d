//! The world seen through one tile: what is near, in pixels, and nothing else.

use tiny_skia::PathBuilder;

use super::TILE_SIZE;
use crate::address::TileAddress;
use crate::clip;
use crate::geometry::{Bounds, Point};
use crate::world::Part;

/// Wider than half of the widest stroke, so that lines outside still lend their breadth, and cut
/// edges stay out of sight.
const MARGIN: f64 = 20.0;
const FRAME: Bounds = Bounds {
    left: -MARGIN,
    top: -MARGIN,
    right: TILE_SIZE as f64 + MARGIN,
    bottom: TILE_SIZE as f64 + MARGIN,
};

/// How the world's square, or a copy of it to the west or east, lies under a tile.
pub(crate) struct View {
    scale: f64,
    left: f64,
    top: f64,
    /// The tile with its margin, on the world's square.
    window: Bounds,
}

impl View {
    /// The views of a tile: what crosses the 180th meridian is drawn in one piece, of which the
    /// copies to the west and east show the rest.
    pub(crate) fn of(tile: &TileAddress) -> [Self; 3] {
        let size = f64::from(TILE_SIZE);
        let scale = size * f64::from(1_u32 << tile.zoom);
        [-1.0, 0.0, 1.0].map(|copy| {
            let left = size * f64::from(tile.x) - copy * scale;
            let top = size * f64::from(tile.y);
            let window = Bounds {
                left: (left + FRAME.left) / scale,
                top: (top + FRAME.top) / scale,
                right: (left + FRAME.right) / scale,
                bottom: (top + FRAME.bottom) / scale,
            };
            Self {
                scale,
                left,
                top,
                window,
            }
        })
    }

    pub(crate) fn pixel(&self, point: Point) -> Point {
        Point {
            x: point.x * self.scale - self.left,
            y: point.y * self.scale - self.top,
        }
    }

    /// Whether something of the given half width and height around a pixel is in the frame.
    pub(crate) fn shows(&self, middle: Point, half: (f64, f64)) -> bool {
        let covered = Bounds {
            left: middle.x - half.0,
            top: middle.y - half.1,
            right: middle.x + half.0,
            bottom: middle.y + half.1,
        };
        covered.meets(&FRAME)
    }

    /// Adds what the frame shows of a ring.
    pub(crate) fn add_ring(&self, path: &mut PathBuilder, ring: &Part) {
        if !ring.bounds.meets(&self.window) {
            return;
        }
        let mut points = self.thinned(&ring.points, 0.2);
        if !self.window.contains(&ring.bounds) {
            points = clip::ring(points, &FRAME);
        }
        if points.len() < 3 {
            return;
        }
        path.move_to(points[0].x as f32, points[0].y as f32);
        for point in &points[1..] {
            path.line_to(point.x as f32, point.y as f32);
        }
        path.close();
    }

    /// Adds the pieces of a line that the frame shows.
    pub(crate) fn add_line(&self, path: &mut PathBuilder, line: &Part, tolerance: f64) {
        if !line.bounds.meets(&self.window) {
            return;
        }
        let points = self.thinned(&line.points, tolerance);
        let mut pen = None;
        for ends in points.windows(2) {
            let Some((from, to)) = clip::segment(ends[0], ends[1], &FRAME) else {
                continue;
            };
            if pen != Some(from) {
                path.move_to(from.x as f32, from.y as f32);
            }
            path.line_to(to.x as f32, to.y as f32);
            pen = Some(to);
        }
    }

    /// The points in pixels, without those that are nearer than `tolerance` to the one before;
    /// both ends are kept, since other lines may begin there.
    fn thinned(&self, points: &[Point], tolerance: f64) -> Vec<Point> {
        let mut kept: Vec<Point> = Vec::with_capacity(points.len());
        for (index, &point) in points.iter().enumerate() {
            let point = self.pixel(point);
            let near = kept.last().is_some_and(|last| {
                (point.x - last.x).abs() < tolerance && (point.y - last.y).abs() < tolerance
            });
            if !near || index + 1 == points.len() {
                kept.push(point);
            }
        }
        kept
    }
}
