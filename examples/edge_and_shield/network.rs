//! All of it: an origin, shields in front of it, edges in front of these.

use crate::{
    arguments::Arguments, edge::Edge, load::Load, objects::Objects, origin::Origin, shield::Shield,
    table::Table,
};
use std::{error::Error, fmt, sync::Arc};

#[derive(Debug)]
pub(crate) struct Network {
    edges: Vec<Edge>,
    shields: Vec<Shield>,
    origin: Origin,
    objects: Arc<Objects>,
    load: Arc<Load>,
}

impl Network {
    pub(crate) async fn start(
        arguments: &Arguments,
        load: Arc<Load>,
    ) -> Result<Self, Box<dyn Error>> {
        let objects = Arc::new(Objects::new(arguments.objects, arguments.shields));
        let (delay, max_age) = (arguments.origin_delay, arguments.max_age);
        let origin = Origin::start(objects.clone(), delay, max_age).await?;
        let mut shields = Vec::new();
        for number in 1..=arguments.shields {
            shields.push(Shield::start(number, &origin.url).await?);
        }
        let urls: Vec<&str> = shields.iter().map(|shield| &*shield.url).collect();
        let mut edges = Vec::new();
        for number in 1..=arguments.edges {
            let (memory, objects) = (arguments.edge_memory, objects.clone());
            edges.push(Edge::start(number, &origin.url, &urls, memory, objects).await?);
        }
        Ok(Self {
            edges,
            shields,
            origin,
            objects,
            load,
        })
    }

    /// Of the first edge.
    pub(crate) fn edge_url(&self) -> &str {
        self.edges.first().map_or("", |edge| &edge.url)
    }

    pub(crate) fn has_shields(&self) -> bool {
        !self.shields.is_empty()
    }

    pub(crate) fn edge_urls(&self) -> Vec<String> {
        self.edges.iter().map(|edge| edge.url.clone()).collect()
    }

    /// The shield of this number, from 1.
    pub(crate) fn shield(&self, number: usize) -> Option<&Shield> {
        self.shields.get(number.checked_sub(1)?)
    }

    pub(crate) fn table(&self) -> Table {
        Table {
            edges: self.edges.iter().map(Edge::row).collect(),
            shields: self.shields.iter().map(Shield::row).collect(),
            origin: self.origin.asked(),
            objects_asked: self.objects.count_asked(),
            fetches: self.objects.fetches(),
            load: self.load.answers(),
        }
    }

    /// From the viewers' side on: so what is under way finds its answer.
    pub(crate) async fn stop(&self) {
        for edge in &self.edges {
            edge.stop().await;
        }
        for shield in &self.shields {
            shield.down().await;
        }
        self.origin.stop().await;
    }
}

/// The addresses.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table();
        for row in table.edges.iter().chain(&table.shields) {
            writeln!(f, "{} on {}", row.name, row.url)?;
        }
        writeln!(f, "origin on {}", table.origin.url)
    }
}
