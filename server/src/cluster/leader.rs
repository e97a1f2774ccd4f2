//! Leading a room: its task runs here, fed by this process's sockets and by followers' links.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::Subscriber;
use bytes::Bytes;
use fl_core::aggregate::Partial;
use fl_core::room::{ProcessId, Room};
use fl_core::settings::RoomSettings;
use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::bridge::{Bridge, Ended};
use super::lease::{Holder, Lease};
use super::link::{self, Down, Received, Receiving, Sending, Up};
use super::place::Place;
use super::{Cluster, Keeper};
use crate::room_actor::{Elsewhere, Input};
use crate::storage::Storage;
use crate::workshop::INBOX;

/// Between two looks at who is silent.
const LOOK: Duration = Duration::from_millis(500);
/// How long the task of a room that is led no more may take to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// A follower, as its leader sees it.
struct Follower {
    process: ProcessId,
    receiving: Receiving<Up>,
    sending: Sending<Down>,
}

/// All followers of a room.
struct Followers<'a> {
    room: &'a str,
    cluster: &'a Cluster,
    holder: Holder,
    inbox: mpsc::Sender<Input>,
    most_of_a_partial: usize,
    links: HashMap<u64, Follower>,
}

impl Bridge {
    pub(super) async fn lead(
        &self,
        lease: Lease,
        first: &mut Option<Input>,
        inputs: &mut mpsc::Receiver<Input>,
    ) -> Ended {
        let holder = lease.holder;
        // Both also when this is dropped on the way.
        let (over, lost) = (CancellationToken::new(), CancellationToken::new());
        let _over = over.clone().drop_guard();
        let keep = lease.keep(over, lost.clone());
        self.workshop.tasks.spawn(keep);
        let listened = self
            .cluster
            .0
            .client
            .subscribe(link::up(&self.room, holder));
        let subscriber = match listened.await {
            Ok(subscriber) => subscriber,
            Err(error) => return self.cannot_lead(&error.to_string()),
        };
        let loaded = tokio::select! {
            () = self.workshop.stop.cancelled() => return Ended::Stopped,
            () = lost.cancelled() => return self.cannot_lead("the lease was lost while loading"),
            loaded = self.cluster.load(&self.room) => loaded,
        };
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return self.cannot_lead(&error),
        };
        let room = Room::restore(loaded.state.clone());
        tracing::info!(
            room = self.room,
            completed = room.global().0,
            "leading the room"
        );
        let most_of_a_partial = most_of_a_partial(room.settings(), &room);
        let keeper = Keeper::start(
            self.cluster.clone(),
            loaded,
            lost.clone(),
            &self.workshop.tasks,
        );
        let (inbox, messages) = mpsc::channel(INBOX);
        let stop = self.workshop.stop.child_token();
        let storage = Storage::Nats(keeper);
        let mut task = self
            .workshop
            .start(room, storage, &inbox, messages, stop.clone());
        let mut followers = Followers {
            room: &self.room,
            cluster: &self.cluster,
            holder,
            inbox,
            most_of_a_partial,
            links: HashMap::new(),
        };
        let ended = tokio::select! {
            () = self.workshop.stop.cancelled() => Ended::Stopped,
            () = lost.cancelled() => Ended::Lost,
            _ = &mut task => Ended::Lost,
            ended = followers.serve(subscriber, first, inputs) => ended,
        };
        for follower in followers.links.values() {
            // Else it notices the silence.
            let _ = follower.sending.send(Down::Ended);
        }
        stop.cancel();
        // A last round is stored while the lease is held.
        let patience = match ended {
            Ended::Stopped => self.workshop.limits.drain,
            Ended::Idle | Ended::Lost => FAREWELL,
        };
        if !task.is_finished() && timeout(patience, &mut task).await.is_err() {
            task.abort();
        }
        tracing::info!(room = self.room, "leading the room no more");
        ended
    }

    fn cannot_lead(&self, error: &str) -> Ended {
        tracing::warn!(room = self.room, error, "the room cannot be led");
        Ended::Lost
    }
}

/// Most bytes of what a follower has summed.
fn most_of_a_partial(settings: &RoomSettings, room: &Room) -> usize {
    let layout = room.global().1.layout();
    let names: usize = layout.shapes.keys().map(|name| name.len() + 160).sum();
    let sums = 2 * (8 * layout.parameters() + names);
    let held = (settings.aggregation.memory_mib as usize) << 20;
    let clients = settings.round.capacity as usize * (names + 64);
    sums.saturating_add(held).saturating_add(clients)
}

