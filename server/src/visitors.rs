//! What each address may do: WebSockets at once, rooms opened, codes tried.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fl_core::error::Fault;
use tokio::time::Instant;

use crate::limits::Limits;
use crate::pace::Pace;

/// Addresses known before those are forgotten of which nothing is worth knowing.
const SWEPT_FROM: usize = 1_024;

/// Whom an address stands for.
///
/// Whoever has one address of IPv6 has the 2⁶⁴ of its network, so that network counts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Who(IpAddr);

impl From<IpAddr> for Who {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                IpAddr::V6(network.into())
            }
            v4 => v4,
        })
    }
}

/// All addresses of which something is to be remembered. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Visitors {
    limits: Limits,
    book: Arc<Mutex<Book>>,
}

#[derive(Debug)]
struct Book {
    pages: HashMap<Who, Page>,
    swept_from: usize,
}

#[derive(Debug)]
struct Page {
    sockets: usize,
    rooms: Pace,
    codes: Pace,
}

impl Visitors {
    /// Nobody yet.
    pub(crate) fn new(limits: Limits) -> Self {
        let book = Book {
            pages: HashMap::new(),
            swept_from: SWEPT_FROM,
        };
        Self {
            limits,
            book: Arc::new(Mutex::new(book)),
        }
    }

    /// A place for one more WebSocket, given back when it is dropped.
    pub(crate) fn seat(&self, who: Who) -> Result<Seat, Fault> {
        let most = self.limits.connections_per_address;
        let mut book = self.book();
        let page = book.page(who, &self.limits, Instant::now());
        if page.sockets >= most {
            let message = format!("Your address holds {most} connections, and no more fit.");
            return Err(Fault::overloaded(message));
        }
        page.sockets += 1;
        let visitors = self.clone();
        Ok(Seat { visitors, who })
    }

    /// Counts a wish to open a room.
    pub(crate) fn open_room(&self, who: Who) -> Result<(), Fault> {
        let now = Instant::now();
        let mut book = self.book();
        let rooms = &mut book.page(who, &self.limits, now).rooms;
        rooms.take(now).map_err(|_| {
            let message = "Too many rooms were opened from your address.";
            Fault::rate_limited(message, rooms.seconds_to_wait())
        })
    }

    /// Tries a secret, unless this address has tried too many wrong ones. Then even a right one is
    /// not looked at, so that nobody learns which it was.
    pub(crate) fn attempt<T>(
        &self,
        who: Who,
        attempt: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.attempt_at(who, Instant::now(), attempt)
    }

    fn attempt_at<T>(
        &self,
        who: Who,
        now: Instant,
        attempt: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        // Held meanwhile: a thousand attempts at once count one by one.
        let mut book = self.book();
        if let Some(page) = book.pages.get_mut(&who) {
            page.codes.check(now).map_err(|_| {
                let message = "Too many wrong codes came from your address.";
                Fault::rate_limited(message, page.codes.seconds_to_wait())
            })?;
        }
        let result = attempt();
        if result.is_err() {
            // There is one, as was checked.
            let _ = book.page(who, &self.limits, now).codes.take(now);
        }
        result
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn page(&mut self, who: Who, limits: &Limits, now: Instant) -> &mut Page {
        if self.pages.len() >= self.swept_from && !self.pages.contains_key(&who) {
            self.pages.retain(|_, page| !page.is_blank(now));
            // So that sweeping takes a bounded share of the time.
            self.swept_from = SWEPT_FROM.max(self.pages.len() * 2);
        }
        self.pages.entry(who).or_insert_with(|| Page {
            sockets: 0,
            rooms: Pace::per_minute(limits.rooms_per_address_and_minute, now),
            codes: Pace::per_minute(limits.wrong_codes_per_address_and_minute, now),
        })
    }
}

impl Page {
    fn is_blank(&mut self, now: Instant) -> bool {
        self.sockets == 0 && self.rooms.is_full(now) && self.codes.is_full(now)
    }
}

/// A WebSocket's place among those of its address.
#[derive(Debug)]
pub(crate) struct Seat {
    visitors: Visitors,
    who: Who,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(page) = self.visitors.book().pages.get_mut(&self.who) {
            page.sockets -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fl_core::error::FaultCode;

    use super::*;

    fn who(address: &str) -> Who {
        Who::from(address.parse::<IpAddr>().unwrap())
    }

    fn visitors() -> Visitors {
        Visitors::new(Limits {
            connections_per_address: 2,
            rooms_per_address_and_minute: 2,
            wrong_codes_per_address_and_minute: 2,
            ..Limits::default()
        })
    }

    fn wrong() -> Result<(), Fault> {
        Err(Fault::unknown_room("X"))
    }

    #[test]
    fn networks_of_version_6_and_mapped_addresses_count_as_one() {
        assert_eq!(who("2001:db8::1"), who("2001:db8::ffff:1:2:3"));
        assert_ne!(who("2001:db8::1"), who("2001:db8:0:1::1"));
        assert_eq!(who("::ffff:192.0.2.1"), who("192.0.2.1"));
        assert_ne!(who("192.0.2.1"), who("192.0.2.2"));
    }

    #[test]
    fn seats_are_counted_by_address_and_come_back() {
        let visitors = visitors();
        let first = visitors.seat(who("192.0.2.1")).unwrap();
        let _second = visitors.seat(who("192.0.2.1")).unwrap();
        let full = visitors.seat(who("192.0.2.1")).unwrap_err();
        assert_eq!(full.code, FaultCode::Overloaded);
        let _other = visitors.seat(who("192.0.2.2")).unwrap();
        drop(first);
        visitors.seat(who("192.0.2.1")).unwrap();
    }

    #[test]
    fn wrong_codes_close_the_door_to_right_ones_for_a_while() {
        let (visitors, now) = (visitors(), Instant::now());
        let guesser = who("192.0.2.1");
        for _ in 0..2 {
            visitors.attempt_at(guesser, now, || Ok(())).unwrap();
            let fault = visitors.attempt_at(guesser, now, wrong).unwrap_err();
            assert_eq!(fault.code, FaultCode::UnknownRoom);
        }
        let fault = visitors.attempt_at(guesser, now, || Ok(())).unwrap_err();
        assert_eq!(fault.code, FaultCode::RateLimited);
        visitors
            .attempt_at(who("192.0.2.2"), now, || Ok(()))
            .unwrap();
        let later = now + Duration::from_secs(30);
        visitors.attempt_at(guesser, later, || Ok(())).unwrap();
    }

    #[test]
    fn only_what_matters_is_remembered() {
        let (visitors, start) = (visitors(), Instant::now());
        let numbered = |number: usize| Who(IpAddr::V4(u32::try_from(number).unwrap().into()));
        let seat = visitors.seat(numbered(0)).unwrap();
        for number in 1..SWEPT_FROM {
            let _ = visitors.attempt_at(numbered(number), start, wrong);
        }
        assert_eq!(visitors.book().pages.len(), SWEPT_FROM);
        let later = start + Duration::from_secs(60);
        let _ = visitors.attempt_at(numbered(SWEPT_FROM), later, wrong);
        assert_eq!(visitors.book().pages.len(), 2);
        drop(seat);
    }
}
