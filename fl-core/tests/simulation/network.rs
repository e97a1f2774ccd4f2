//! Links that keep their order, delay every frame, and break.

use fl_core::room::{ConnectionId, Millis};
use rand::RngExt;

use super::{Event, Frame, Simulation};

impl Simulation {
    /// Sends in order, or breaks the link and loses what is under way.
    pub(super) fn transmit(
        &mut self,
        link: ConnectionId,
        frame: Frame,
        event: fn(ConnectionId, Frame) -> Event,
    ) {
        if !self.links.contains_key(&link) {
            return;
        }
        if self.finished_at.is_none() && self.rng.random_bool(self.world.loss) {
            self.cut(link);
            return;
        }
        let after = self.order(link);
        self.schedule(after, event(link, frame));
    }

    /// Delay of the next frame on a link: random, but never before an earlier frame.
    pub(super) fn order(&mut self, link: ConnectionId) -> Millis {
        let arrives = self.now + self.rng.random_range(5..150);
        let Some((_, last)) = self.links.get_mut(&link) else {
            return 1;
        };
        *last = (*last).max(arrives);
        *last - self.now
    }

    pub(super) fn cut(&mut self, link: ConnectionId) {
        let Some((owner, _)) = self.links.remove(&link) else {
            return;
        };
        let (server, client) = (
            self.rng.random_range(1..9_000),
            self.rng.random_range(1..9_000),
        );
        self.schedule(server, Event::ServerSeesEnd(link));
        self.schedule(client, Event::ClientSeesEnd(owner, link));
    }
}
