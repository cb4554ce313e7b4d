//! Which tile: the parts of `/tiles/{layers}/{z}/{x}/{y}.png`, parsed.

use std::fmt;
use std::str::FromStr;

/// The deepest zoom that is drawn; the outlines have no more detail to show.
pub(crate) const MAX_ZOOM: u8 = 12;

/// A tile that exists: `x` and `y` lie within the `2^zoom` columns and rows of its zoom.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TileAddress {
    /// At least one, each once, in the order in which they are drawn.
    pub(crate) layers: Vec<MapLayer>,
    pub(crate) zoom: u8,
    pub(crate) x: u32,
    pub(crate) y: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum MapLayer {
    /// Water, with waterlines along the coasts.
    Ocean,
    /// Land and its coast, in one colour.
    Land,
    /// Each country in a tint that none of its neighbours has.
    Tints,
    /// Borders between countries.
    Borders,
    /// Meridians and parallels.
    Graticule,
    /// The countries' names.
    Labels,
}

impl MapLayer {
    const NAMES: [(&str, MapLayer); 6] = [
        ("ocean", MapLayer::Ocean),
        ("land", MapLayer::Land),
        ("tints", MapLayer::Tints),
        ("borders", MapLayer::Borders),
        ("graticule", MapLayer::Graticule),
        ("labels", MapLayer::Labels),
    ];
}

/// Why an address names no tile.
#[derive(Debug, PartialEq)]
pub(crate) enum AddressError {
    UnknownLayer(String),
    RepeatedLayer(String),
    NotANumber {
        part: &'static str,
        found: String,
    },
    NotPng(String),
    ZoomOutOfRange(u32),
    OutOfRange {
        part: &'static str,
        found: u32,
        zoom: u8,
    },
}

impl AddressError {
    /// Whether the address is well formed and merely names a tile that does not exist.
    pub(crate) fn is_out_of_range(&self) -> bool {
        matches!(self, Self::ZoomOutOfRange(_) | Self::OutOfRange { .. })
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownLayer(name) => {
                write!(f, "There is no layer {name:?}; the layers are")?;
                for (index, (name, _)) in MapLayer::NAMES.iter().enumerate() {
                    write!(f, "{} {name}", if index == 0 { "" } else { "," })?;
                }
                write!(f, ", joined by \"+\".")
            }
            Self::RepeatedLayer(name) => write!(f, "The layer {name:?} is named twice."),
            Self::NotANumber { part, found } => {
                write!(
                    f,
                    "{part} must be a whole number, and {found:?} is not one."
                )
            }
            Self::NotPng(found) => {
                write!(
                    f,
                    "A tile's address ends in \".png\", and {found:?} does not."
                )
            }
            Self::ZoomOutOfRange(zoom) => {
                write!(f, "There is no zoom {zoom}; the zooms are 0 to {MAX_ZOOM}.")
            }
            Self::OutOfRange { part, found, zoom } => write!(
                f,
                "There is no {part} {found} at zoom {zoom}; there they are 0 to {}.",
                (1_u32 << zoom) - 1
            ),
        }
    }
}

impl std::error::Error for AddressError {}

impl TileAddress {
    /// Parses the four parts of the path; `y` still has its `.png`.
    pub(crate) fn parse(layers: &str, z: &str, x: &str, y: &str) -> Result<Self, AddressError> {
        let layers = parse_layers(layers)?;
        let zoom = number("z", z)?;
        let x = number("x", x)?;
        let y = y
            .strip_suffix(".png")
            .ok_or_else(|| AddressError::NotPng(y.to_owned()))?;
        let y = number("y", y)?;

        let zoom = match u8::try_from(zoom) {
            Ok(small) if small <= MAX_ZOOM => small,
            _ => return Err(AddressError::ZoomOutOfRange(zoom)),
        };
        for (part, found) in [("x", x), ("y", y)] {
            if found >= 1 << zoom {
                return Err(AddressError::OutOfRange { part, found, zoom });
            }
        }
        Ok(Self { layers, zoom, x, y })
    }
}

fn parse_layers(joined: &str) -> Result<Vec<MapLayer>, AddressError> {
    let mut layers = Vec::new();
    for name in joined.split('+') {
        let layer = match MapLayer::NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, layer)) => *layer,
            None => return Err(AddressError::UnknownLayer(name.to_owned())),
        };
        if layers.contains(&layer) {
            return Err(AddressError::RepeatedLayer(name.to_owned()));
        }
        layers.push(layer);
    }
    Ok(layers)
}

/// One spelling per number, so that no tile is cached under two addresses: no sign, no leading
/// zero.
fn number(part: &'static str, digits: &str) -> Result<u32, AddressError> {
    u32::from_str(digits)
        .ok()
        .filter(|number| number.to_string() == digits)
        .ok_or_else(|| AddressError::NotANumber {
            part,
            found: digits.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_keep_the_order_they_are_given_in() {
        let address = TileAddress::parse("borders+land", "3", "7", "0.png").unwrap();
        assert_eq!(address.layers, [MapLayer::Borders, MapLayer::Land]);
        assert_eq!((address.zoom, address.x, address.y), (3, 7, 0));
    }

    #[test]
    fn what_cannot_be_parsed_is_not_out_of_range() {
        for (layers, z, x, y) in [
            ("", "0", "0", "0.png"),
            ("land+", "0", "0", "0.png"),
            ("land+land", "0", "0", "0.png"),
            ("Land", "0", "0", "0.png"),
            ("land", "", "0", "0.png"),
            ("land", "-1", "0", "0.png"),
            ("land", "0", "+0", "0.png"),
            ("land", "1", "01", "0.png"),
            ("land", "0", "0", "0"),
            ("land", "0", "0", ".png"),
            ("land", "0", "0", "0.0.png"),
            ("land", "0", "0", "0.png.png"),
            ("land", "0", "99999999999", "0.png"),
        ] {
            let error = TileAddress::parse(layers, z, x, y).unwrap_err();
            assert!(!error.is_out_of_range(), "{layers} {z} {x} {y}: {error}");
        }
    }

    #[test]
    fn a_tile_beyond_the_edge_is_out_of_range() {
        for (z, x, y) in [
            ("13", "0", "0.png"),
            ("4000000000", "0", "0.png"),
            ("0", "1", "0.png"),
            ("12", "4095", "4096.png"),
        ] {
            let error = TileAddress::parse("land", z, x, y).unwrap_err();
            assert!(error.is_out_of_range(), "{z} {x} {y}: {error}");
        }
        assert!(TileAddress::parse("land", "12", "4095", "4095.png").is_ok());
    }
}
