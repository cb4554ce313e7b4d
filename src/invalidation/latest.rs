//! When something was invalidated last.

/// The numbers of the epochs at which something was last invalidated, 0 for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Latest {
    pub(super) hard: u64,
    pub(super) soft: u64,
}

impl Latest {
    pub(super) fn at(number: u64, soft: bool) -> Self {
        match soft {
            true => Self {
                hard: 0,
                soft: number,
            },
            false => Self {
                hard: number,
                soft: 0,
            },
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
        self.hard.max(self.soft)
    }
}
