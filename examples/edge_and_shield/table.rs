//! The table: what has been counted, as text and as JSON.

use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;

/// What has been counted so far.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) edges: Vec<Row>,
    pub(crate) shields: Vec<Row>,
    pub(crate) origin: Asked,
    /// How many objects viewers asked for.
    pub(crate) objects_asked: u64,
    /// Of each object: how often edges fetched it from the origin, the first shield did, the second, and so on.
    pub(crate) fetches: Vec<Vec<u64>>,
    pub(crate) load: Answers,
}

/// The requests to a cache, and who answered them.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) is_up: bool,
    pub(crate) requests: u64,
    /// The cache itself.
    pub(crate) hits: u64,
    /// A fetch that was under way for another request.
    pub(crate) shared: u64,
    /// A shield, from what it has stored.
    pub(crate) shield: u64,
    /// The origin, or in an edge's row a shield that waited for it.
    pub(crate) origin: u64,
    pub(crate) errors: u64,
}

/// The requests to the origin.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Asked {
    pub(crate) url: String,
    pub(crate) requests: u64,
    /// Answered by a 304.
    pub(crate) confirmed: u64,
}

/// What the load's viewers got.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Answers {
    pub(crate) right: u64,
    /// No answer, not a 200, or not the object.
    pub(crate) failed: u64,
}

impl Table {
    fn origin_fetches(&self) -> u64 {
        self.fetches.iter().flatten().sum()
    }

    fn fetches_per_object(&self) -> Option<f64> {
        ratio(self.origin_fetches(), self.objects_asked)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "edges": self.edges,
            "shields": self.shields,
            "origin": self.origin,
            "objects_asked": self.objects_asked,
            "origin_fetches": self.origin_fetches(),
            "fetches": self.fetches,
            "load": self.load,
        })
    }

    /// The edges and the summary in one line, after so many seconds.
    pub(crate) fn line(&self, seconds: u64) -> String {
        let sum = |count: fn(&Row) -> u64| self.edges.iter().map(count).sum::<u64>();
        format!(
            "{seconds:>4} s  requests {}  hits {}  shared {}  shield {}  origin {}  errors {}  fetches per object {}",
            sum(|edge| edge.requests),
            sum(|edge| edge.hits),
            sum(|edge| edge.shared),
            sum(|edge| edge.shield),
            sum(|edge| edge.origin),
            sum(|edge| edge.errors),
            decimals(self.fetches_per_object(), 2),
        )
    }
}

/// A line for each, of at most 80 columns.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = [
            "requests", "hits", "hits %", "shared", "shield", "origin", "errors",
        ];
        line(f, "", columns.map(str::to_owned), "")?;
        for edge in &self.edges {
            line(f, &edge.name, edge.cells(edge.shield.to_string()), "")?;
        }
        for shield in &self.shields {
            let state = if shield.is_up { "up" } else { "down" };
            line(f, &shield.name, shield.cells("-".into()), state)?;
        }
        let dash = |_| "-".to_owned();
        let mut cells = [(); 7].map(dash);
        cells[0] = self.origin.requests.to_string();
        line(f, "origin", cells, "")?;

        let fetches = self.origin_fetches();
        let confirmed = match self.origin.confirmed {
            0 => String::new(),
            confirmed => format!(" ({confirmed} of a 304)"),
        };
        let per_object = decimals(self.fetches_per_object(), 2);
        let asked = self.objects_asked;
        writeln!(f)?;
        writeln!(
            f,
            "objects asked for {asked}, origin fetches {fetches}{confirmed}, per object {per_object}",
        )?;
        let Answers { right, failed } = self.load;
        writeln!(
            f,
            "the load's viewers: {right} right answers, {failed} failed"
        )
    }
}

impl Row {
    fn cells(&self, shield: String) -> [String; 7] {
        let percent = ratio(self.hits, self.requests).map(|part| part * 100.0);
        [
            self.requests.to_string(),
            self.hits.to_string(),
            decimals(percent, 1),
            self.shared.to_string(),
            shield,
            self.origin.to_string(),
            self.errors.to_string(),
        ]
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, cells: [String; 7], state: &str) -> fmt::Result {
    let [requests, hits, percent, shared, shield, origin, errors] = cells;
    let line = format!(
        "{name:<9}{requests:>10}{hits:>10}{percent:>8}{shared:>9}{shield:>9}{origin:>9}{errors:>8}  {state}"
    );
    writeln!(f, "{}", line.trim_end())
}

#[allow(clippy::cast_precision_loss, reason = "it is shown with few digits")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn decimals(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, counts: [u64; 6]) -> Row {
        let [requests, hits, shared, shield, origin, errors] = counts;
        Row {
            name: name.to_owned(),
            url: "http://127.0.0.1:1".to_owned(),
            is_up: true,
            requests,
            hits,
            shared,
            shield,
            origin,
            errors,
        }
    }

    fn table() -> Table {
        let mut down = row("shield 2", [9, 1, 0, 0, 6, 2]);
        down.is_up = false;
        Table {
            edges: vec![
                row("edge 1", [4_012, 3_201, 3, 708, 100, 0]),
                row("edge 2", [4_011, 3_199, 0, 700, 112, 0]),
            ],
            shields: vec![row("shield 1", [1_620, 1_408, 6, 0, 206, 0]), down],
            origin: Asked {
                url: "http://127.0.0.1:2".to_owned(),
                requests: 212,
                confirmed: 0,
            },
            objects_asked: 160,
            fetches: vec![vec![0, 200, 4], vec![1, 6, 1]],
            load: Answers {
                right: 8_023,
                failed: 0,
            },
        }
    }

    #[test]
    fn a_table_has_a_line_for_each() {
        let golden = "\
\x20          requests      hits  hits %   shared   shield   origin  errors
edge 1         4012      3201    79.8        3      708      100       0
edge 2         4011      3199    79.8        0      700      112       0
shield 1       1620      1408    86.9        6        -      206       0  up
shield 2          9         1    11.1        0        -        6       2  down
origin          212         -       -        -        -        -       -

objects asked for 160, origin fetches 212, per object 1.32
the load's viewers: 8023 right answers, 0 failed
";
        assert_eq!(table().to_string(), golden);
        let mut confirmed = table();
        confirmed.origin.confirmed = 7;
        let line = "objects asked for 160, origin fetches 212 (7 of a 304), per object 1.32\n";
        assert!(confirmed.to_string().contains(line));
    }

    #[test]
    fn a_line_is_no_wider_than_a_terminal_until_a_thousand_million() {
        let mut table = table();
        let counts = [
            999_999_999,
            99_999_999,
            9_999_999,
            9_999_999,
            9_999_999,
            999_999,
        ];
        table.shields[1] = row("shield 2", counts);
        table.shields[1].is_up = false;
        table.origin.requests = 999_999_999;
        table.origin.confirmed = 9_999_999;
        table.objects_asked = 10_000;
        for line in table.to_string().lines() {
            assert!(line.len() < 80, "{line}");
        }
    }

    #[test]
    fn nothing_asked_is_no_share() {
        let table = Table {
            edges: vec![row("edge 1", [0; 6])],
            ..Table::default()
        };
        let text = table.to_string();
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        let line = "edge 1            0         0       -        0        0        0       0\n";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("origin fetches 0, per object -\n"), "{text}");
    }

    #[test]
    fn a_line_sums_the_edges_up() {
        let expected = "  12 s  requests 8023  hits 6400  shared 3  shield 1408  origin 212  errors 0  fetches per object 1.32";
        assert_eq!(table().line(12), expected);
    }
}
