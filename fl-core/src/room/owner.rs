//! What the room's owner asks for.

use super::{Activity, Effect, Millis, OwnerCommand, Room};
use crate::error::Fault;
use crate::protocol::ClientId;

impl Room {
    /// The owner's wish.
    ///
    /// # Errors
    /// A [`Fault`] when it makes no sense now.
    pub fn command(&mut self, command: OwnerCommand, now: Millis) -> Result<(), Fault> {
        if self.activity == Activity::Finished && !matches!(command, OwnerCommand::Remove(_)) {
            return Err(Fault::finished());
        }
        self.changed = true;
        match command {
            OwnerCommand::Start => self.set_activity(Activity::Running),
            OwnerCommand::Pause => self.set_activity(Activity::Paused),
            OwnerCommand::NextRound if self.round.is_some() => self.end_round(now),
            OwnerCommand::NextRound => {
                self.set_activity(Activity::Running);
                let ready = self.members.ready().len();
                if ready < self.settings.round.minimum as usize {
                    return Err(Fault::too_few(self.settings.round.minimum, ready));
                }
                self.start(now);
            }
            OwnerCommand::Finish => self.finish(),
            OwnerCommand::Remove(id) => return self.remove(id, now),
        }
        self.start_if_quorum(now);
        Ok(())
    }

    fn remove(&mut self, id: ClientId, now: Millis) -> Result<(), Fault> {
        let member = self
            .members
            .member(id)
            .ok_or_else(|| Fault::unknown_client(id))?;
        if let Some(connection) = member.connection {
            self.effects
                .push(Effect::Close(connection, Fault::removed()));
            self.leave(connection, id, now);
        } else {
            self.members.remove(id);
            self.effects.push(Effect::ForgetMember(id));
        }
        Ok(())
    }

    pub(super) fn set_activity(&mut self, activity: Activity) {
        if self.activity != activity {
            self.activity = activity;
            self.effects.push(Effect::StoreActivity(activity));
        }
        if activity != Activity::Running && self.round.is_none() {
            self.drop_carried();
        }
    }

    pub(super) fn finish(&mut self) {
        self.set_activity(Activity::Finished);
        if let Some(round) = self.round.take() {
            self.cancel_working(&round);
            if self.settings.round.mode.is_asynchronous() {
                // Those that worked on an earlier adapter have not had it yet.
                self.announce_global();
            }
        }
    }
}
