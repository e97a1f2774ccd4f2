//! The members of a room, found by identity or token, and which of them are ready.

use std::collections::{BTreeMap, BTreeSet};

use super::{ConnectionId, Millis};
use crate::member::{Member, MemberRecord, TokenHash};
use crate::protocol::ClientId;

/// All members, and what is asked of them at every message: no answer takes a look at each one.
#[derive(Debug, Default)]
pub(super) struct Roster {
    members: BTreeMap<ClientId, Member>,
    by_token: BTreeMap<TokenHash, ClientId>,
    ready: BTreeSet<ClientId>,
    /// The members without a connection, longest first.
    away: BTreeSet<(Millis, ClientId)>,
    /// Shards below `next_shard` that nobody has.
    free_shards: BTreeSet<u32>,
    next_shard: u32,
    last_id: u32,
}

impl Roster {
    /// Members as they were stored: all away. Identities up to `last_id` were given, also to members
    /// that are forgotten.
    pub(super) fn restore(records: Vec<MemberRecord>, last_id: u32) -> Self {
        let next_shard = records.iter().map(|record| record.shard.saturating_add(1));
        let next_shard = next_shard.max().unwrap_or_default();
        let mut roster = Self {
            free_shards: (0..next_shard).collect(),
            next_shard,
            last_id,
            ..Self::default()
        };
        for record in records {
            roster.insert(Member::restore(record));
        }
        roster
    }

    fn insert(&mut self, member: Member) {
        let MemberRecord {
            id, token, shard, ..
        } = member.record;
        self.by_token.insert(token, id);
        self.free_shards.remove(&shard);
        self.last_id = self.last_id.max(id.0);
        self.away.insert((member.away_since, id));
        self.members.insert(id, member);
    }

    /// A new member, away, with an identity above all others' and the first free shard.
    pub(super) fn add(&mut self, token: &str, now: Millis) -> ClientId {
        let shard = self.free_shards.pop_first().unwrap_or_else(|| {
            self.next_shard += 1;
            self.next_shard - 1
        });
        let id = ClientId(self.last_id + 1);
        let record = MemberRecord::new(id, TokenHash::of(token), shard);
        self.insert(Member::new(record, now));
        id
    }

    pub(super) fn remove(&mut self, id: ClientId) {
        if let Some(member) = self.members.remove(&id) {
            self.by_token.remove(&member.record.token);
            self.ready.remove(&id);
            self.away.remove(&(member.away_since, id));
            self.free_shards.insert(member.record.shard);
        }
    }

    pub(super) fn member(&self, id: ClientId) -> Option<&Member> {
        self.members.get(&id)
    }

    pub(super) fn member_mut(&mut self, id: ClientId) -> Option<&mut Member> {
        self.members.get_mut(&id)
    }

    /// The member with this resume token.
    pub(super) fn find(&self, token: &str) -> Option<&Member> {
        self.member(*self.by_token.get(&TokenHash::of(token))?)
    }

    /// Gives a member a connection; gives back the one that it replaces.
    pub(super) fn connect(
        &mut self,
        id: ClientId,
        connection: ConnectionId,
        name: String,
    ) -> Option<ConnectionId> {
        let member = self.members.get_mut(&id)?;
        self.ready.remove(&id);
        self.away.remove(&(member.away_since, id));
        member.connect(connection, name)
    }

    pub(super) fn disconnect(&mut self, id: ClientId, now: Millis) {
        if let Some(member) = self.members.get_mut(&id) {
            member.disconnect(now);
            self.ready.remove(&id);
            self.away.insert((now, id));
        }
    }

    /// A member that is connected can be selected, and holds this many texts.
    pub(super) fn make_ready(&mut self, id: ClientId, gold: u32, unlabelled: u32) {
        if let Some(member) = self.members.get_mut(&id) {
            member.ready = true;
            (member.gold, member.unlabelled) = (gold, unlabelled);
            self.ready.insert(id);
        }
    }

    /// The members that can be selected.
    pub(super) fn ready(&self) -> &BTreeSet<ClientId> {
        &self.ready
    }

    /// The member that has been away for longest.
    pub(super) fn longest_away(&self) -> Option<ClientId> {
        self.away.first().map(|(_, id)| *id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_shards_are_given_again() {
        let mut roster = Roster::default();
        let ids: Vec<ClientId> = (0..4).map(|n| roster.add(&format!("{n}"), 0)).collect();
        roster.remove(ids[1]);
        roster.remove(ids[3]);
        let records = roster.iter().map(|member| member.record.clone()).collect();
        for mut roster in [roster, Roster::restore(records, 0)] {
            let place = |roster: &mut Roster, token| {
                let id = roster.add(token, 0);
                roster.member(id).unwrap().record.shard
            };
            let shards = ["4", "5", "6"].map(|token| place(&mut roster, token));
            assert_eq!(shards, [1, 3, 4]);
            assert_eq!(roster.find("2").unwrap().record.id, ids[2]);
            assert!(roster.find("1").is_none());
        }
    }

    #[test]
    fn ready_are_those_that_are_there() {
        let mut roster = Roster::default();
        let (ada, ben) = (roster.add("ada", 0), roster.add("ben", 0));
        for id in [ada, ben] {
            roster.connect(id, ConnectionId(id.0.into()), "name".into());
            roster.make_ready(id, 4, 10);
        }
        assert_eq!(roster.ready(), &[ada, ben].into());
        roster.disconnect(ada, 5);
        assert_eq!(roster.ready(), &[ben].into());
        assert_eq!(roster.longest_away(), Some(ada));
        let replaced = roster.connect(ben, ConnectionId(9), "name".into());
        assert_eq!(replaced, Some(ConnectionId(ben.0.into())));
        assert!(roster.ready().is_empty());
    }
}
