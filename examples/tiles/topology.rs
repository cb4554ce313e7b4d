//! TopoJSON, decoded as far as this example needs it: arcs, and polygons made of them.

use std::fmt;

use serde::Deserialize;

/// A decoded topology in degrees.
#[derive(Debug)]
pub(crate) struct Topology {
    /// Longitude and latitude.
    pub(crate) arcs: Vec<Vec<[f64; 2]>>,
    pub(crate) countries: Vec<Shape>,
    pub(crate) land: Vec<Shape>,
}

/// One geometry: a name, if it has one, and polygons whose rings are lists of arcs.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: Option<String>,
    pub(crate) polygons: Vec<Vec<Vec<ArcRef>>>,
}

/// An arc as a ring uses it: TopoJSON writes `~index` for an arc that is walked backwards.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(from = "i64")]
pub(crate) struct ArcRef {
    pub(crate) index: usize,
    pub(crate) backwards: bool,
}

impl From<i64> for ArcRef {
    fn from(raw: i64) -> Self {
        let backwards = raw < 0;
        let index = if backwards { !raw } else { raw };
        // Too large an index for this machine is as wrong as one beyond the last arc.
        Self {
            index: usize::try_from(index).unwrap_or(usize::MAX),
            backwards,
        }
    }
}

#[derive(Debug)]
pub(crate) enum TopologyError {
    Json(serde_json::Error),
    NoSuchArc(usize),
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(_) => write!(f, "the map's data is not the TopoJSON that was expected"),
            Self::NoSuchArc(index) => write!(
                f,
                "a ring of the map's data uses arc {index}, which is missing"
            ),
        }
    }
}

impl std::error::Error for TopologyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::NoSuchArc(_) => None,
        }
    }
}

impl Topology {
    /// Decodes a quantized topology with the objects `countries` and `land`.
    pub(crate) fn decode(json: &str) -> Result<Self, TopologyError> {
        let file: File = serde_json::from_str(json).map_err(TopologyError::Json)?;
        let topology = Self {
            arcs: file
                .arcs
                .iter()
                .map(|arc| file.transform.decode(arc))
                .collect(),
            countries: file.objects.countries.shapes(),
            land: file.objects.land.shapes(),
        };
        let rings = topology
            .countries
            .iter()
            .chain(&topology.land)
            .flat_map(|shape| shape.polygons.iter().flatten());
        match rings.flatten().find(|arc| arc.index >= topology.arcs.len()) {
            Some(arc) => Err(TopologyError::NoSuchArc(arc.index)),
            None => Ok(topology),
        }
    }

    /// The points of a ring, whose arcs share their end points; the first is not repeated last.
    pub(crate) fn ring(&self, arcs: &[ArcRef]) -> Vec<[f64; 2]> {
        let mut points = Vec::new();
        for arc in arcs {
            // The last point of an arc is the first of the next one.
            points.pop();
            let stored = self.arcs[arc.index].iter().copied();
            if arc.backwards {
                points.extend(stored.rev());
            } else {
                points.extend(stored);
            }
        }
        points.pop();
        points
    }
}

#[derive(Deserialize)]
struct File {
    transform: Transform,
    arcs: Vec<Vec<[f64; 2]>>,
    objects: Objects,
}

/// How the integers of a quantized arc become degrees.
#[derive(Deserialize)]
struct Transform {
    scale: [f64; 2],
    translate: [f64; 2],
}

impl Transform {
    /// The first point of an arc is absolute, each further one relative to its predecessor.
    fn decode(&self, deltas: &[[f64; 2]]) -> Vec<[f64; 2]> {
        deltas
            .iter()
            .scan([0.0, 0.0], |sum, delta| {
                *sum = [sum[0] + delta[0], sum[1] + delta[1]];
                Some([0, 1].map(|axis| sum[axis] * self.scale[axis] + self.translate[axis]))
            })
            .collect()
    }
}

#[derive(Deserialize)]
struct Objects {
    countries: Collection,
    land: Collection,
}

#[derive(Deserialize)]
struct Collection {
    geometries: Vec<Geometry>,
}

impl Collection {
    fn shapes(self) -> Vec<Shape> {
        self.geometries.into_iter().map(Shape::from).collect()
    }
}

#[derive(Deserialize)]
struct Geometry {
    #[serde(flatten)]
    outline: Outline,
    #[serde(default)]
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(tag = "type", content = "arcs")]
enum Outline {
    Polygon(Vec<Vec<ArcRef>>),
    MultiPolygon(Vec<Vec<Vec<ArcRef>>>),
}

#[derive(Default, Deserialize)]
struct Properties {
    name: Option<String>,
}

impl From<Geometry> for Shape {
    fn from(geometry: Geometry) -> Self {
        let polygons = match geometry.outline {
            Outline::Polygon(rings) => vec![rings],
            Outline::MultiPolygon(polygons) => polygons,
        };
        Self {
            name: geometry.properties.name,
            polygons,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two unit squares side by side: arc 0 is their common edge, 1 and 2 are the rest of each.
    fn squares(last_arc: i32) -> String {
        format!(
            r#"{{"type": "Topology",
            "transform": {{"scale": [0.5, 0.5], "translate": [10, 20]}},
            "arcs": [[[2, 0], [0, 2]], [[2, 2], [-2, 0], [0, -2], [2, 0]], [[2, 2], [2, 0], [0, -2], [-2, 0]]],
            "objects": {{
                "countries": {{"type": "GeometryCollection", "geometries": [
                    {{"type": "Polygon", "arcs": [[0, 1]], "id": "001", "properties": {{"name": "West"}}}},
                    {{"type": "MultiPolygon", "arcs": [[[-1, {last_arc}]]]}}
                ]}},
                "land": {{"type": "GeometryCollection", "geometries": []}}
            }}}}"#
        )
    }

    #[test]
    fn deltas_are_summed_and_scaled() {
        let topology = Topology::decode(&squares(-3)).unwrap();
        assert_eq!(
            topology.arcs[1],
            [[11.0, 21.0], [10.0, 21.0], [10.0, 20.0], [11.0, 20.0]]
        );
    }

    #[test]
    fn a_ring_joins_its_arcs_without_repeating_a_point() {
        let topology = Topology::decode(&squares(-3)).unwrap();
        let [west, east] = &topology.countries[..] else {
            panic!("two countries")
        };
        assert_eq!(west.name.as_deref(), Some("West"));
        assert_eq!(
            topology.ring(&west.polygons[0][0]),
            [[11.0, 20.0], [11.0, 21.0], [10.0, 21.0], [10.0, 20.0]]
        );
        assert_eq!(east.name, None);
        assert_eq!(
            east.polygons[0][0][0],
            ArcRef {
                index: 0,
                backwards: true
            }
        );
    }

    #[test]
    fn a_missing_arc_is_an_error() {
        let error = Topology::decode(&squares(3)).unwrap_err();
        assert!(matches!(error, TopologyError::NoSuchArc(3)), "{error}");
    }
}