impl Followers<'_> {
    async fn serve(
        &mut self,
        mut subscriber: Subscriber,
        first: &mut Option<Input>,
        inputs: &mut mpsc::Receiver<Input>,
    ) -> Ended {
        if let Some(first) = first.take() {
            let _ = self.inbox.send(first).await;
        }
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked = Instant::now();
        loop {
            tokio::select! {
                input = inputs.recv() => match input {
                    // The room's task has ended otherwise, which is noticed elsewhere.
                    Some(input) => drop(self.inbox.send(input).await),
                    None => return Ended::Stopped,
                },
                message = subscriber.next() => match message {
                    Some(message) => self.message(&message.payload).await,
                    None => return Ended::Lost,
                },
                _ = look.tick() => {
                    // While this task waited for the room's, it heard nobody.
                    let waited = looked.elapsed() > 2 * LOOK;
                    looked = Instant::now();
                    self.drop_silent(waited).await;
                }
            }
        }
    }

    async fn drop_silent(&mut self, forgive: bool) {
        let now = Instant::now();
        let mut silent = Vec::new();
        for (link, follower) in &mut self.links {
            match forgive {
                true => follower.receiving.forgive(),
                false if follower.receiving.gone_at() <= now => silent.push(*link),
                false => {}
            }
        }
        for link in silent {
            self.lose(link, "it is silent").await;
        }
    }

    async fn lose(&mut self, link: u64, reason: &str) {
        let Some(follower) = self.links.remove(&link) else {
            return;
        };
        let process = follower.process.0;
        tracing::warn!(
            room = self.room,
            process,
            reason,
            "another process is lost to the room"
        );
        let _ = follower.sending.send(Down::Ended);
        self.tell(follower.process, Elsewhere::Lost).await;
    }

    async fn tell(&self, process: ProcessId, what: Elsewhere) {
        let _ = self.inbox.send(Input::Elsewhere { process, what }).await;
    }

    async fn message(&mut self, bytes: &Bytes) {
        let Some(message) = link::read::<Up>(bytes) else {
            return;
        };
        match (self.links.get_mut(&message.link), message.what) {
            (None, Some(Up::Open { process })) => {
                self.open(message.link, message.number, process).await;
            }
            // Of a link that has ended.
            (None, _) => {}
            (Some(follower), what) => {
                let received = Received { what, ..message };
                match follower.receiving.follows(&received) {
                    true => self.dispatch(received).await,
                    false => self.lose(received.link, "a message is missing").await,
                }
            }
        }
    }

    async fn open(&mut self, link: u64, number: u64, process: ProcessId) {
        let same =
            |(link, follower): (&u64, &Follower)| (follower.process == process).then_some(*link);
        if let Some(old) = self.links.iter().find_map(same) {
            self.lose(old, "it came anew").await;
        }
        let subject = link::down(self.room, self.holder, link);
        let client = self.cluster.0.client.clone();
        let sending = Sending::start(client, subject, link);
        let follower = Follower {
            process,
            receiving: Receiving::from(number + 1),
            sending: sending.clone(),
        };
        self.links.insert(link, follower);
        self.tell(process, Elsewhere::Opened { link: sending })
            .await;
    }

    async fn dispatch(&mut self, message: Received<Up>) {
        let Some(follower) = self.links.get(&message.link) else {
            return;
        };
        let (process, sending) = (follower.process, follower.sending.clone());
        let Some(what) = message.what else { return };
        let input = match what {
            Up::Open { .. } => return,
            Up::Ended => return self.lose(message.link, "it ends").await,
            Up::Message {
                connection,
                message,
            } => Input::Message {
                connection,
                message,
            },
            Up::Gone { connection } => Input::Gone { connection },
            Up::Join { connection, hello } => {
                return self
                    .tell(process, Elsewhere::Join { connection, hello })
                    .await;
            }
            Up::Report {
                id,
                connection,
                report,
                bytes,
                fault,
            } => {
                let what = Elsewhere::Report {
                    id,
                    connection,
                    report,
                    bytes,
                    fault,
                };
                return self.tell(process, what).await;
            }
            Up::Command { id, command } => {
                let (answer, answered) = oneshot::channel();
                tokio::spawn(async move {
                    if let Ok(result) = answered.await {
                        let _ = sending.send(Down::Done { id, result });
                    }
                });
                Input::Command { command, answer }
            }
            Up::Inspect { id } => {
                let (answer, answered) = oneshot::channel();
                tokio::spawn(inspected(self.cluster.clone(), sending, id, answered));
                Input::Inspect { answer }
            }
            Up::Partial { sum } => {
                self.partial(process, sum, message.payload);
                return;
            }
        };
        let _ = self.inbox.send(input).await;
    }

    /// Fetches and reads what a follower has summed, beside everything else.
    fn partial(&self, process: ProcessId, sum: Place, payload: Bytes) {
        let (cluster, inbox) = (self.cluster.clone(), self.inbox.clone());
        let (room, most) = (self.room.to_owned(), self.most_of_a_partial);
        tokio::spawn(async move {
            let partial = match cluster.placed(&sum, payload, most).await {
                Ok(bytes) => tokio::task::spawn_blocking(move || {
                    Partial::decode(&bytes, most).map_err(|error| error.to_string())
                })
                .await
                .unwrap_or_else(|error| Err(error.to_string())),
                Err(error) => Err(error),
            };
            match partial {
                Ok(partial) => {
                    let what = Elsewhere::Partial(Box::new(partial));
                    let _ = inbox.send(Input::Elsewhere { process, what }).await;
                }
                // The room waits for it no longer than it says.
                Err(error) => tracing::warn!(room, error, "a partial sum cannot be read"),
            }
        });
    }
}

async fn inspected(
    cluster: Cluster,
    sending: Sending<Down>,
    id: u64,
    answered: oneshot::Receiver<String>,
) {
    let Ok(text) = answered.await else { return };
    match cluster.place(text.into_bytes()).await {
        Ok((text, payload)) => {
            let _ = sending.send_with(Down::Inspected { id, text }, payload);
        }
        Err(error) => tracing::warn!(error, "an answer did not find its place"),
    }
}
