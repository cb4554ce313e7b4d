//! The world as it is drawn: projected once, at start up, with a box around every part.

use std::collections::BTreeSet;

use crate::geometry::{Bounds, Point, project};
use crate::labels::{LabelSet, Name};
use crate::palette;
use crate::topology::{Shape, Topology, TopologyError};

const OUTLINES: &str = include_str!("data/countries-50m.json");

/// All geometry, on the projected world's square.
pub(crate) struct World {
    pub(crate) land: Vec<Part>,
    pub(crate) countries: Vec<Country>,
    /// Where land ends.
    pub(crate) coasts: Vec<Part>,
    /// Where one country ends and another begins.
    pub(crate) borders: Vec<Part>,
    pub(crate) labels: LabelSet,
}

pub(crate) struct Country {
    pub(crate) rings: Vec<Part>,
    /// An index into [`palette::TINTS`].
    pub(crate) tint: usize,
}

/// A ring or a line, and the box around it. One that crosses the 180th meridian goes on beyond the
/// world's square.
pub(crate) struct Part {
    pub(crate) points: Vec<Point>,
    pub(crate) bounds: Bounds,
}

impl Part {
    fn new(degrees: &[[f64; 2]]) -> Self {
        let points: Vec<Point> = degrees.iter().copied().map(project).collect();
        Self {
            bounds: Bounds::of(&points),
            points,
        }
    }

    fn ring(mut degrees: Vec<[f64; 2]>) -> Self {
        let Some(&first) = degrees.first() else {
            return Self::new(&[]);
        };
        degrees.push(first);
        make_continuous(&mut degrees);
        let last = degrees[degrees.len() - 1];
        if last != first {
            // It runs around the pole, as Antarctica does: on this map, along the lower rim.
            degrees.extend([[last[0], -90.0], [first[0], -90.0]]);
        }
        Self::new(&degrees)
    }

    fn line(mut degrees: Vec<[f64; 2]>) -> Self {
        make_continuous(&mut degrees);
        Self::new(&degrees)
    }
}

impl World {
    /// Decodes and projects the outlines that are compiled in.
    pub(crate) fn load() -> Result<Self, TopologyError> {
        let topology = Topology::decode(OUTLINES)?;
        let sharing = Sharing::of(&topology);
        let tints = sharing.tints(topology.countries.len());

        let countries: Vec<Country> = topology
            .countries
            .iter()
            .zip(tints)
            .map(|(shape, tint)| Country {
                rings: rings(&topology, shape),
                tint,
            })
            .collect();
        let names = topology
            .countries
            .iter()
            .zip(&countries)
            .filter_map(|(shape, country)| Name::place(shape.name.as_deref()?, &country.rings));

        let mut coasts = Vec::new();
        let mut borders = Vec::new();
        for (arc, countries) in topology.arcs.iter().zip(&sharing.countries_of_arc) {
            let lines = without_seam(arc);
            match countries.len() {
                0 => {}
                1 => coasts.extend(lines),
                _ => borders.extend(lines),
            }
        }

        Ok(Self {
            land: topology
                .land
                .iter()
                .flat_map(|shape| rings(&topology, shape))
                .collect(),
            labels: LabelSet::new(names.collect()),
            countries,
            coasts,
            borders,
        })
    }
}

fn rings(topology: &Topology, shape: &Shape) -> Vec<Part> {
    shape
        .polygons
        .iter()
        .flatten()
        .map(|ring| Part::ring(topology.ring(ring)))
        .collect()
}

/// Lets longitudes run on past 180 degrees instead of jumping to the other side of the world.
fn make_continuous(degrees: &mut [[f64; 2]]) {
    let mut turn = 0.0;
    let mut previous: Option<f64> = None;
    for [longitude, _] in degrees {
        if let Some(previous) = previous {
            if *longitude - previous > 180.0 {
                turn -= 360.0;
            } else if *longitude - previous < -180.0 {
                turn += 360.0;
            }
        }
        previous = Some(*longitude);
        *longitude += turn;
    }
}

