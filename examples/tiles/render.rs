//! One tile, drawn: each layer over the one before it.

mod graticule;
mod view;

use std::fmt;

use tiny_skia::{FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, Transform};

use self::view::View;
use crate::address::{MapLayer, TileAddress};
use crate::labels::LINE_SPACE;
use crate::world::{Part, World};
use crate::{lettering, palette};

/// Tiles are squares of this many pixels.
pub(crate) const TILE_SIZE: u32 = 256;

/// What tiny-skia could not do; with tiles of a constant size, nobody has seen it.
#[derive(Debug)]
pub(crate) struct RenderError(String);

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "The tile could not be drawn: {}.", self.0)
    }
}

impl std::error::Error for RenderError {}

/// Draws a tile and encodes it as PNG. This keeps a core busy for milliseconds.
pub(crate) fn render(world: &World, address: &TileAddress) -> Result<Vec<u8>, RenderError> {
    let pixmap = Pixmap::new(TILE_SIZE, TILE_SIZE)
        .ok_or_else(|| RenderError("no room for its pixels".to_owned()))?;
    let mut canvas = Canvas {
        pixmap,
        views: View::of(address),
        zoom: address.zoom,
    };
    for layer in &address.layers {
        match layer {
            MapLayer::Ocean => canvas.ocean(world),
            MapLayer::Land => canvas.land(world),
            MapLayer::Tints => canvas.tints(world),
            MapLayer::Borders => canvas.borders(world),
            MapLayer::Graticule => canvas.graticule(),
            MapLayer::Labels => canvas.labels(world),
        }
    }
    canvas
        .pixmap
        .encode_png()
        .map_err(|error| RenderError(error.to_string()))
}

struct Canvas {
    pixmap: Pixmap,
    /// The world, and its copies beyond the 180th meridian.
    views: [View; 3],
    zoom: u8,
}

impl Canvas {
    fn ocean(&mut self, world: &World) {
        self.pixmap.fill(palette::color(palette::OCEAN));
        // The waterlines grow with the map until they have their full width.
        let growth = (0.3 + 0.14 * f32::from(self.zoom)).min(1.0);
        if let Some(coasts) = self.lines(&world.coasts, 0.6) {
            for (width, color) in palette::WATERLINES {
                self.stroke(&coasts, width * growth, color);
            }
        }
    }

    fn land(&mut self, world: &World) {
        if let Some(land) = self.area(&world.land) {
            self.fill(&land, palette::LAND);
        }
        if let Some(coasts) = self.lines(&world.coasts, 0.25) {
            self.stroke(&coasts, 0.8, palette::COAST);
        }
    }

    fn tints(&mut self, world: &World) {
        for country in &world.countries {
            if let Some(area) = self.area(&country.rings) {
                self.fill(&area, palette::TINTS[country.tint]);
            }
        }
    }

    fn borders(&mut self, world: &World) {
        if let Some(borders) = self.lines(&world.borders, 0.25) {
            let width = (0.5 + 0.1 * f32::from(self.zoom)).min(1.3);
            self.stroke(&borders, width, palette::BORDER);
        }
    }

    fn graticule(&mut self) {
        let grid = graticule::Grid::at(self.zoom);
        for (lines, width, color) in [
            (grid.plain, 0.7, palette::GRATICULE),
            (grid.great, 0.9, palette::GREAT_LINES),
        ] {
            if let Some(path) = self.lines(&lines, 0.0) {
                self.stroke(&path, width, color);
            }
        }
    }

    fn labels(&mut self, world: &World) {
        let mut path = PathBuilder::new();
        for view in &self.views {
            for label in world.labels.at(self.zoom) {
                let middle = view.pixel(label.anchor);
                if !view.shows(middle, label.half) {
                    continue;
                }
                let cap_height = label.cap_height;
                let mut y = middle.y as f32 - label.half.1 as f32 + cap_height;
                for line in &label.lines {
                    lettering::write(&mut path, line, cap_height, middle.x as f32, y);
                    y += cap_height * LINE_SPACE;
                }
            }
        }
        if let Some(path) = path.finish() {
            self.stroke(&path, 3.6, palette::HALO);
            self.stroke(&path, 1.15, palette::INK);
        }
    }

    /// The area of rings, holes left out; `None` where the tile shows none of it.
    fn area(&self, rings: &[Part]) -> Option<Path> {
        let mut path = PathBuilder::new();
        for view in &self.views {
            for ring in rings {
                view.add_ring(&mut path, ring);
            }
        }
        path.finish()
    }

    /// Lines whose points are at least `tolerance` pixels apart.
    fn lines(&self, lines: &[Part], tolerance: f64) -> Option<Path> {
        let mut path = PathBuilder::new();
        for view in &self.views {
            for line in lines {
                view.add_line(&mut path, line, tolerance);
            }
        }
        path.finish()
    }

    fn fill(&mut self, path: &Path, color: [u8; 4]) {
        let paint = paint(color);
        self.pixmap
            .fill_path(path, &paint, FillRule::EvenOdd, Transform::identity(), None);
    }

    fn stroke(&mut self, path: &Path, width: f32, color: [u8; 4]) {
        let stroke = Stroke {
            width,
            line_cap: LineCap::Round,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        self.pixmap
            .stroke_path(path, &paint(color), &stroke, Transform::identity(), None);
    }
}

fn paint(color: [u8; 4]) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color(palette::color(color));
    paint
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(world: &World, layers: &str, z: &str, x: &str, y: &str) -> Pixmap {
        let address = TileAddress::parse(layers, z, x, y).unwrap();
        Pixmap::decode_png(&render(world, &address).unwrap()).unwrap()
    }

    fn pixel(of: &Pixmap, x: u32, y: u32) -> [u8; 4] {
        let color = of.pixel(x, y).unwrap().demultiply();
        [color.red(), color.green(), color.blue(), color.alpha()]
    }

    #[test]
    fn the_middle_of_africa_is_land_and_of_the_atlantic_is_not() {
        let world = World::load().unwrap();
        let whole = drawn(&world, "ocean+land", "0", "0", "0.png");
        assert_eq!(pixel(&whole, 145, 128), palette::LAND);
        assert_eq!(pixel(&whole, 105, 110), palette::OCEAN);
    }

    #[test]
    fn a_tile_within_a_country_is_its_land_and_nothing_else() {
        let world = World::load().unwrap();
        // In Mongolia, at the deepest zoom, far from every vertex.
        let deep = drawn(&world, "ocean+land+borders", "12", "3243", "1413.png");
        assert!(deep.pixels().iter().all(|pixel| *pixel == deep.pixels()[0]));
        assert_eq!(pixel(&deep, 0, 0), palette::LAND);
    }

    #[test]
    fn what_no_layer_covers_is_transparent() {
        let world = World::load().unwrap();
        let land = drawn(&world, "land", "0", "0", "0.png");
        assert_eq!(pixel(&land, 105, 110)[3], 0);
    }
}
