//! Belady's bound: what a cache could do that knew all requests to come.
//!
//! With objects of different sizes the best is NP-hard to find. Two stand in for it, both of which may refuse: for bytes,
//! what is asked for last goes; for objects, what has the most bytes times time until its next request goes, by classes of
//! size (each a fifth larger than the one before). Where either does better than the other's figure, the better is given.

use crate::{Ratio, trace::Trace};
use std::collections::BTreeSet;

const NEVER: u32 = u32::MAX;

pub(crate) fn belady(trace: &Trace, overhead: u64, cap: u64) -> Ratio {
    let next = next_requests(&trace.requests);
    let by_time = run(trace, &next, overhead, cap, |_| 0);
    let by_area = run(trace, &next, overhead, cap, |size| {
        ((size as f64).ln() / 1.2_f64.ln()) as usize
    });
    Ratio {
        objects: by_time.objects.max(by_area.objects),
        bytes: by_time.bytes.max(by_area.bytes),
    }
}

/// A cache that keeps all: only first requests miss.
pub(crate) fn infinite(trace: &Trace) -> Ratio {
    let mut seen = vec![false; trace.sizes.len()];
    Ratio::of(trace, |object, _| {
        std::mem::replace(&mut seen[object as usize], true)
    })
}

fn next_requests(requests: &[u32]) -> Vec<u32> {
    let objects = requests.iter().max().map_or(0, |most| *most as usize + 1);
    let mut last = vec![NEVER; objects];
    let mut next = vec![NEVER; requests.len()];
    for (at, object) in requests.iter().enumerate().rev() {
        next[at] = std::mem::replace(&mut last[*object as usize], at as u32);
    }
    next
}

fn run(trace: &Trace, next: &[u32], overhead: u64, cap: u64, class: fn(u64) -> usize) -> Ratio {
    let mut classes: Vec<BTreeSet<(u32, u32)>> = vec![BTreeSet::new(); 128];
    let mut kept = vec![NEVER; trace.sizes.len()];
    let (mut used, mut now) = (0_u64, 0_usize);
    let weigh = |object: u32| u64::from(trace.sizes[object as usize]) + overhead;
    Ratio::of(trace, |object, _| {
        let weight = weigh(object);
        let at = class(weight);
        let hit = classes[at].remove(&(kept[object as usize], object));
        let then = next[now];
        now += 1;
        if hit {
            used -= weight;
        }
        if then == NEVER || weight > cap {
            return hit;
        }
        kept[object as usize] = then;
        classes[at].insert((then, object));
        used += weight;
        while used > cap {
            let worst = classes.iter().enumerate().filter_map(|(at, class)| {
                let (then, object) = *class.last()?;
                let time = u64::from(then) - now as u64 + 1;
                let cost = if at == 0 { time } else { time * weigh(object) };
                Some((cost, at))
            });
            let Some((_, at)) = worst.max() else {
                return hit;
            };
            if let Some((_, gone)) = classes[at].pop_last() {
                used -= weigh(gone);
            }
        }
        hit
    })
}
