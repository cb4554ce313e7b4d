//! When something was invalidated last.

/// The numbers of the epochs at which something was last invalidated, 0 for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Latest {
    pub(super) hard: u64,
    pub(super) soft: Soft,
}

/// The last soft one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Soft {
    pub(super) number: u64,
    /// When it was issued.
    pub(super) at: u64,
}

impl Latest {
    pub(super) fn hard(number: u64) -> Self {
        Self {
            hard: number,
            ..Self::default()
        }
    }

    pub(super) fn soft(number: u64, at: u64) -> Self {
        Self {
            soft: Soft { number, at },
            ..Self::default()
        }
    }

    /// The later of both, each way.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            hard: self.hard.max(other.hard),
            soft: self.soft.max(other.soft),
        }
    }

    /// The later one, whichever way.
    pub(super) fn newest(self) -> u64 {
        self.hard.max(self.soft.number)
    }
}