/// The lines of an arc without the remains of cuts along the 180th meridian and around the south
/// pole, which are no coast.
fn without_seam(arc: &[[f64; 2]]) -> Vec<Part> {
    let on_seam = |point: &[f64; 2]| point[0].abs() > 179.99 || point[1] < -89.9;
    arc.chunk_by(|a, b| !(on_seam(a) && on_seam(b)))
        .filter(|line| line.len() > 1)
        .map(|line| Part::line(line.to_vec()))
        .collect()
}

/// Which countries use which arc: an arc of two is a border, and those two are neighbours.
struct Sharing {
    countries_of_arc: Vec<BTreeSet<usize>>,
}

impl Sharing {
    fn of(topology: &Topology) -> Self {
        let mut countries_of_arc = vec![BTreeSet::new(); topology.arcs.len()];
        for (country, shape) in topology.countries.iter().enumerate() {
            for arc in shape.polygons.iter().flatten().flatten() {
                countries_of_arc[arc.index].insert(country);
            }
        }
        Self { countries_of_arc }
    }

    /// A tint for each country that none of its neighbours has; those with most neighbours choose
    /// first, and everyone takes the tint that is used least.
    fn tints(&self, countries: usize) -> Vec<usize> {
        let mut neighbours = vec![BTreeSet::new(); countries];
        for sharers in &self.countries_of_arc {
            for &one in sharers {
                neighbours[one].extend(sharers.iter().copied().filter(|&other| other != one));
            }
        }
        let mut order: Vec<usize> = (0..countries).collect();
        order.sort_by_key(|&country| std::cmp::Reverse(neighbours[country].len()));

        let mut tints: Vec<Option<usize>> = vec![None; countries];
        let mut used = [0_usize; palette::TINTS.len()];
        for country in order {
            let taken: BTreeSet<usize> = neighbours[country]
                .iter()
                .filter_map(|&other| tints[other])
                .collect();
            let tint = (0..used.len())
                .min_by_key(|tint| (taken.contains(tint), used[*tint]))
                .unwrap_or_default();
            used[tint] += 1;
            tints[country] = Some(tint);
        }
        tints.into_iter().map(Option::unwrap_or_default).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_neighbours_have_the_same_tint() {
        let topology = Topology::decode(OUTLINES).unwrap();
        let sharing = Sharing::of(&topology);
        let tints = sharing.tints(topology.countries.len());
        for sharers in &sharing.countries_of_arc {
            let distinct: BTreeSet<usize> = sharers.iter().map(|&country| tints[country]).collect();
            assert_eq!(distinct.len(), sharers.len(), "{sharers:?}");
        }
    }

    #[test]
    fn a_ring_across_the_180th_meridian_stays_in_one_piece() {
        let ring = Part::ring(vec![
            [170.0, 0.0],
            [-170.0, 0.0],
            [-170.0, 10.0],
            [170.0, 10.0],
        ]);
        assert!((ring.bounds.right - ring.bounds.left - 20.0 / 360.0).abs() < 1e-9);
    }

    #[test]
    fn a_ring_around_the_pole_is_closed_below_the_map() {
        let ring = Part::ring(vec![[-180.0, -80.0], [-60.0, -75.0], [60.0, -75.0]]);
        assert!((ring.bounds.right - ring.bounds.left - 1.0).abs() < 1e-9);
        assert!(ring.bounds.bottom > 1.0);
    }

    #[test]
    fn the_seam_is_no_coast() {
        let arc = [[170.0, 1.0], [180.0, 1.0], [180.0, 5.0], [175.0, 5.0]];
        let lines = without_seam(&arc);
        assert_eq!(
            lines
                .iter()
                .map(|line| line.points.len())
                .collect::<Vec<_>>(),
            [2, 2]
        );
    }
}
