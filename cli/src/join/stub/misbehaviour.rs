//! Clients that misbehave on purpose: which ones, and how.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde::Serialize;

/// What a client does wrong, once for every work order that it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Misdeed {
    /// Cuts its connection without a word, then comes back to its place and does the work.
    Drop,
    /// Takes the order and never reports on it.
    Stall,
    /// Sends two thousand messages at once, then its report.
    Flood,
    /// Sends a frame that is no good update, then its report.
    Malformed,
    /// Sends its report twice, and the one of the round before once more.
    Replay,
    /// Sends the first part of its report's frame, and is gone or silent in the midst of it; then
    /// comes back to its place and reports.
    Cut,
    /// Sends its report with one bit turned round on the way, then as it is.
    Flip,
    /// Reports, opens a second connection to its place beside the first, and reports there too.
    Duplicate,
}

impl Misdeed {
    const ALL: [Self; 8] = [
        Self::Drop,
        Self::Stall,
        Self::Flood,
        Self::Malformed,
        Self::Replay,
        Self::Cut,
        Self::Flip,
        Self::Duplicate,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Stall => "stall",
            Self::Flood => "flood",
            Self::Malformed => "malformed",
            Self::Replay => "replay",
            Self::Cut => "cut",
            Self::Flip => "flip",
            Self::Duplicate => "duplicate",
        }
    }
}

/// The shares of all clients that misbehave; a client has one misdeed at most.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shares(BTreeMap<Misdeed, f64>);

impl Shares {
    /// Each client's misdeed: so many of each kind as its share comes to, spread by the seed.
    pub fn deal(&self, clients: u32, seed: u64) -> Vec<Option<Misdeed>> {
        let mut dealt: Vec<Option<Misdeed>> = Vec::new();
        for (&misdeed, &share) in &self.0 {
            let count = (share * f64::from(clients)).round() as usize;
            dealt.extend(std::iter::repeat_n(Some(misdeed), count));
        }
        // Rounding may make one too many of each.
        dealt.resize(clients as usize, None);
        dealt.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        dealt
    }
}

impl FromStr for Shares {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut shares = BTreeMap::new();
        for part in text.split(',') {
            let names = || Misdeed::ALL.map(Misdeed::name).join(", ");
            let Some((name, share)) = part.split_once('=') else {
                return Err(format!(
                    "{part:?}: expected NAME=SHARE with a NAME of {}",
                    names()
                ));
            };
            let misdeed = Misdeed::ALL
                .into_iter()
                .find(|misdeed| misdeed.name() == name.trim());
            let misdeed =
                misdeed.ok_or_else(|| format!("{name:?}: expected one of {}", names()))?;
            let share = share
                .trim()
                .parse()
                .ok()
                .filter(|share| (0.0..=1.0).contains(share));
            let share = share.ok_or_else(|| format!("{part:?}: expected a share from 0 to 1"))?;
            if shares.insert(misdeed, share).is_some() {
                return Err(format!("{} is named twice", misdeed.name()));
            }
        }
        let sum: f64 = shares.values().sum();
        if sum > 1.0 {
            return Err(format!("the shares come to {sum}, expected at most 1"));
        }
        Ok(Self(shares))
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self
            .0
            .iter()
            .map(|(misdeed, share)| format!("{}={share}", misdeed.name()));
        f.write_str(&parts.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_written() {
        let shares: Shares = "stall=0.05, drop=0.1".replace(' ', "").parse().unwrap();
        assert_eq!(shares.to_string(), "drop=0.1,stall=0.05");
        let broken = [
            ("drop", "expected NAME=SHARE"),
            (
                "dorp=0.1",
                "expected one of drop, stall, flood, malformed, replay, cut, flip, duplicate",
            ),
            ("drop=2", "a share from 0 to 1"),
            ("drop=NaN", "a share from 0 to 1"),
            ("drop=0.1,drop=0.1", "named twice"),
            ("drop=0.6,stall=0.6", "come to 1.2"),
        ];
        for (text, expected) in broken {
            let error = text.parse::<Shares>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn every_misdeed_gets_its_share_and_the_seed_decides_who() {
        let shares: Shares = "drop=0.1,replay=0.25".parse().unwrap();
        let dealt = shares.deal(40, 1);
        let count = |wanted| dealt.iter().filter(|misdeed| **misdeed == wanted).count();
        assert_eq!(count(Some(Misdeed::Drop)), 4);
        assert_eq!(count(Some(Misdeed::Replay)), 10);
        assert_eq!(count(None), 26);
        assert_eq!(dealt, shares.deal(40, 1));
        assert_ne!(dealt, shares.deal(40, 2));
        let all: Shares = "drop=0.5,stall=0.5".parse().unwrap();
        assert_eq!(all.deal(3, 0).len(), 3);
    }
}
